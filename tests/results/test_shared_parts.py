"""Shared parts: any JSON is read back exactly, and what compresses badly is stored apart."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_sst2.results.packing import packed_bytes, packed_floats, packed_text
from pytest_sst2.results.shared_parts import _dictionary, pack_shared, unpack_shared

DIGITS = hashlib.sha256(b"").hexdigest()
CHARACTERS = st.characters(codec="utf-8")
TEXTS = st.one_of(
    st.text(CHARACTERS),
    st.text(st.sampled_from("\x01\x02\x03\x04\x05\x06\x07 1a\n")),
    st.text(CHARACTERS, max_size=20).map(packed_text),
    st.text(st.sampled_from("layer.01 \n"), max_size=40).map(packed_text),
    st.binary(max_size=60).map(packed_bytes),
    st.lists(st.floats(width=32, allow_nan=False), max_size=20).map(packed_floats),
    st.binary(max_size=20).map(bytes.hex),
)


@settings(deadline=None, database=None, max_examples=40)
@given(st.lists(st.one_of(TEXTS, st.dictionaries(TEXTS, st.one_of(TEXTS, st.integers(), st.none(), st.lists(TEXTS))))))
@example(
    [packed_bytes(bytes(10_000)), packed_text("layer.007.weight 3x4\nlayer.1\n\nno number"), DIGITS, DIGITS.upper()]
)
@example([packed_text("\x06 1"), packed_text("1\x07 2"), packed_text(""), "a file\ud800"])
def test_any_parts_are_read_back_exactly(parts: list[Any]) -> None:
    assert unpack_shared(pack_shared([json.dumps(part) for part in parts])) == parts


def test_random_bytes_are_stored_as_they_are() -> None:
    content = random.Random(0).randbytes(3_000)
    assert len(pack_shared([json.dumps(packed_bytes(content))])) < 3_000 * 5 / 4 + 50


def test_names_of_the_same_layers_take_little() -> None:
    lines = (f"decoder.block.{layer}.mixer.{part}.weight 64x{64 + part}" for layer in range(40) for part in range(9))
    names = "\n".join(lines)
    assert len(pack_shared([json.dumps(packed_text(names))])) < 0.4 * len(packed_text(names))


def test_the_dictionary_never_changes_because_files_need_it() -> None:
    assert zlib.adler32(_dictionary()) == 2213549494
    assert len(_dictionary()) < 2**15  # zlib looks no farther back


@pytest.mark.parametrize("text", ["\x019", "\x01-1", "\x01x", "\x032", "\x02", "\x01"])
def test_parts_that_refer_to_missing_bytes_are_refused(text: str) -> None:
    damaged = base64.b85encode(zlib.compress(json.dumps([text]).encode()) + b"12").decode()
    with pytest.raises((ValueError, zlib.error)):
        unpack_shared(damaged)
