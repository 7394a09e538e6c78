"""The results of a run, as they are printed to stdout."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_sst2.config.read_settings import read_settings
from pytest_sst2.results.file import results_from_text
from pytest_sst2.results.looks import Look, Skipped
from pytest_sst2.results.record import Failure
from pytest_sst2.session.gathered import Gathered
from pytest_sst2.session.inputs import Inputs
from pytest_sst2.session.planned_cells import Plan


def test_printed_results_have_the_looks_and_the_skipped_seeds(pytester: pytest.Pytester) -> None:
    look = Look(None, "majority", (1,), 0.002, "held", "question")
    schedule: Any = SimpleNamespace(looks=[look])
    gathered = Gathered(read_settings(pytester.parseconfig("--sst2-json=-")), Inputs(), schedule)
    gathered.add_skipped(
        asdict(skipped := Skipped("majority-seed2", None, "majority", 2, "decided after 1 of 2 seeds"))
    )
    printed = results_from_text(gathered.results_text(), "stdout")
    assert (printed.looks, printed.skipped) == ((look,), (skipped,))


@pytest.mark.parametrize(("decided", "failed", "skipped"), [("", [1], [2]), ("decided after 1 of 3 seeds", [], [1, 2])])
def test_a_failure_ends_its_cell_unless_the_seed_was_not_needed(
    pytester: pytest.Pytester, decided: str, failed: list[int], skipped: list[int]
) -> None:
    ended: list[int] = []
    schedule: Any = SimpleNamespace(
        looks=[],
        decision=lambda key, seed: decided,
        add_failure=lambda key, seed: ended.append(seed),
        reason_to_skip=lambda key, seed: decided or ("not needed" if ended and seed not in ended else ""),
    )
    gathered = Gathered(read_settings(pytester.parseconfig()), Inputs(), schedule)
    gathered.plan = Plan(tuple((f"tfidf-seed{seed}", None, "tfidf", seed) for seed in (1, 2)))
    gathered.add_failure(asdict(Failure("tfidf-seed1", None, "tfidf", 1, "its worker died")))
    assert [failure.seed for failure in gathered.failures] == failed
    assert [one.seed for one in gathered.results.skipped] == skipped
