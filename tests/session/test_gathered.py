"""The results of a run, as they are printed to stdout."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_sst2.config.read_settings import read_settings
from pytest_sst2.results.file import results_from_text
from pytest_sst2.results.looks import Look, Skipped
from pytest_sst2.session.gathered import Gathered
from pytest_sst2.session.inputs import Inputs


def test_printed_results_have_the_looks_and_the_skipped_seeds(pytester: pytest.Pytester) -> None:
    look = Look(None, "majority", (1,), 0.002, "held", "question")
    schedule: Any = SimpleNamespace(looks=[look])
    gathered = Gathered(read_settings(pytester.parseconfig("--sst2-json=-")), Inputs(), schedule)
    gathered.add_skipped(
        asdict(skipped := Skipped("majority-seed2", None, "majority", 2, "decided after 1 of 2 seeds"))
    )
    printed = results_from_text(gathered.results_text(), "stdout")
    assert (printed.looks, printed.skipped) == ((look,), (skipped,))
