"""Fixtures for tiny models in folders, and a loopback Hub."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import tiny_models
from tests.support.hub_clients import hub_of_this_process
from tests.support.loopback_hub import LoopbackHub


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        yield running


@pytest.fixture(scope="module")
def plain_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tiny BERT as ``save_pretrained`` writes it, without sentence-transformers modules."""
    return tiny_models.write_encoder(tmp_path_factory.mktemp("plain") / "encoder", seed=1)


@pytest.fixture
def plain(plain_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain_encoder, tmp_path / "plain"))


@pytest.fixture
def sentence(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "sentence"))


@pytest.fixture(params=[False, True], ids=["a module", "a module within a router"])
def routed(request: pytest.FixtureRequest) -> bool:
    if request.param:
        request.getfixturevalue("has_routers")
    return bool(request.param)


@pytest.fixture
def has_routers() -> None:
    """Skip a test if the installed sentence-transformers has no Routers."""
    from sentence_transformers import models

    if not hasattr(models, "Router"):
        pytest.skip("sentence-transformers before 5 has no Router")
