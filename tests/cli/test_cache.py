"""`pytest-sst2 cache`: the size of the cache of embeddings, and `--clear`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache


def test_the_cache_is_shown_and_cleared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path))
    EmbeddingCache(tmp_path, 2**20).put("a" * 64, np.ones((100, 1000), dtype=np.float32))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 0.4 MB. Remove with: pytest-sst2 cache --clear\n"
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 1 entry removed, 0.4 MB\n"
    assert list(tmp_path.iterdir()) == []
