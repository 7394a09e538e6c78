"""Damaged entries of the embedding cache: valid embeddings, or none, a warning, and the entry removed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache, _digest
from tests.support.fuzzing import FUZZ, damaged_bytes

ADDRESS = "0" * 64
SHAPES = ((3, 4), (0, 0), (3, 0), (2**62, 4), (2**64 - 1, 2**64 - 1))
PAYLOADS = [struct.pack("<QQ", *shape) + bytes(range(48)) for shape in SHAPES]


def signed(payload: bytes) -> bytes:
    """Return an entry with a valid digest, so that the checks after the digest are reached."""
    return _digest(ADDRESS, payload) + payload


def check_entry(folder, data: bytes) -> np.ndarray | None:
    path = folder / f"{ADDRESS}.embeddings"
    path.write_bytes(data)
    cache = EmbeddingCache(folder, 2**30)
    embeddings = cache.get(ADDRESS, 3)
    if embeddings is None:
        assert "was damaged" in cache.problem
        assert not path.exists()
    else:
        assert embeddings.shape[0] == 3
        assert embeddings.ndim == 2
        assert embeddings.dtype == np.float32
    return embeddings


def test_a_valid_entry_is_read(tmp_path):
    assert check_entry(tmp_path, signed(PAYLOADS[0])) is not None


@FUZZ
@given(data=st.one_of(damaged_bytes(PAYLOADS).map(signed), damaged_bytes([signed(PAYLOADS[0])])))
def test_a_damaged_entry_is_read_or_removed(data, tmp_path):
    check_entry(tmp_path, data)


@pytest.mark.parametrize("payload", [b"\xff" * 16, struct.pack("<QQ", 3, 2**62)], ids=["many rows", "many columns"])
def test_an_entry_that_broke_the_reader_is_removed(payload, tmp_path):
    assert check_entry(tmp_path, signed(payload)) is None
