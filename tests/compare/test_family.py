"""Test the correction for the number of cells: cells that cannot be rejected, groups of probes, and Holm's steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.compare.family import CellTest, adjusted_p_values, hochberg


def adjusted(*tests: tuple[float, float, str]) -> list[float]:
    return adjusted_p_values([CellTest(*test) for test in tests], 0.01)


def single(*p_values: float) -> list[float]:
    return adjusted(*((p, 0.0, str(index)) for index, p in enumerate(p_values)))


def test_single_cells_are_corrected_by_holm_s_steps() -> None:
    # Sorted: 4 x 0.01, 3 x 0.02, 2 x 0.022 raised to the 0.06 before it, and 1 x 0.5.
    assert single(0.02, 0.5, 0.01, 0.022) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert single(0.03) == [0.03]
    assert single() == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_values_grow_to_at_most_one_and_keep_their_order(p_values: list[float]) -> None:
    result = single(*p_values)
    assert all(p <= value <= 1 for p, value in zip(p_values, result, strict=True))
    by_size = [value for _, value in sorted(zip(p_values, result, strict=True))]
    assert by_size == sorted(by_size)


def test_a_cell_without_flips_never_pays() -> None:
    assert adjusted((0.004, 1e-9, "a"), (1.0, 1.0, "majority")) == [0.004, 1.0]


def test_cells_that_cannot_reach_their_share_of_alpha_do_not_count() -> None:
    # 0.0078 is below 0.01 but not below 0.01 / 2, so with two cells it could never be rejected.
    assert adjusted((0.004, 1e-9, "a"), (0.0078, 0.0078, "b")) == [0.004, 1.0]
    assert adjusted((0.0078, 0.0078, "b")) == [0.0078]


def test_probes_of_one_embedding_count_once_where_they_agree() -> None:
    assert adjusted((0.004, 0, "minilm"), (0.005, 0, "minilm"), (0.9, 0, "tfidf")) == pytest.approx([0.01, 0.01, 0.9])
    # If one of the two differs from the other, it pays for both.
    assert adjusted((0.001, 0, "minilm"), (0.5, 0, "minilm"), (0.9, 0, "tfidf"))[0] == pytest.approx(0.004)


def test_a_group_counts_until_all_its_cells_are_rejected() -> None:
    # The probes' second cell is not rejected, so tfidf is still one of two groups.
    assert adjusted((1e-5, 0, "minilm"), (0.5, 0, "minilm"), (0.008, 0, "tfidf"))[2] == pytest.approx(0.016)
    assert adjusted((1e-5, 0, "minilm"), (1e-4, 0, "minilm"), (0.008, 0, "tfidf"))[2] == pytest.approx(0.008)


def test_hochberg_s_procedure() -> None:
    assert hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_false_alarms_in_any_cell_are_at_most_alpha(correlation: float) -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    common = rng.standard_normal((4000, 1))
    probes = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((4000, 2))
    z = np.hstack([probes, rng.standard_normal((4000, 2))])
    z[:, 2] -= 3  # one cell did fall
    groups = ("minilm", "minilm", "tfidf", "fine-tune")
    alarms = 0
    for p_values in stats.norm.cdf(z):
        result = adjusted_p_values([CellTest(p, 0.0, group) for p, group in zip(p_values, groups, strict=True)], 0.05)
        alarms += any(value <= 0.05 for index, value in enumerate(result) if index != 2)
    assert alarms / 4000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_an_invalid_probability_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        single(0.5, 1.1)
