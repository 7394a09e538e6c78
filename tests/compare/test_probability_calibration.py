"""Test the calibration curve and its error with numbers worked by hand."""

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
    """Return the curve of a classifier that predicts the more probable class, negative at 0.5."""
    return calibration_bins(probabilities, (probabilities > 0.5).astype(int), labels)


def curve(probabilities: list[float], labels: list[int]) -> list[tuple[float, float, int, float, float]]:
    bins = curve_of(np.array(probabilities), np.array(labels))
    return [(bin_.low, bin_.high, bin_.examples, round(bin_.confidence, 6), round(bin_.accuracy, 6)) for bin_ in bins]


def test_predictions_of_similar_confidence_are_in_one_bin_for_either_class() -> None:
    # 0.88 positive and 0.12 (0.88 negative): one right, one wrong.
    assert curve([0.88, 0.12], [1, 1]) == [(0.85, 0.9, 2, 0.88, 0.5)]


def test_the_ends_of_the_scale_have_a_bin() -> None:
    assert curve([0.5, 1.0, 0.0], [0, 1, 0]) == [(0.5, 0.55, 1, 0.5, 1.0), (0.95, 1.0, 2, 1.0, 1.0)]


def test_there_are_at_most_ten_bins() -> None:
    values = np.linspace(0, 1, 1001)
    bins = curve_of(values, np.ones(1001, dtype=int))
    assert len(bins) == BINS
    assert sum(bin_.examples for bin_ in bins) == 1001


def test_the_error_is_the_mean_distance_weighted_by_predictions() -> None:
    bins = curve_of(np.array([0.9, 0.9, 0.9, 0.6]), np.array([1, 1, 0, 0]))
    # Three predictions of confidence 0.9, 2/3 of them right, and one of 0.6 that is wrong.
    assert expected_calibration_error(bins) == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.6)


def test_a_calibrated_classifier_has_no_error() -> None:
    bins = curve_of(np.array([0.75] * 4), np.array([1, 1, 1, 0]))
    assert expected_calibration_error(bins) == pytest.approx(0)


def test_without_predictions_the_error_is_zero() -> None:
    bins = curve_of(np.array([]), np.array([], dtype=int))
    assert (bins, expected_calibration_error(bins)) == ((), 0.0)


def test_seeds_may_be_rows() -> None:
    assert len(curve_of(np.full((2, 3), 0.8), np.ones((2, 3), dtype=int))) == 1


@pytest.mark.parametrize(("probabilities", "labels"), [([0.5], [0, 1]), ([1.5], [1]), ([-0.1], [1]), ([np.nan], [1])])
def test_invalid_probabilities_are_refused(probabilities: list[float], labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"one shape|between 0 and 1"):
        curve_of(np.array(probabilities), np.array(labels))


def test_predictions_count_even_if_they_contradict_their_probabilities() -> None:
    # With a threshold of 0.3, 0.4 is predicted positive: a confidence of 0.4, and right.
    (bin_,) = calibration_bins(np.array([0.4]), np.array([1]), np.array([1]))
    assert (bin_.low, bin_.confidence, bin_.accuracy) == (0.5, 0.4, 1.0)
