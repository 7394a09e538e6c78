"""Fingerprints: bits and floats packed without loss, and the fixed sentences they are taken with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.results.fingerprint import (
    Fingerprint,
    packed_bits,
    packed_floats,
    unpacked_bits,
    unpacked_floats,
)
from pytest_sst2.results.probe_sentences import fixed_sentences, fixed_sentences_digest, has_accents, has_capitals
from pytest_sst2.utils.typed_json import read_plain
from tests.support.record_factory import FINGERPRINT


def test_bits_stand_eight_to_a_byte_the_first_in_the_highest() -> None:
    assert packed_bits([1, 0, 1, 1]) == "sA=="  # 1011 0000
    assert packed_bits([0, 0, 0, 0, 0, 0, 0, 1, 1]) == "AYA="  # 0000 0001, 1000 0000
    assert packed_bits([]) == ""


@settings(deadline=None, database=None)
@given(st.lists(st.integers(0, 1)))
def test_bits_come_back(bits: list[int]) -> None:
    assert unpacked_bits(packed_bits(bits), len(bits)) == tuple(bits)


@pytest.mark.parametrize(("text", "count"), [("sA==", 9), ("sA==", 0), ("", 1), ("sLA=", 4), ("s", 4), ("s§==", 4)])
def test_bits_of_another_number_or_no_base64_are_refused(text: str, count: int) -> None:
    with pytest.raises(ValueError):
        unpacked_bits(text, count)


def test_floats_are_little_endian_float32_on_every_machine() -> None:
    assert packed_floats([1.0, -2.0]) == "AACAPwAAAMA="
    assert unpacked_floats("AACAPwAAAMA=") == (1.0, -2.0)
    assert unpacked_floats("") == ()


@settings(deadline=None, database=None)
@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_floats_come_back(values: list[float]) -> None:
    assert unpacked_floats(packed_floats(values)) == tuple(values)


@settings(deadline=None, database=None)
@given(st.lists(st.floats(-1e30, 1e30)))
def test_doubles_come_back_at_the_precision_of_float32(values: list[float]) -> None:
    assert unpacked_floats(packed_floats(values)) == pytest.approx(
        [struct.unpack("<f", struct.pack("<f", value))[0] for value in values], nan_ok=True
    )


@pytest.mark.parametrize("text", ["sA==", "AACAPwA=", "s", "AACAP§=="])
def test_half_a_float_or_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpacked_floats(text)


@pytest.mark.parametrize("missing", [(), ("tokens",), ("encoder",), ("training",), ("tokens", "encoder", "training")])
def test_a_fingerprint_comes_back_from_json(missing: tuple[str, ...]) -> None:
    fingerprint = dataclasses.replace(FINGERPRINT, **dict.fromkeys(missing))
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(fingerprint)))
    assert read_plain(Fingerprint, plain) == fingerprint


WANTED = [field.name for field in dataclasses.fields(FINGERPRINT) if field.default is dataclasses.MISSING]


@pytest.mark.parametrize("field", WANTED)
def test_a_fingerprint_that_lacks_a_field_is_refused(field: str) -> None:
    plain = dataclasses.asdict(FINGERPRINT)
    del plain[field]
    with pytest.raises(ValueError, match=field):
        read_plain(Fingerprint, plain)


class TestFixedSentences:
    """They may never be changed: fingerprints of other sentences cannot be compared."""

    def test_they_are_these_64(self) -> None:
        assert len(fixed_sentences()) == len(set(fixed_sentences())) == 64
        assert fixed_sentences_digest() == "27932af5fc84db00"
        assert hashlib.sha256("\n".join(fixed_sentences()).encode()).hexdigest().startswith("27932af5fc84db00")

    def test_they_hold_what_a_change_of_tokenizer_stumbles_over(self) -> None:
        sentences = fixed_sentences()
        assert sum(map(has_capitals, sentences)) >= 5
        assert sum(map(has_accents, sentences)) >= 5
        # Accents without capitals tell a change of normalisation from one of lower-casing, and the reverse.
        assert any(has_accents(each) and not has_capitals(each) for each in sentences)
        assert any(has_capitals(each) and not has_accents(each) for each in sentences)
        assert max(len(each.split()) for each in sentences) > 128
        assert min(len(each.split()) for each in sentences) == 1

    @pytest.mark.parametrize(
        ("sentence", "capitals", "accents"),
        [
            ("a film", False, False),
            ("A film", True, False),
            ("naïve", False, True),
            ("Élan", True, True),
            ("фильм", False, True),
            ("映画", False, True),
            ("10/10 👍 — “so”", False, False),
        ],
    )
    def test_capitals_and_letters_beyond_ascii_are_told(self, sentence: str, capitals: bool, accents: bool) -> None:
        assert (has_capitals(sentence), has_accents(sentence)) == (capitals, accents)
