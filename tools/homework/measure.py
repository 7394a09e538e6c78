"""Running the plan as a user does, in processes of their own, and what came of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from homework import stand_ins
from homework.plan import (
    ALWAYS,
    DATA,
    FOREIGN,
    MORE,
    OWN,
    ROBERTA_SHAPE,
    SEED,
    WORK,
    Extras,
    Run,
    notebook_runs,
    own_runs,
)
from pytest_sst2.config.recipes import PRESETS, evaluated_on
from pytest_sst2.data.sources import load_source
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import Failure, Record

ROOT = Path(__file__).resolve().parents[2]
_LAST_LINES = 15


@dataclass(frozen=True)
class Outcome:
    """A run, what it gave, and the seconds it took."""

    run: Run
    results: Results
    seconds: float


@dataclass(frozen=True)
class Findings:
    """Everything the page is made from.

    Attributes:
        outcomes: By the name of the run.
        words: The mean number of words of a sentence: of ``train``, ``heldout`` and ``validation``.
        extras: What was asked for besides.
    """

    outcomes: Mapping[str, Outcome]
    words: Mapping[str, float]
    extras: Extras

    def record(self, run: str, model: str | None, method: str, seed: int = SEED) -> Record | None:
        """Return the record of a cell, None where the run or the cell has none."""
        return next((each for each in self.seeds(run, model, method) if each.seed == seed), None)

    def seeds(self, run: str, model: str | None, method: str) -> list[Record]:
        """Return the records of a cell, one a seed: those of the run, and of the one that adds seeds to it."""
        outcomes = [self.outcomes[name] for name in (run, f"{run}{MORE}") if name in self.outcomes]
        records = [each for outcome in outcomes for each in outcome.results.records]
        return [each for each in records if (each.model, each.method) == (model, method)]

    def failures(self, run: str) -> Sequence[Failure]:
        """Return the cells of a run that have no number."""
        return self.outcomes[run].results.failures if run in self.outcomes else ()

    @property
    def encoders(self) -> tuple[str, ...]:
        """The names of the sentence encoders at hand."""
        return "minilm", *(Path(each).name for each in self.extras.also)


def measure(data: str, work: Path, also: Sequence[Path] = (), more_seeds: Sequence[int] = ()) -> Findings:
    """Run everything, the quick answers first.

    Args:
        data: As ``--sst2-data`` takes it.
        work: Where stand-ins and results files go; a run whose results file is there is not repeated.
        also: Folders of further sentence encoders.
        more_seeds: Further seeds of the cells that decide the conclusion.
    """
    shown = {f"models/{folder.name}": str(folder) for folder in also}
    places = {DATA: data, WORK: str(work), **shown}
    extras = Extras(tuple(shown), tuple(more_seeds))
    source = load_source(data)
    recipe = PRESETS["homework9"]
    heldout = draw_splits(source, recipe, SEED)
    validation = draw_splits(source, evaluated_on(recipe, "validation"), SEED)
    _write_stand_ins(places, heldout.train.sentences)
    outcomes: dict[str, Outcome] = {}
    first, *further = notebook_runs()
    outcomes[first.name] = _run(first, places, work)
    if had := tuple(dict.fromkeys(str(record.model) for record in outcomes[first.name].results.records)):
        _, *further = notebook_runs(had)
        outcomes |= {run.name: _run(run, places, work) for run in further}
    outcomes |= {run.name: _run(run, places, work) for run in own_runs(extras)}
    words = {
        "train": _mean_words(heldout.train.sentences),
        "heldout": _mean_words(heldout.evaluation.sentences),
        "validation": _mean_words(validation.evaluation.sentences),
    }
    return Findings(outcomes, words, extras)


def _mean_words(sentences: Sequence[str]) -> float:
    return sum(len(sentence.split()) for sentence in sentences) / len(sentences)


def _write_stand_ins(places: Mapping[str, str], sentences: Sequence[str]) -> None:
    own, foreign, shape = (Path(each.replace(WORK, places[WORK], 1)) for each in (OWN, FOREIGN, ROBERTA_SHAPE))
    if not own.exists():
        stand_ins.write_own(own)
    if not foreign.exists():
        stand_ins.write_foreign(foreign, sentences)
    if not shape.exists():
        stand_ins.write_roberta_shape(shape)


def _run(run: Run, places: Mapping[str, str], work: Path) -> Outcome:
    """Run a command, or read what the same command left the last time."""
    file, receipt = work / f"{run.name}.json", work / f"{run.name}.took"
    seconds = _kept_seconds(run, receipt) if file.is_file() else None
    if seconds is None:
        file.unlink(missing_ok=True)
        seconds = _seconds_of(run, places, file)
        receipt.write_text(json.dumps({"command": run.command, "seconds": seconds}) + "\n", encoding="utf-8")
    results = results_from_text(file.read_text(encoding="utf-8"), file.name)
    if results.failures and not run.may_fail:
        raise SystemExit(f"{run.command}: {results.failures[0].error}")
    return Outcome(run, results, seconds)


def _kept_seconds(run: Run, receipt: Path) -> float | None:
    """Return what the run took, if this is the receipt of the very same command."""
    kept = json.loads(receipt.read_text(encoding="utf-8")) if receipt.is_file() else {}
    return float(kept["seconds"]) if kept.get("command") == run.command else None


def _seconds_of(run: Run, places: Mapping[str, str], file: Path) -> float:
    """Run a command, which writes ``file``, and return the seconds it took."""
    print(run.command, flush=True)
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), *run.arguments(places)]
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own arguments
        [*command, f"--sst2-json={file}", *ALWAYS], cwd=ROOT, check=False, capture_output=True, text=True
    )
    seconds = round(time.perf_counter() - start, 1)
    if not file.is_file():
        last = "\n".join((done.stdout + done.stderr).splitlines()[-_LAST_LINES:])
        raise SystemExit(f"{run.command} gave no results (exit status {done.returncode}):\n{last}")
    print(f"  {seconds:.0f} s", flush=True)
    return seconds


def without_places(sentence: str) -> str:
    """Return the first clause of an error without this machine's folders and addresses."""
    said = sentence.partition(" Next steps:")[0]
    said = re.sub(r"https?://[^\s,;]+", "the Hub", said)
    return re.sub(r"(?<![\w/.])/[^\s,;]*", "FOLDER", said)
