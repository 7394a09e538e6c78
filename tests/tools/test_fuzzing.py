"""The contract of the readers can fail, and damage changes its inputs."""

import pytest
from hypothesis import find

from pytest_sst2.utils.errors import Sst2Error
from tests.support.fuzzing import checked_sentence, damaged_bytes, damaged_json, refusal


def raising(error):
    def read(_data):
        raise error

    return read


def test_a_sentence_is_returned():
    assert refusal(raising(Sst2Error("train.tsv has no rows.")), b"", "train.tsv") == "train.tsv has no rows."


def test_a_sentence_without_the_name_of_the_file_fails():
    with pytest.raises(AssertionError):
        refusal(raising(Sst2Error("no rows.")), b"", "train.tsv")


def test_another_error_propagates():
    with pytest.raises(KeyError):
        refusal(raising(KeyError("sentence")), b"")


@pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[2J", "\ud83d", "\u202e", "a" * 3000])
def test_a_text_that_is_not_one_printable_sentence_fails(text):
    with pytest.raises(AssertionError):
        checked_sentence(text)


def test_damage_removes_changes_and_adds_bytes():
    damaged = damaged_bytes([b"abcd"])
    assert len(find(damaged, lambda data: len(data) < 4)) < 4
    assert find(damaged, lambda data: len(data) == 4 and data != b"abcd") != b"abcd"
    assert len(find(damaged, lambda data: len(data) > 4)) > 4


def test_damage_removes_and_replaces_values_and_keeps_the_original():
    value = {"a": 1, "b": [2]}
    for wanted in ({"b": [2]}, {"a": 1, "b": [None]}, {"a": [2], "b": [2]}):
        assert find(damaged_json(value), lambda damaged, wanted=wanted: damaged == wanted) == wanted
    assert value == {"a": 1, "b": [2]}
