"""Damaged files of pinned versions: at least one package with a version, or one sentence that names the file."""

from __future__ import annotations

import pytest
from hypothesis import given

from pytest_sst2.upgrade.pins import read_pins
from tests.support.fuzzing import FUZZ, damaged_text, refusal

FILES = [
    b"# by hand\ntorch==2.13.0\nnumpy == 2.4.6 ; python_version > '3'\n",
    b"scikit_learn===1.9.1 \\\n    --hash=sha256:aa\n-c other.txt\nattrs[x]==1!2.0+local # why\n",
]
WORDS = (b"==", b"===", b"~=", b"@", b";", b"[", b"]", b"\\\n", b" #", b"1!1.0")


def refusal_of(folder, data: bytes) -> str:
    def check(data: bytes) -> None:
        path = folder / "pins.txt"
        path.write_bytes(data)
        pins = read_pins(path)
        assert pins
        assert all(name and version for name, version in pins.items())

    return refusal(check, data, "pins.txt")


@pytest.mark.parametrize("data", FILES, ids=["spaces", "hashes"])
def test_a_valid_file_is_read(data, tmp_path):
    assert refusal_of(tmp_path, data) == ""


@FUZZ
@given(data=damaged_text(FILES, WORDS))
def test_a_damaged_file_is_read_or_refused(data, tmp_path):
    refusal_of(tmp_path, data)


def test_what_broke_the_reader_is_refused(tmp_path):
    # Older releases of packaging read it as a version that is empty, newer ones refuse the line.
    assert refusal_of(tmp_path, b"scikit_le===")
