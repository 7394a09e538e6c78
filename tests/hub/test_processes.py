"""Processes and a Hub that fails: each ends in time, one download serves all, and a kill leaves nothing in the way."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.hub_faults import DATA, FAULTS, MODEL, HubFault, Place
from tests.support.hub_runs import (
    TOKEN,
    digests,
    environment,
    options_for,
    run_benchmarks,
    serve,
    start_taking,
    take,
    taken,
    write_repositories,
)
from tests.support.loopback_hub import LoopbackHub, running_hub

pytestmark = pytest.mark.processes
# The watch is the same with less patience, and the tests need less of ours.
PATIENCE_SECONDS = 4.0
HURRIED = {"PYTEST_SST2_HUB_PATIENCE": str(PATIENCE_SECONDS)}
# What comes beside the patience: the sign of life, and a process that starts on a busy machine.
BESIDE_SECONDS = 20.0


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, Path]:
    return write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture
def server(repositories: dict[Place, Path]) -> Iterator[LoopbackHub]:
    with running_hub() as running:
        serve(running, repositories)
        yield running


def half_files(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*.incomplete")]


def wait_until(happened: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.02)


# --- every fault that the client itself would wait for, or never end


ALONE = [fault for fault in FAULTS if fault.alone]


@dataclass
class Met:
    """What a process said of a fault, what it left, and what the next ones found."""

    first: dict[str, Any]
    left: list[str]
    offline: dict[str, Any]
    sound: dict[str, Any]


@pytest.fixture(scope="module")
def met(
    repositories: dict[Place, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[HubFault], Met]]:
    """Meet all of them beside each other, since nearly all of it is waiting."""

    def meet(fault: HubFault) -> Met:
        home = tmp_path_factory.mktemp("home")
        with running_hub() as server:
            serve(server, repositories)
            fault.order(server, MODEL)
            told = environment(fault.endpoint(server), home, PYTEST_SST2_HUB_PATIENCE=str(patience_for(fault)))
            first, left = take(MODEL, told), half_files(home)
            server.forget()
            offline = take(MODEL, {**told, "HF_HUB_OFFLINE": "1"})
            return Met(first, left, offline, take(MODEL, environment(server.address, home)))

    with ThreadPoolExecutor(4) as pool:
        jobs = {fault: pool.submit(meet, fault) for fault in ALONE}
        yield lambda fault: jobs[fault].result()


def patience_for(fault: HubFault) -> float:
    """Return what is enough to see it: a listing of a gigabyte takes a while to come."""
    return 30.0 if "more than any listing" in fault.said else PATIENCE_SECONDS


@pytest.mark.parametrize("fault", ALONE, ids=str)
def test_whatever_the_client_would_wait_for_ends_in_time_with_a_sentence_and_no_half_file(
    fault: HubFault, met: Callable[[HubFault], Met], repositories: dict[Place, Path]
) -> None:
    found = met(fault)
    assert fault.unsaid(found.first["said"]) == [], found.first["said"]
    assert found.first["seconds"] < patience_for(fault) + BESIDE_SECONDS
    assert found.left == []
    assert "said" in found.offline
    assert found.sound["files"] == digests(repositories[MODEL])


# --- as a user meets them: pytest, from the first line to the last


def test_a_run_of_models_that_fail_in_every_way_says_why_of_each_within_a_minute(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    faults = [fault for fault in FAULTS if not fault.alone and not fault.token and "redirect to" not in fault.name]
    places = [Place("model", f"org/words{number}") for number in range(len(faults))]
    for fault, place in zip(faults, places, strict=True):
        server.add(place.repo_id, repositories[MODEL])
        fault.order(server, place)
    told = environment(server.address, tmp_path, **HURRIED)
    models = ",".join(place.repo_id for place in places)
    run = run_benchmarks(
        f"--models={models}", "--methods=linear-probe", "--sst2-data=pocket", told=told, folder=tmp_path
    )
    assert run.status == 1
    assert "Traceback" not in run.output
    said = {place: [line for line in run.sentences if f"({place.repo_id})" in line] for place in places}
    assert [place for place in places if not said[place]] == []
    assert run.seconds < 60


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("403, gated", DATA),
        ("one flipped bit", DATA),
        ("bodies hang in the middle", DATA),
        ("expired token", MODEL),
    ],
    ids=["gated", "flipped", "hanging", "expired"],
)
def test_a_run_against_a_broken_hub_ends_with_the_sentence_and_nothing_else(
    name: str, place: Place, server: LoopbackHub, tmp_path: Path
) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    fault.order(server, place)
    told = environment(server.address, tmp_path, **HURRIED, **({"HF_TOKEN": TOKEN} if fault.token else {}))
    run = run_benchmarks(*options_for(place), told=told, folder=tmp_path)
    assert run.status == (4 if place == DATA else 1), run.output
    assert fault.unsaid(run.output) == []
    assert "Traceback" not in run.output
    assert TOKEN not in run.output
    assert run.seconds < 60


def test_a_run_with_full_caches_asks_a_broken_hub_nothing(server: LoopbackHub, tmp_path: Path) -> None:
    told = environment(server.address, tmp_path)
    assert "files" in take(MODEL, told)
    assert "files" in take(DATA, told)
    server.requests.clear()
    server.fault("", "hang")
    options = [f"--models={MODEL.repo_id}", "--methods=linear-probe", "--sst2-data=hub", "--sst2-min-accuracy=0"]
    run = run_benchmarks(*options, told=told, folder=tmp_path)
    assert run.status == 0, run.output
    assert server.requests == []


# --- many on one empty cache

MANY = 16


def bodies(server: LoopbackHub, folder: Path) -> dict[str, int]:
    return {name: server.bodies_sent(name) for name in digests(folder)}


@pytest.mark.parametrize("place", [MODEL, DATA], ids=["model", "data"])
def test_of_sixteen_processes_on_an_empty_cache_one_downloads_and_all_have_it(
    place: Place, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    told = environment(server.address, tmp_path)
    processes = [start_taking(place, told) for _ in range(MANY)]
    answers = [taken(process) for process in processes]
    assert [answer.get("said") for answer in answers] == [None] * MANY
    assert all(answer["files"] == digests(repositories[place]) for answer in answers)
    folder = repositories[place]
    assert bodies(server, folder) == dict.fromkeys(digests(folder), 1)
    assert server.requests.count(f"{place.listing}?blobs=true") == 1


def test_the_first_is_killed_in_the_middle_and_another_takes_over(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    server.fault("GET /org/words/resolve", "hang-in-body", 100, times=1)
    told = environment(server.address, tmp_path)
    first = start_taking(MODEL, told)
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    (client,) = psutil.Process(first.pid).children()
    others = [start_taking(MODEL, told) for _ in range(MANY - 1)]
    time.sleep(1.0)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until(lambda: not client.is_running(), 8.0)
    answers = [taken(process) for process in others]
    assert [answer.get("said") for answer in answers] == [None] * (MANY - 1)
    assert all(answer["files"] == digests(repositories[MODEL]) for answer in answers)
    counted = bodies(server, repositories[MODEL])
    # The file that was on its way comes again, and those which its client had not finished.
    assert sum(counted.values()) <= 2 * len(counted)
    assert half_files(tmp_path) == []


def test_who_waits_for_a_process_that_is_stopped_gives_up_in_time_and_says_what_to_remove(
    server: LoopbackHub, tmp_path: Path
) -> None:
    server.fault(MODEL.bodies, "hang-in-body", 100)
    holder = start_taking(MODEL, environment(server.address, tmp_path, PYTEST_SST2_HUB_PATIENCE="300"))
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    holder.send_signal(signal.SIGSTOP)
    answer = take(MODEL, environment(server.address, tmp_path, **HURRIED))
    holder.kill()
    holder.communicate()
    assert "another process is downloading models--org--words" in answer["said"]
    assert "pytest-sst2.lock" in answer["said"]
    assert answer["seconds"] < PATIENCE_SECONDS + BESIDE_SECONDS


def test_who_waits_for_a_download_that_fails_is_told_why_and_does_not_try_it_as_well(
    server: LoopbackHub, tmp_path: Path
) -> None:
    server.fault(MODEL.bodies, "hang-in-body", 100)
    told = environment(server.address, tmp_path, PYTEST_SST2_HUB_PATIENCE="15")
    holder = start_taking(MODEL, told)
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    others = [start_taking(MODEL, told) for _ in range(3)]
    said = {taken(process)["said"] for process in (holder, *others)}
    assert len(said) == 1
    assert "nothing more came of org/words" in said.pop()
    assert server.requests.count(MODEL.listing + "?blobs=true") == 1


# Without flock the client's locks and ours are files that are there or not, and stay when their process is killed.
NO_FLOCK = """
import errno, fcntl

