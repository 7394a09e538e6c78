"""Parts of fingerprints about different numbers of probe sentences are aligned by sentence."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.compare.drift.common_sentences import common_sentences
from pytest_sst2.results.probe_sentences import answered_sentences, embedded_sentences, probe_sentences

ALL = np.arange(len(probe_sentences()))


@pytest.mark.parametrize("some", [embedded_sentences(), answered_sentences()])
def test_a_file_before_0_4_0_is_compared_in_the_sentences_that_a_later_one_has(some: tuple[int, ...]) -> None:
    later = np.array(some)
    for one, other in ((ALL, later), (later, ALL), (later, later)):
        numbers, first, second = common_sentences(one, other)
        assert numbers.tolist() == first.tolist() == second.tolist()
        assert sorted(numbers) == sorted(some)


def test_rows_of_several_values_stay_together() -> None:
    numbers, first, second = common_sentences(np.stack([ALL, -ALL], axis=1), np.array(embedded_sentences()))
    assert first.tolist() == [[number, -number] for number in numbers]
    assert second.tolist() == numbers.tolist()
