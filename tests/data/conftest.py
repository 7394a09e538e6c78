"""Fixtures for SST-2 and for a small data set in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.data import sources
from pytest_sst2.data.sources import Source, content_digest, load_folder
from tests.support.data_folders import TRAIN, VALIDATION


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the known content of SST-2 by TRAIN and VALIDATION."""
    splits = {"train": TRAIN, "validation": VALIDATION}
    contents = {name: (len(rows.labels), content_digest(rows)) for name, rows in splits.items()}
    monkeypatch.setattr(sources, "_SST2", contents)


@pytest.fixture(scope="module")
def sst2(real_sst2: Path) -> Source:
    """SST-2 read from GLUE's files."""
    return load_folder(real_sst2)
