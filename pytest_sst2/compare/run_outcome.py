"""Decide the outcome of a whole run from its floors, its failures and its comparison."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, Comparison
from pytest_sst2.compare.verdict import Headline
from pytest_sst2.results.file import Results

Outcome = Literal["PASSES", "HOLDS", "UNDECIDED", "MEASURED", "NOTHING MEASURED", "CANNOT COMPARE", "FAILS"]
Tone = Literal["good", "bad", "neutral", "plain"]

_TONES: dict[Outcome, Tone] = {"PASSES": "good", "HOLDS": "good", "FAILS": "bad", "MEASURED": "plain"}


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run, and the numbers behind it.

    Attributes:
        reach_floor: Cells that have a floor and reach it.
        failures: Cells without a number.
        problems: Problems of the run that are not about one cell, in sentences.
        has_trouble: Whether the run fails for any comparison: a missed floor, a cell without a number, or a problem.
    """

    outcome: Outcome
    tone: Tone
    cells: int
    below_floor: int
    reach_floor: int
    failures: int
    problems: tuple[str, ...]
    has_trouble: bool


def comparison_outcome(comparison: Comparison, fail_on: Collection[str]) -> Headline:
    """Return the outcome of a comparison alone.

    A regressed cell fails it, and a comparison without a comparable cell cannot be made, even if ``fail_on`` leaves
    these words out. Only the exit status is 0 then.
    """
    status = comparison.exit_status(fail_on)
    if status == FAILS or comparison.flagged("regressed"):
        return "FAILS"
    if status == CANNOT_COMPARE or len(comparison.flagged("incomparable")) == len(comparison.cells):
        return "CANNOT COMPARE"
    return "UNDECIDED" if comparison.flagged("undecided") else "HOLDS"


def run_outcome(
    results: Results,
    comparison: Comparison | None,
    fail_on: Collection[str],
    problems: Sequence[str] = (),
    *,
    has_question: bool = False,
) -> RunOutcome:
    """Return the outcome of a run. Missed floors, cells without a number and problems fail it for any comparison.

    With ``has_question``, cells of the run were compared with one another, and floors that are reached are no outcome.
    """
    below_floor = sum(not record.reaches_floor for record in results.records)
    # A floor of zero asks for nothing.
    reach_floor = sum(
        record.floor is not None and 0 < record.floor.accuracy <= record.accuracy for record in results.records
    )
    cells, failures = len(results.records), len(results.failures)
    has_trouble = bool(below_floor or failures or problems)
    outcome: Outcome
    if comparison is not None:
        outcome = comparison_outcome(comparison, fail_on)
        outcome = "FAILS" if has_trouble and outcome in ("HOLDS", "UNDECIDED") else outcome
    elif has_trouble:
        outcome = "FAILS"
    elif not cells:
        outcome = "NOTHING MEASURED"
    else:
        outcome = "PASSES" if reach_floor == cells and not has_question else "MEASURED"
    tone: Tone = "bad" if has_trouble else _TONES.get(outcome, "neutral")
    return RunOutcome(outcome, tone, cells, below_floor, reach_floor, failures, tuple(problems), has_trouble)
