"""What a plan assumes: from the records of a baseline, else from stated figures."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from pytest_sst2.compare.pairing import by_cell
from pytest_sst2.compare.plan import Situation
from pytest_sst2.compare.training_spread import MINIMUM_SEEDS, shared_encoder, spread_of_floors, trains_in_steps
from pytest_sst2.compare.would_decide import PLANNED_SPREAD, run_seconds
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import points_text

# An upper figure. Over 12 pairs of environments, and in bfloat16 for float32 (paraphrase-MiniLM-L3-v2, 1,000 rows of
# SST-2), probes flipped no answer of 872.
PROBE_FLIPS = 0.01
# Three seeds of fine-tuning the same model on 1,000 rows differed in 12.8 % of the answers to 872 sentences.
TRAINING_FLIPS = 0.13


def _seed_sd(variance: float, flips: float, sentences: int) -> float:
    """Return the part of the accuracy's standard deviation between trainings that their flips do not explain.

    Flips of single sentences alone make accuracies differ by a variance of half their fraction over the sentences.
    """
    return math.sqrt(max(variance - flips / 2 / sentences, 0.0))


_DEFAULTS = (
    Situation(
        "a probe",
        accuracy=0.8,
        flips=PROBE_FLIPS,
        seed_sd=0.0,
        is_random=False,
        # 5,000 phrases in 17.9 s, 2,000 of them to train on (all-MiniLM-L6-v2, two cores).
        run_seconds=7.2,
        sentence_seconds=0.0036,
        sources=(f"assumed: a harmless change flips {100 * PROBE_FLIPS:g} % of the answers",),
    ),
    Situation(
        "fine-tuning",
        accuracy=0.85,
        flips=TRAINING_FLIPS,
        seed_sd=_seed_sd(PLANNED_SPREAD**2, TRAINING_FLIPS, 872),
        is_random=True,
        # 1,000 rows in 12.3 s, as all-MiniLM-L6-v2 on two cores.
        run_seconds=24.6,
        sentence_seconds=0.0036,
        sources=(
            f"assumed: two trainings differ in {100 * TRAINING_FLIPS:g} % of the answers, and in accuracy by "
            f"{points_text(PLANNED_SPREAD)} (sd)",
        ),
    ),
)


def default_situations() -> tuple[Situation, ...]:
    """Return a probe and a fine-tuning of the preset ``quick``, with stated figures."""
    return _DEFAULTS


def situations(records: Sequence[Record]) -> list[Situation]:
    """Return a situation for each cell of a baseline that trains in random steps, and one for the other cells.

    Cells that always answer the same class cannot flip, and are left out.
    """
    cells = {
        cell_name(key): list(seeds.values())
        for key, seeds in by_cell(records).items()
        if any(len(set(record.predictions)) > 1 for record in seeds.values())
    }
    trained = {name: seeds for name, seeds in cells.items() if trains_in_steps(seeds[0])}
    fixed = {name: seeds for name, seeds in cells.items() if name not in trained}
    return [*(_trained(name, seeds) for name, seeds in trained.items()), *([_fixed(fixed)] if fixed else [])]


def group_count(records: Sequence[Record]) -> int:
    """Return for how many groups of cells a comparison corrects its p-values; the probes of a model are one."""
    keys = by_cell(record for record in records if len(set(record.predictions)) > 1)
    groups = {shared_encoder(first) or key for key, seeds in keys.items() for first in [next(iter(seeds.values()))]}
    return max(len(groups), 1)


def _fixed(cells: Mapping[str, Sequence[Record]]) -> Situation:
    """Return one situation for all cells without random steps: that of the least accurate, with the longest time."""
    default = _DEFAULTS[0]
    records = [record for seeds in cells.values() for record in seeds]
    hardest = min(records, key=lambda record: abs(record.accuracy - 0.5))
    costs = [_seconds(seeds) for seeds in cells.values()]
    slowest = max(costs, key=sum)
    return Situation(
        ", ".join(cells),
        accuracy=hardest.accuracy,
        flips=default.flips,
        seed_sd=0.0,
        is_random=False,
        run_seconds=slowest[0],
        sentence_seconds=slowest[1],
        sources=default.sources,
        validation_rows=_validation_rows(hardest),
    )


def _trained(name: str, records: Sequence[Record]) -> Situation:
    default = _DEFAULTS[1]
    spread = spread_of_floors(record.floor for record in records)
    run_seconds, sentence_seconds = _seconds(records)
    right = _same_sentences(records)
    sources = []
    flips, sd = default.flips, default.seed_sd
    if right is not None:
        pairs = itertools.combinations(right, 2)
        flips = statistics.fmean(float((one != other).mean()) for one, other in pairs)
        sources.append(f"its {len(right)} seeds differ in {100 * flips:.1f} % of the answers")
    else:
        sources.append(f"assumed: two trainings differ in {100 * flips:g} % of the answers (one seed cannot tell)")
    if right is not None and len(right) >= MINIMUM_SEEDS:
        observed = statistics.variance(float(row.mean()) for row in right)
        sd = _seed_sd(observed, flips, right.shape[1])
        sources.append(f"and in accuracy by {points_text(round(observed**0.5, 4))} (sd)")
    elif spread.degrees_of_freedom < float("inf"):
        sd = _seed_sd(spread.sd**2, flips, records[0].total)
        sources.append(spread.source)
    else:
        sources.append(f"assumed: they differ in accuracy by {points_text(PLANNED_SPREAD)} (sd)")
    return Situation(
        name,
        accuracy=statistics.fmean(record.accuracy for record in records),
        flips=max(flips, 0.001),
        seed_sd=sd,
        is_random=True,
        run_seconds=run_seconds,
        sentence_seconds=sentence_seconds,
        sources=tuple(sources),
        spread=spread,
        validation_rows=_validation_rows(records[0]),
    )


def _same_sentences(records: Sequence[Record]) -> np.ndarray | None:
    """Return whether each seed answered each sentence rightly, if several seeds have the same sentences; else None."""
    digests = {record.fingerprint.evaluation.sentences if record.fingerprint else None for record in records}
    totals = {record.total for record in records}
    if len(records) < 2 or len(digests) > 1 or None in digests or len(totals) > 1:
        return None
    if not all(record.labels for record in records):
        return None
    return np.array([np.equal(record.predictions, record.labels) for record in records])


def _validation_rows(record: Record) -> int:
    return record.total if record.dataset.split == "validation" else 0


def _seconds(records: Sequence[Record]) -> tuple[float, float]:
    """Return the seconds of one run without its evaluation rows, and those of one evaluation row; medians."""
    fixed = statistics.median(run_seconds(record, 0) for record in records)
    return fixed, statistics.median(run_seconds(record, 1) - run_seconds(record, 0) for record in records)
