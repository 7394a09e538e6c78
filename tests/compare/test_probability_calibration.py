"""Calibration: numbers worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.compare.probability_calibration import (
    BINS,
    ConfidenceBin,
    calibration_bins,
    expected_calibration_error,
)


def curve_of(probabilities: np.ndarray, labels: np.ndarray) -> tuple[ConfidenceBin, ...]:
    """Answer what is likelier, negative where neither is."""
    return calibration_bins(probabilities, (probabilities > 0.5).astype(int), labels)


def curve(probabilities: list[float], labels: list[int]) -> list[tuple[float, float, int, float, float]]:
    found = curve_of(np.array(probabilities), np.array(labels))
    return [(each.low, each.high, each.examples, round(each.confidence, 6), round(each.accuracy, 6)) for each in found]


def test_answers_of_like_confidence_share_a_bin_whichever_class_they_name() -> None:
    # 0.9 positive and 0.1 (so 0.9 negative): one right, one wrong.
    assert curve([0.88, 0.12], [1, 1]) == [(0.85, 0.9, 2, 0.88, 0.5)]


def test_the_ends_of_the_scale_have_a_bin() -> None:
    assert curve([0.5, 1.0, 0.0], [0, 1, 0]) == [(0.5, 0.55, 1, 0.5, 1.0), (0.95, 1.0, 2, 1.0, 1.0)]


def test_there_are_as_many_bins_as_confidences_at_most() -> None:
    values = np.linspace(0, 1, 1001)
    bins = curve_of(values, np.ones(1001, dtype=int))
    assert len(bins) == BINS
    assert sum(each.examples for each in bins) == 1001


def test_the_error_is_the_mean_distance_weighted_by_answers() -> None:
    bins = curve_of(np.array([0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 0, 0]))
    # Three answers of confidence 0.9 with 2/3 right, one of 0.6 that is wrong.
    assert expected_calibration_error(bins) == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6)


def test_a_classifier_that_is_right_as_often_as_it_says_has_no_error() -> None:
    bins = curve_of(np.array([0.75] * 4), np.array([1, 1, 1, 0]))
    assert expected_calibration_error(bins) == pytest.approx(0)


def test_nothing_answered_is_nothing_wrong() -> None:
    bins = curve_of(np.array([]), np.array([], dtype=int))
    assert (bins, expected_calibration_error(bins)) == ((), 0.0)


def test_seeds_may_stand_in_rows() -> None:
    assert len(curve_of(np.full((2, 3), 0.8), np.ones((2, 3), dtype=int))) == 1


@pytest.mark.parametrize(("probabilities", "labels"), [([0.5], [0, 1]), ([1.5], [1]), ([-0.1], [1]), ([np.nan], [1])])
def test_what_is_no_probability_is_refused(probabilities: list[float], labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"one shape|between 0 and 1"):
        curve_of(np.array(probabilities), np.array(labels))


def test_it_is_the_answers_that_are_judged_where_a_classifier_has_a_threshold_of_its_own() -> None:
    # It answers positive from 0.3 on: 0.4 is an answer of confidence 0.4, and right.
    (found,) = calibration_bins(np.array([0.4]), np.array([1]), np.array([1]))
    assert (found.low, found.confidence, found.accuracy) == (0.5, 0.4, 1.0)