def flock(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = flock
"""


def test_a_lock_that_a_killed_process_left_on_a_file_system_without_locks_stops_nobody_for_long(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(NO_FLOCK)
    told = environment(server.address, tmp_path, **HURRIED)
    told["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "path"), told["PYTHONPATH"]])
    server.fault(MODEL.bodies, "hang-in-body", 100, times=1)
    first = start_taking(MODEL, {**told, "PYTEST_SST2_HUB_PATIENCE": "120"})
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    children = psutil.Process(first.pid).children()
    for process in (*children, first):
        os.kill(process.pid, signal.SIGKILL)
    first.communicate()
    locks = [path for path in tmp_path.rglob(".locks/**/*") if path.is_file()]
    assert locks
    answer = take(MODEL, told)
    if "said" in answer:  # a release of filelock that does not see that the lock's owner is gone
        named = [Path(word.strip(";,.")) for word in answer["said"].split() if word.startswith("/")]
        assert answer["seconds"] < PATIENCE_SECONDS + BESIDE_SECONDS
        for path in named:
            path.unlink(missing_ok=path.suffix != ".soft")
        answer = take(MODEL, told)
    assert answer["files"] == digests(repositories[MODEL])


def test_a_download_that_is_broken_off_by_hand_leaves_no_process_and_no_half_file(
    server: LoopbackHub, tmp_path: Path
) -> None:
    server.fault(MODEL.bodies, "hang-in-body", 100)
    process = start_taking(MODEL, environment(server.address, tmp_path))
    wait_until(lambda: half_files(tmp_path))
    (client,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    wait_until(lambda: not client.is_running())
    assert half_files(tmp_path) == []
