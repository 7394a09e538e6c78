"""Texts of results files: when they were saved, how they are refused, and what packing loses."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_sst2.results.file import results_from_text
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error

SAVED = "2026-08-01T12:00:00+00:00"
# Half a step of a packed probability, and the rounding to six digits.
PROBABILITY_ERROR = 1 / 8190 + 1e-6


def refusal(text: str) -> str:
    with pytest.raises(Sst2Error) as caught:
        results_from_text(text, "old.json")
    return str(caught.value)


def without_probabilities(record: Record) -> Record:
    return dataclasses.replace(record, probabilities=())
