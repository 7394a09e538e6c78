"""Fixtures for a loopback Hub that the client of this process asks."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_clients import hub_of_this_process
from tests.support.hub_faults import Place
from tests.support.hub_runs import serve, write_repositories
from tests.support.loopback_hub import LoopbackHub


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, Path]:
    """Return a tiny sentence encoder and a tiny data set in the layout of the Hub."""
    return write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture
def empty_hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        yield running


@pytest.fixture
def server(empty_hub: LoopbackHub, repositories: dict[Place, Path]) -> LoopbackHub:
    serve(empty_hub, repositories)
    return empty_hub


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses and timeouts of the client, and the lookup of a name that does not exist."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.3)
