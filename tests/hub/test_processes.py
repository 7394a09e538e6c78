"""Test processes with a failing Hub: timeouts, one download for all processes, and clean-up after a kill."""

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

from tests.support.hub_clients import LISTING_IS_KEPT
from tests.support.hub_faults import DATA, FAULTS, MODEL, HubFault, Place
from tests.support.hub_runs import (
    TOKEN,
    digests,
    environment,
    fetch,
    options_for,
    result_of,
    run_benchmarks,
    serve,
    start_fetch,
)
from tests.support.loopback_hub import LoopbackHub, running_hub

pytestmark = pytest.mark.processes
# A shorter time without a byte makes the tests faster.
PATIENCE_SECONDS = 4.0
SHORT = {"PYTEST_SST2_HUB_PATIENCE": str(PATIENCE_SECONDS)}
# Time in addition to it: the reachability check, and the start of a process on a busy machine.
EXTRA_SECONDS = 20.0


@pytest.fixture
def server(repositories: dict[Place, Path]) -> Iterator[LoopbackHub]:
    with running_hub() as running:
        serve(running, repositories)
        yield running


def half_files(home: Path) -> list[str]:
    return [path.name for path in home.rglob("*.incomplete")]


def wait_until(happened: Callable[[], object], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "timeout"
        time.sleep(0.02)


# --- every fault that huggingface_hub itself would wait for, or never end


WATCHED = [fault for fault in FAULTS if fault.watched]


@dataclass
class Outcome:
    """The result of a process that met a fault, its unfinished files, and the results of the next processes."""

    first: dict[str, Any]
    unfinished: list[str]
    offline: dict[str, Any]
    repaired: dict[str, Any]


@pytest.fixture(scope="module")
def outcome_of(
    repositories: dict[Place, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[HubFault], Outcome]]:
    """Run all faults concurrently, because they mostly wait."""

    def meet(fault: HubFault) -> Outcome:
        home = tmp_path_factory.mktemp("home")
        with running_hub() as server:
            serve(server, repositories)
            fault.inject(server, MODEL)
            env = environment(fault.endpoint(server), home, PYTEST_SST2_HUB_PATIENCE=str(patience_for(fault)))
            first, unfinished = fetch(MODEL, env), half_files(home)
            server.forget()
            offline = fetch(MODEL, {**env, "HF_HUB_OFFLINE": "1"})
            return Outcome(first, unfinished, offline, fetch(MODEL, environment(server.address, home)))

    with ThreadPoolExecutor(4) as pool:
        jobs = {fault: pool.submit(meet, fault) for fault in WATCHED}
        yield lambda fault: jobs[fault].result()


def patience_for(fault: HubFault) -> float:
    """Return seconds that are sufficient for the fault: a gigabyte takes a while."""
    return 30.0 if "without end" in fault.name else PATIENCE_SECONDS


@pytest.mark.parametrize("fault", WATCHED, ids=str)
def test_every_wait_ends_in_time_with_an_error_and_no_unfinished_file(
    fault: HubFault, outcome_of: Callable[[HubFault], Outcome], repositories: dict[Place, Path]
) -> None:
    outcome = outcome_of(fault)
    assert fault.missing(outcome.first["error"]) == [], outcome.first["error"]
    assert outcome.first["seconds"] < patience_for(fault) + EXTRA_SECONDS
    assert outcome.unfinished == []
    assert "error" in outcome.offline
    assert outcome.repaired["files"] == digests(repositories[MODEL])


@LISTING_IS_KEPT  # older clients report whole blocks only
def test_a_slow_line_is_waited_for_also_by_another_process(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    # hf_xet writes nothing before it has a whole block.
    server.fault(MODEL.xet_blocks, "trickle", -8)
    env = environment(server.address, tmp_path, **SHORT)
    processes = [start_fetch(MODEL, env) for _ in range(2)]
    answers = [result_of(process) for process in processes]
    assert [answer.get("files") for answer in answers] == [digests(repositories[MODEL])] * 2
    assert max(answer["seconds"] for answer in answers) > 8


# --- whole runs of pytest


def test_a_run_of_models_that_fail_in_every_way_explains_each_in_its_own_time(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    # One of each explanation, at the first stage of the download; test_faults.py has all of them.
    met = [fault for fault in FAULTS if not (fault.watched or fault.token or " for " in fault.name)]
    faults = list({fault.expected: fault for fault in reversed(met)}.values())
    places = [Place("model", f"org/words{number}") for number in range(len(faults))]
    for fault, place in zip(faults, places, strict=True):
        server.add(place.repo_id, repositories[MODEL])
        fault.inject(server, place)
    env = environment(server.address, tmp_path, PYTEST_SST2_HUB_PATIENCE="1")
    models = ",".join(place.repo_id for place in places)
    run = run_benchmarks(f"--models={models}", "--methods=linear-probe", "--sst2-data=pocket", env=env, folder=tmp_path)
    assert run.status == 1
    assert "Traceback" not in run.output
    errors = {place: [line for line in run.errors if f"({place.repo_id})" in line] for place in places}
    assert [place for place in places if not errors[place]] == []
    assert run.seconds < 2 * PATIENCE_SECONDS * len(places)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("403, gated", DATA),
        ("Xet: one flipped bit", DATA),
        ("Xet: blocks hang in the middle", DATA),
        ("expired token", MODEL),
    ],
    ids=["gated", "flipped", "hanging", "expired"],
)
def test_a_run_against_a_broken_hub_ends_with_the_error_only(
    name: str, place: Place, server: LoopbackHub, tmp_path: Path
) -> None:
    (fault,) = [fault for fault in FAULTS if fault.name == name]
    fault.inject(server, place)
    env = environment(server.address, tmp_path, **SHORT, **({"HF_TOKEN": TOKEN} if fault.token else {}))
    run = run_benchmarks(*options_for(place), env=env, folder=tmp_path)
    assert run.status == (4 if place == DATA else 1), run.output
    assert fault.missing(run.output) == []
    assert "Traceback" not in run.output
    assert TOKEN not in run.output
    assert run.seconds < 60


def test_a_run_with_full_caches_sends_no_request_to_a_broken_hub(server: LoopbackHub, tmp_path: Path) -> None:
    env = environment(server.address, tmp_path)
    assert "files" in fetch(MODEL, env)
    assert "files" in fetch(DATA, env)
    server.requests.clear()
    server.fault("", "hang")
    options = [f"--models={MODEL.repo_id}", "--methods=linear-probe", "--sst2-data=hub", "--sst2-min-accuracy=0"]
    run = run_benchmarks(*options, env=env, folder=tmp_path)
    assert run.status == 0, run.output
    assert server.requests == []


# --- many processes with one empty cache

MANY = 16


def bodies(server: LoopbackHub, folder: Path) -> dict[str, int]:
    return {name: server.bodies_sent(name) for name in digests(folder)}


@pytest.mark.parametrize("place", [MODEL, DATA], ids=["model", "data"])
def test_one_of_sixteen_processes_downloads_for_all(
    place: Place, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    env = environment(server.address, tmp_path)
    processes = [start_fetch(place, env) for _ in range(MANY)]
    answers = [result_of(process) for process in processes]
    assert [answer.get("error") for answer in answers] == [None] * MANY
    assert all(answer["files"] == digests(repositories[place]) for answer in answers)
    folder = repositories[place]
    assert bodies(server, folder) == dict.fromkeys(digests(folder), 1)
    assert server.requests.count(f"{place.listing}?blobs=true") == 1


def test_another_process_takes_over_when_the_first_is_killed(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    server.fault("GET /org/words/resolve", "hang-in-body", 100, times=1)
    env = environment(server.address, tmp_path)
    first = start_fetch(MODEL, env)
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    (client,) = psutil.Process(first.pid).children()
    others = [start_fetch(MODEL, env) for _ in range(MANY - 1)]
    time.sleep(1.0)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    wait_until(lambda: not client.is_running(), 8.0)
    answers = [result_of(process) for process in others]
    assert [answer.get("error") for answer in answers] == [None] * (MANY - 1)
    assert all(answer["files"] == digests(repositories[MODEL]) for answer in answers)
    downloads = bodies(server, repositories[MODEL])
    # Files that the killed process had not finished are downloaded again.
    assert sum(downloads.values()) <= 2 * len(downloads)
    assert half_files(tmp_path) == []


def test_waiting_for_a_stopped_process_times_out_and_names_the_lock(server: LoopbackHub, tmp_path: Path) -> None:
    server.fault(MODEL.bodies, "hang-in-body", 100)
    holder = start_fetch(MODEL, environment(server.address, tmp_path, PYTEST_SST2_HUB_PATIENCE="300"))
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    holder.send_signal(signal.SIGSTOP)
    answer = fetch(MODEL, environment(server.address, tmp_path, **SHORT))
    holder.kill()
    holder.communicate()
    assert "another process is downloading models--org--words" in answer["error"]
    assert "pytest-sst2.lock" in answer["error"]
    assert answer["seconds"] < PATIENCE_SECONDS + EXTRA_SECONDS


# Without flock, locks are plain files, which remain when their process is killed.
NO_FLOCK = """
import errno, fcntl

def flock(descriptor, operation):
    raise OSError(errno.ENOSYS, "Function not implemented")

fcntl.flock = flock
"""


def test_the_lock_file_of_a_killed_process_blocks_others_only_until_the_timeout(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(NO_FLOCK)
    # huggingface_hub 2.4.0 with filelock 4.2 waits without end for its own lock of a shared blob here.
    env = environment(server.address, tmp_path, PYTEST_SST2_HUB_PATIENCE="12", HF_HUB_DISABLE_SHARED_BLOBS="1")
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "path"), env["PYTHONPATH"]])
    server.fault(MODEL.bodies, "hang-in-body", 100, times=1)
    first = start_fetch(MODEL, {**env, "PYTEST_SST2_HUB_PATIENCE": "120"})
    wait_until(lambda: any(line.startswith(MODEL.bodies) for line in server.requests))
    children = psutil.Process(first.pid).children()
    for process in (*children, first):
        os.kill(process.pid, signal.SIGKILL)
    first.communicate()
    locks = [path for path in tmp_path.rglob(".locks/**/*") if path.is_file()]
    assert locks
    answer = fetch(MODEL, env)
    if "error" in answer:  # filelock did not detect that the owner of a lock is gone: of ours, or of the client's own
        assert "another process is downloading" in answer["error"] or "timed out" in answer["error"]
        assert answer["seconds"] < PATIENCE_SECONDS + EXTRA_SECONDS
        for lock in locks:
            lock.unlink(missing_ok=True)
        answer = fetch(MODEL, env)
    assert answer["files"] == digests(repositories[MODEL])


def test_an_interrupted_download_leaves_no_process_and_no_unfinished_file(server: LoopbackHub, tmp_path: Path) -> None:
    server.fault(MODEL.bodies, "hang-in-body", 100)
    process = start_fetch(MODEL, environment(server.address, tmp_path))
    wait_until(lambda: half_files(tmp_path))
    (client,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    wait_until(lambda: not client.is_running())
    assert half_files(tmp_path) == []
