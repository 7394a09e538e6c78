"""Parts of fingerprints about different numbers of probe sentences are aligned by sentence."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.compare.drift.common_sentences import common_sentences
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.probe_sentences import answered_sentences, embedded_sentences, probe_sentences
from tests.compare.drift.test_fixed_batch import OTHER_LOGITS, trained
from tests.support.record_factory import SKETCH, with_fingerprint

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


def test_fixed_batches_of_other_sentences_are_not_compared() -> None:
    before, after = trained(), trained(logits=OTHER_LOGITS)
    assert drift_causes(before, after)
    fewer = [value for number in embedded_sentences() for value in SKETCH[2 * number : 2 * number + 2]]
    sketch = packed_floats(fewer)
    assert drift_causes(before, with_fingerprint(after, encoder={"sketch": sketch, "hidden": sketch})) == ()
