"""A Hub that fails: what the user reads, how long it takes, and what the cache holds afterwards, with the real clients.

The faults are those of tests/hub_faults.py. ``tools/hub_faults.py`` measures all of them, each in a run of its own.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_sst2 import checkpoints, hub, hub_client, sources
from pytest_sst2.errors import Sst2Error
from pytest_sst2.hub_errors import HubError
from pytest_sst2.registry import ModelSpec
from tests.hub_faults import DATA, FAULTS, MODEL, MODEL_ID, HubFault, Place
from tests.loopback_hub import LoopbackHub, hub_of_this_process, running_hub
from tests.tiny_models import add_sentence_modules, sentences_and_labels, write_encoder

SPEC = ModelSpec("words", MODEL_ID)
WITH_THE_CLIENT = [fault for fault in FAULTS if not fault.alone]
ALONE = [fault for fault in FAULTS if fault.alone]


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, Path]:
    """A tiny sentence encoder and a tiny data set as they lie on the Hub."""
    return write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture
def server(tmp_path: Path, repositories: dict[Place, Path]) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        serve(running, repositories)
        yield running


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's pauses and timeouts, made short."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(hub_client, "_LISTING_TIMEOUT_SECONDS", 0.3)


def have(place: Place) -> object:
    """Return what a run takes from the Hub or its cache."""
    if place == DATA:
        return sources.load_source("hub").dataset["train"][:]
    return checkpoints.locate_files(SPEC, trust_remote_code=False).weights.sha256


def refusal(place: Place) -> str:
    with pytest.raises(Sst2Error) as caught:
        have(place)
    return str(caught.value)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_the_cache_is_sound(place: Place, folder: Path) -> None:
    """Assert that whatever the cache's snapshots hold is what the Hub has."""
    for path in hub.cache_folder().glob("*/snapshots/*/**/*"):
        if path.is_file():
            assert path.read_bytes() == (folder / Path(*path.relative_to(hub.cache_folder()).parts[3:])).read_bytes()


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("place", [MODEL, DATA], ids=["model", "data"])
@pytest.mark.parametrize("fault", WITH_THE_CLIENT, ids=str)
def test_a_fault_is_one_sentence_leaves_nothing_bad_behind_and_does_not_matter_to_a_full_cache(
    fault: HubFault,
    place: Place,
    server: LoopbackHub,
    repositories: dict[Place, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault.token:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    fault.order(server, place)
    said = refusal(place)
    assert fault.unsaid(said) == [], said
    assert "\n" not in said
    assert TOKEN not in said
    assert_the_cache_is_sound(place, repositories[place])

    # Offline there is nothing to be taken.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub._unreachable_reason.cache_clear()
    assert "HF_HUB_OFFLINE" in refusal(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub._unreachable_reason.cache_clear()

    # When the Hub is sound again, so is what comes of it.
    server.forget()
    got = have(place)
    assert_the_cache_is_sound(place, repositories[place])

    # And then it may do what it likes.
    fault.order(server, place)
    server.requests.clear()
    assert have(place) == got
    assert server.requests == []
