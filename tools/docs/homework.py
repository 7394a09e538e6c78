"""Measure the cells of docs/homework.md, and write their tables into the page.

    python tools/docs/homework.py --data SST-2 --models minilm,models/paraphrase-MiniLM-L3-v2 --seeds 42,43,44

Replaces each block of the page between `<!-- NAME -->` and `<!-- end -->`. An interrupted measurement continues if
`--work` names the same folder. Unknown arguments go to pytest, for example `--sst2-train-size=50`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_sst2.compare.family import holm
from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.verdict import verdict_of
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import p_value, signed_points

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "homework.md"
SEED = 42
# The accuracies that the homework published, by its label, with the model and method that stand for it here.
PUBLISHED = {
    "TinyBERT (4 layers), fine-tuned": (0.7576, "tinybert", "fine-tune"),
    "RoBERTa-base, fine-tuned": (0.5518, "roberta", "fine-tune"),
    "all-MiniLM-L6-v2 frozen + logistic regression": (0.8364, "minilm", "linear-probe"),
}
# Bugs that are left, with the runs that have the fine-tuned and the frozen cells.
BUGS_LEFT = {
    "1 and 3: as published": ("five-tokens", "whole"),
    "3: whole sentences, held-out slice": ("whole", "whole"),
    "none: whole sentences, validation": ("whole-validation", "whole-validation"),
}


def runs(data: str, models: Sequence[str], seeds: str) -> dict[str, list[str]]:
    """Return the arguments of ``pytest benchmarks`` for each results file."""
    encoders, tuned = ["--models", ",".join(models)], ["--methods", "fine-tune"]
    every = ["--methods", "fine-tune,linear-probe,tfidf,majority"]
    whole, cut, validation = "--sst2-recipe=homework9", "--sst2-recipe=homework9-as-published", "--sst2-eval=validation"
    arguments = {
        "whole": [*encoders, *every, whole],
        "five-tokens": [*encoders, *tuned, cut],
        "whole-validation": [*encoders, *every, whole, validation, f"--sst2-seeds={seeds}"],
    }
    return {name: [f"--sst2-data={data}", *words] for name, words in arguments.items()}


def measured(path: Path, arguments: Sequence[str]) -> Results:
    """Run ``pytest benchmarks``, or what is left of an interrupted run, and return its results."""
    command = [sys.executable, "-m", "pytest", "benchmarks", *arguments]
    print(" ".join(command[2:]), flush=True)
    options = [f"--sst2-resume={path}", "--sst2-min-accuracy=0", "--sst2-no-cache"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)  # noqa: S603 - our own words
    if not path.is_file():
        raise SystemExit(f"pytest wrote no results:\n{done.stdout[-2000:]}{done.stderr}")
    return results_from_text(path.read_text(encoding="utf-8"), path.name)


def tables(models: Sequence[str], results: Mapping[str, Results]) -> dict[str, str]:
    """Return the tables of the page by the name of their block."""
    return {
        "accuracies": _accuracies(models, results),
        "conclusion": _conclusion(models, results),
    }


def filled(page: str, texts: Mapping[str, str]) -> str:
    """Return the page with its blocks replaced.

    Raises:
        SystemExit: The page lacks one of the blocks.
    """
    for name, text in texts.items():
        block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        page, count = block.subn(lambda match, text=text: f"{match[1]}\n{text}\n{match[2]}", page)
        if count != 1:
            raise SystemExit(f"the page has {count} blocks '<!-- {name} -->', not one")
    return page


def _accuracies(models: Sequence[str], results: Mapping[str, Results]) -> str:
    rows = {label: (f"{accuracy:.4f}", model, method) for label, (accuracy, model, method) in PUBLISHED.items()}
    for model in models:
        rows[f"{model}, fine-tuned"] = ("–", model, "fine-tune")
        if model != "minilm":
            rows[f"{model} frozen + logistic regression"] = ("–", model, "linear-probe")
    rows |= {"TF-IDF + logistic regression": ("–", "", "tfidf"), "always the commoner class": ("–", "", "majority")}
    lines = []
    for label, (published, model, method) in rows.items():
        cut = "five-tokens" if method == "fine-tune" else "whole"  # only fine-tuning cut sentences
        records = [_cell(results, run, model, method) for run in (cut, "whole", "whole-validation")]
        lines.append([label, published, *map(_accuracy, records)])
    return _table("classifier; published; 5 tokens, held-out; whole, held-out; whole, validation", lines)


def _conclusion(models: Sequence[str], results: Mapping[str, Results]) -> str:
    rows: list[list[str]] = []
    changes: list[AccuracyChange] = []
    for name in models:
        for bugs, (tuned_run, frozen_run) in BUGS_LEFT.items():
            tuned = _seeds(results, tuned_run, name, "fine-tune")
            frozen = _seeds(results, frozen_run, name, "linear-probe")
            seeds = sorted(tuned.keys() & frozen.keys())
            if seeds:
                pair = [[records[seed] for seed in seeds] for records in (frozen, tuned)]
                means = [f"{np.mean([record.accuracy for record in records]):.4f}" for records in pair]
                changes.append(_change(*pair))
                rows.append([name, bugs, ", ".join(map(str, seeds)), *means, _points(changes[-1])])
    words = {"improved": "fine-tuned", "regressed": "frozen"}
    worse, better = (holm([getattr(change, name) for change in changes]) for name in ("p_worse", "p_better"))
    for row, change, p_worse, p_better in zip(rows, changes, worse, better, strict=True):
        verdict = verdict_of(change, p_worse, p_better, alpha=ALPHA, tolerance=TOLERANCE, is_identical=False)
        row += [p_value(_two_sided(p_worse, p_better)), words.get(verdict, "undecided")]
    return _table("encoder; bugs left; seeds; frozen; fine-tuned; points (95 % interval); p (Holm); better", rows)


def _seeds(results: Mapping[str, Results], run: str, model: str, method: str) -> dict[int, Record]:
    cell = (model or None, method)
    return {record.seed: record for record in results[run].records if (record.model, record.method) == cell}


def _cell(results: Mapping[str, Results], run: str, model: str, method: str) -> Record | None:
    return _seeds(results, run, model, method).get(SEED)


def _change(before: Sequence[Record], after: Sequence[Record]) -> AccuracyChange:
    right = [np.array([np.equal(record.predictions, record.labels) for record in side]) for side in (before, after)]
    same_examples = after[0].dataset.split == "validation"
    is_random = len(before) > 1  # one seed compares two classifiers
    # Two bounds of 97.5 % are an interval of 95 %.
    return compare_accuracy(*right, paired=True, same_examples=same_examples, is_random=is_random, alpha=0.025)


def _two_sided(p_worse: float, p_better: float) -> float:
    return min(1.0, 2 * min(p_worse, p_better))


def _points(change: AccuracyChange) -> str:
    return f"{signed_points(change.delta)} ({signed_points(change.at_worst)} to {signed_points(change.at_best)})"


def _accuracy(record: Record | None) -> str:
    if record is None:
        return "not measured"
    return f"{record.accuracy:.4f} ({record.accuracy_interval.low:.3f}–{record.accuracy_interval.high:.3f})"


def _table(headers: str, rows: Sequence[Sequence[str]]) -> str:
    names = headers.split("; ")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows))


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="hub", help="as --sst2-data takes it (default: %(default)s)")
    parser.add_argument("--models", default="minilm", help="minilm and further encoders, with commas")
    parser.add_argument("--seeds", default=str(SEED), help="seeds on the validation set, 42 among them")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "homework", help="folder of the results files")
    parser.add_argument("-o", "--output", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    options, extra = parser.parse_known_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    models = options.models.split(",")
    plan = runs(options.data, models, options.seeds)
    results = {name: measured(work / f"{name}.json", [*words, *extra]) for name, words in plan.items()}
    texts = tables([Path(model).name for model in models], results)
    environment = results["whole"].records[0].environment
    machine = f"{environment.cpu_model} ({environment.device}), Python {environment.python}, {environment.headline}."
    texts["environment"] = f"Measured on {machine}"
    options.output.write_text(filled(PAGE.read_text(encoding="utf-8"), texts), encoding="utf-8")


if __name__ == "__main__":
    main()
