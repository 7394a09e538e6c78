"""Unexpected errors: one sentence, and a file with the traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.utils.unexpected import unexpected


def fail() -> None:
    raise TypeError("no\nsuch thing")


def caught() -> Exception:
    try:
        fail()
    except TypeError as error:
        return error
    raise AssertionError


def test_the_sentence_names_a_file_with_the_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    sentence = unexpected("the comparison", caught())
    (path,) = tmp_path.iterdir()
    assert sentence == (
        f"the comparison failed unexpectedly (TypeError: no such thing). Its traceback is in {path}; please report it "
        "with that file."
    )
    assert "in fail" in path.read_text(encoding="utf-8")


def test_without_a_place_for_the_file_the_sentence_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert unexpected("the report", caught()).endswith(". Its traceback could not be written to a file.")
