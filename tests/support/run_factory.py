"""Two hand-made runs, a baseline and a later run, and their evaluation sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import Environment, Epoch, Failure, Record
from tests.support.record_factory import ENVIRONMENT, answered, make_record

SCRIPT = """<script>alert("it's")</script>"""
SENTENCES = tuple(
    f"{'not' if number % 3 else 'but'} the film number {number} {'that goes on for ever ' * (number % 4)}."
    for number in range(60)
)
FAILURE = Failure("albert-fine-tune-seed42", "albert", "fine-tune", 42, f"could not be had: {SCRIPT}")


def of(right: Sequence[bool], environment: Environment = ENVIRONMENT, **changes: object) -> Record:
    base = make_record()
    spread = tuple(
        0.5 + (0.49 if index % 2 == well else -0.49) * (1 - index / 2000) for index, well in enumerate(right)
    )
    record = answered(right, environment=environment, recipe=base.recipe, **changes)
    return dataclasses.replace(record, probabilities=tuple(round(probability, 6) for probability in spread))


def baseline() -> Results:
    """Return three cells: a probe, a fine-tuned model with two seeds, and a model whose name is a script."""
    right = [index % 10 != 0 for index in range(60)]
    records = [
        of(right, floor=Floor(0.7, "by hand")),
        *(of(right, seed=seed, method="fine-tune", epochs=_epochs(0.8)) for seed in (1, 2)),
        of(right, model=SCRIPT),
    ]
    return Results(records, [], "2026-08-01T12:00:00+00:00", "main")


def later() -> Results:
    """Return a later run: the probe lost a fifth of its answers, the script's cell gained one, a cell failed."""
    upgraded = dataclasses.replace(ENVIRONMENT, packages={"torch": "2.14.0", SCRIPT: SCRIPT})
    right = [index % 10 != 0 for index in range(60)]
    lost = [well and index % 5 != 1 for index, well in enumerate(right)]
    gained = [well or index == 10 for index, well in enumerate(right)]
    records = [
        of(lost, upgraded, floor=Floor(0.9, "by hand"), warnings=(f"thin: {SCRIPT}",)),
        *(of(right, upgraded, seed=seed, method="fine-tune", epochs=_epochs(0.85)) for seed in (1, 2)),
        of(gained, upgraded, model=SCRIPT),
    ]
    return Results(records, [FAILURE], "2026-08-02T12:00:00+00:00", "this run")


def compared(before: Results | None = None, after: Results | None = None) -> Comparison:
    return compare(before or baseline(), after or later(), tolerance=0.01, alpha=0.01)


def sentences_of(record: Record) -> Sequence[str]:
    return (SCRIPT, *SENTENCES[1 : record.total])


def _epochs(accuracy: float) -> tuple[Epoch, ...]:
    return (Epoch(1, 0.6, 0.5, accuracy - 0.05), Epoch(2, 0.4, 0.45, accuracy))
