"""What is known before the first cell, in the controller of pytest-xdist, which measures none."""

from __future__ import annotations

import pytest

from pytest_sst2.data.readers import Rows
from pytest_sst2.session.early_check import splits_of
from tests.support.data_folders import TRAIN, VALIDATION, tsv


def test_the_rows_are_read_by_the_labels_that_the_user_named(pytester: pytest.Pytester) -> None:
    for name, rows in (("train", TRAIN), ("validation", VALIDATION)):
        tsv(pytester.path / "reviews" / f"{name}.tsv", Rows(rows.sentences, [2 * label + 1 for label in rows.labels]))
    options = ("--sst2-data=reviews", "--sst2-labels=3,1", "--sst2-train-size=6", "--sst2-eval-size=4")
    read = splits_of(pytester.parseconfig(*options))(1)
    assert read.evaluation.labels.sum() == sum(label == 0 for label in VALIDATION.labels)
