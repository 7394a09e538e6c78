"""Test vectors: estimates from projections against exact cosines and neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.model_lock.vectors import check_vectors, mixing, pack_vectors, unit_length

COUNT, DIMENSIONS = 64, 96


def clustered(seed: int = 0) -> np.ndarray:
    """Return embeddings in groups, as sentences have them."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((8, DIMENSIONS))
    return centres[np.arange(COUNT) % 8] + 0.6 * random.standard_normal((COUNT, DIMENSIONS))


def exact(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Return the mean cosine and the share of the five nearest earlier vectors that new ones find again."""
    one, other = unit_length(before), unit_length(after)

    def nearest(similarities: np.ndarray) -> np.ndarray:
        np.fill_diagonal(similarities, -2)
        return np.argsort(-similarities, axis=1)[:, :5]

    pairs = zip(nearest(one @ one.T), nearest(other @ one.T), strict=True)
    same = [len({*first} & {*second}) / 5 for first, second in pairs]
    return float((one * other).sum(axis=1).mean()), float(np.mean(same))


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.05, 0.2])
def test_cosine_and_neighbours_are_near_the_exact_ones(noise: float) -> None:
    before = clustered()
    after = before + noise * np.random.default_rng(1).standard_normal(before.shape)
    cosine, same = exact(before, after)
    estimated = mixing(pack_vectors(before), after)
    assert estimated is not None
    assert 1 - estimated.cosine == pytest.approx(1 - cosine, rel=0.2, abs=1e-6)
    assert estimated.same_neighbours == pytest.approx(same, abs=0.06)


def test_the_same_vectors_and_longer_ones_mix_without_loss() -> None:
    before = clustered()
    for after in (before, 3 * before, before.astype(np.float32)):
        estimated = mixing(pack_vectors(before), after)
        assert estimated is not None
        assert estimated.cosine == pytest.approx(1, abs=1e-6)
        assert estimated.same_neighbours == 1


def test_a_common_shift_of_all_vectors_changes_few_neighbours() -> None:
    before = unit_length(clustered())
    after = before + 0.05 * np.ones(DIMENSIONS) / np.sqrt(DIMENSIONS)
    estimated = mixing(pack_vectors(before), after)
    assert estimated is not None
    assert estimated.same_neighbours > 0.95
    assert estimated.lowest_cosine < 0.9999


def test_vectors_of_other_dimensions_have_nothing_in_common() -> None:
    assert mixing(pack_vectors(clustered()), clustered()[:, :50]) is None


def test_two_sentences_have_a_neighbour_each_and_a_damaged_part_is_found() -> None:
    packed = pack_vectors(clustered()[:2])
    check_vectors(packed, 2)
    with pytest.raises(ValueError, match=r"vectors\.projections has 64 bytes for 3 sentences, not 96"):
        check_vectors(packed, 3)
