"""Test a Hub that fails, with the real huggingface_hub: the user's error, and the cache afterwards.

The faults are defined in tests/support/hub_faults.py. ``tools/checks/hub_faults.py`` measures each in a separate run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.hub import download
from tests.support.hub_faults import DATA, FAULTS, MODEL, HubFault, Place
from tests.support.hub_runs import TOKEN, assert_the_cache_is_sound, load, refusal
from tests.support.loopback_hub import LoopbackHub

IN_THIS_PROCESS = [fault for fault in FAULTS if not fault.watched]


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize("place", [MODEL, DATA], ids=["model", "data"])
@pytest.mark.parametrize("fault", IN_THIS_PROCESS, ids=str)
def test_a_fault_is_one_sentence_and_harms_neither_the_cache_nor_a_run_with_a_full_cache(
    fault: HubFault,
    place: Place,
    server: LoopbackHub,
    repositories: dict[Place, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if fault.token:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    fault.inject(server, place)
    message = refusal(place)
    assert fault.missing(message) == [], message
    assert "\n" not in message
    assert TOKEN not in message
    assert_the_cache_is_sound(repositories[place])

    # The cache contains nothing usable offline.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    download._unreachable_reason.cache_clear()
    assert "HF_HUB_OFFLINE" in refusal(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    download._unreachable_reason.cache_clear()

    # Without the fault the download succeeds.
    server.forget()
    content = load(place)
    assert_the_cache_is_sound(repositories[place])

    # With a full cache the fault does not matter.
    fault.inject(server, place)
    server.requests.clear()
    assert load(place) == content
    assert server.requests == []
