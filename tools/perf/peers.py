"""Compare the speed of this package with its peers, in turn, and write docs/performance.md.

    python tools/perf/peers.py --data FOLDER          # SST-2; an hour on two cores, nothing else running
    python tools/perf/peers.py --quick                # two minutes on the pocket set, writes nothing

The peer and this package do the same work in turn, every second round in reverse. The table shows the lowest, median
and highest ratio of one round. The float32 limit is the arithmetic of the encoder's matrix products, without padding,
at the rate of one large product measured before and after each run.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))

from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.config.options import ALPHA
from tools.perf.head_to_head import encoding, training, whole_runs
from tools.perf.head_to_head.measure import HeadToHead, Timings, measure, table_rows
from tools.perf.head_to_head.report import Report
from tools.perf.head_to_head.workload import Workload

QUICK = {"train": 96, "small": 32, "sentences": 200}
FULL = {"train": 2000, "small": 500, "sentences": 5000}
GROWTH_SIZES = (1000, 4000, 16000, 67349)
# A single start varies far more than the difference to detect.
STARTUP_ROUNDS = 45


def main() -> int:
    """Run the pairs; the exit status is 1 if results differ."""
    options = _parser().parse_args()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="pytest-sst2-peers-") as scratch:
        workload = Workload("pocket" if options.quick else options.data, Path(scratch))
        sizes = QUICK if options.quick else FULL
        rounds = options.rounds or (1 if options.quick else 5)
        for pair in _pairs(workload, sizes):
            if options.only in pair.title:
                _run(pair, rounds, report)
        if not options.quick and not options.only:
            _extras(workload, report, rounds)
    print(report.text())
    if not options.quick and not options.only:
        report.write(_ROOT / "docs")
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="auto", help="as --sst2-data")
    parser.add_argument("--rounds", type=int, help="default: 5, or 1 with --quick")
    parser.add_argument("--only", default="", metavar="TEXT", help="only pairs whose title contains this")
    parser.add_argument("--quick", action="store_true", help="two minutes, on the pocket set")
    return parser


def _pairs(workload: Workload, sizes: dict[str, int]) -> list[HeadToHead]:
    return [
        *encoding.pairs(workload, sizes["sentences"]),
        *training.pairs(workload, sizes["train"], sizes["small"]),
        *whole_runs.pairs(workload),
    ]


def _run(pair: HeadToHead, rounds: int, report: Report) -> None:
    timings = measure(pair, rounds, _say)
    report.rows += table_rows(pair, timings)
    peer, *ours = timings
    for timing in ours:
        name = f"{pair.title}: {timing.candidate.name}"
        results = [outcome.result for outcome in (*peer.outcomes, *timing.outcomes)]
        if all(isinstance(each, np.ndarray) and each.dtype == bool for each in results):
            report.accuracies.append(_paired(name, peer, timing))
        elif all(isinstance(each, np.ndarray) for each in results):
            _check_embeddings(name, peer.outcomes[0].result, timing.outcomes[0].result, report)
        if timing.outcomes[0].peak_bytes and peer.outcomes[0].peak_bytes:
            ratios = [
                one.peak_bytes / other.peak_bytes
                for one, other in zip(timing.outcomes, peer.outcomes, strict=True)
                if one.peak_bytes and other.peak_bytes
            ]
            report.facts.append(
                f"{name}: peak memory {min(ratios):.2f} / {np.median(ratios):.2f} / {max(ratios):.2f} times the peer's "
                f"({peer.outcomes[0].peak_bytes / 2**20:,.0f} MB)"
            )


def _paired(name: str, peer: Timings, timing: Timings) -> list[str]:
    """Return the gate's own test of two ways to train, over the seeds of all rounds."""
    before, after = (np.array([outcome.result for outcome in each.outcomes]) for each in (peer, timing))
    if len(before) < 2:
        return [name, f"{before.mean():.4f}", f"{after.mean():.4f}", "", "one seed"]
    change = compare_accuracy(before, after, paired=True, same_examples=True, is_random=True, alpha=ALPHA)
    return [
        name,
        f"{before.mean():.4f}",
        f"{after.mean():.4f}",
        f"{100 * change.at_worst:+.1f} to {100 * change.at_best:+.1f} points",
        f"{min(change.p_worse, change.p_better):.3f}",
    ]


def _check_embeddings(name: str, theirs: np.ndarray, ours: np.ndarray, report: Report) -> None:
    """Compare embeddings with the peer's: to 1e-5 in float32, by their cosine in reduced precision."""
    difference = float(np.abs(theirs - ours).max())
    lengths = np.linalg.norm(theirs, axis=1) * np.linalg.norm(ours, axis=1)
    cosine = float(((theirs * ours).sum(axis=1) / lengths).min())
    exact = "float32" in name
    report.facts.append(f"{name}: largest difference {difference:.1e}, lowest cosine {cosine:.6f}")
    if difference > 1e-5 if exact else cosine < 0.999:
        report.failures.append(f"{name}: the embeddings are not those of the peer")


def _extras(workload: Workload, report: Report, rounds: int) -> None:
    """Measure the figures that are not ratios."""
    started = measure(whole_runs.startup(workload), max(STARTUP_ROUNDS, rounds), _say)
    extra = [
        1000 * (one.seconds - other.seconds)
        for one, other in zip(started[1].outcomes, started[0].outcomes, strict=True)
    ]
    report.facts.append(
        f"an unrelated project's tests, with the plugin against without: {np.median(extra):+.0f} ms "
        f"(median of {len(extra)} pairs; {np.percentile(extra, 25):+.0f} to {np.percentile(extra, 75):+.0f} for the "
        f"middle half) on {1000 * started[0].seconds:.0f} ms; to reach: at most +10 ms"
    )
    compared = whole_runs.comparison(workload, rounds)
    report.facts.append(
        f"pytest-sst2 compare, two files of 200 records × 872 predictions: "
        f"{np.median([each.seconds for each in compared]):.2f} s (median of {rounds}), "
        f"{max(each.peak_bytes or 0 for each in compared) / 2**20:.0f} MB; to reach: under 2 s and 200 MB"
    )
    for method, dtype in (("linear-probe", "float32"), ("fine-tune", "bfloat16")):
        for rows, tokens, seconds in training.growth(workload, method, GROWTH_SIZES, dtype):
            _say(f"{method}, {dtype}, {rows:,} rows, {tokens:,} tokens: {seconds:.1f} s")
            report.growth.setdefault(f"{method}, {dtype}", []).append((rows, tokens, seconds))


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
