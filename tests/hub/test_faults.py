"""Test a Hub that fails, with the real huggingface_hub: the user's error, and the cache afterwards.

The faults are defined in tests/support/hub_faults.py. ``tools/checks/hub_faults.py`` measures each in a separate run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data import sources
from pytest_sst2.hub import client as hub_client
from pytest_sst2.hub import lock as hub_lock
from pytest_sst2.hub import process as hub_process
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.hub import worker as hub_child
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.process import Patience
from pytest_sst2.models import locate as checkpoints
from pytest_sst2.utils.errors import Sst2Error
from tests.support import flip_one_bit
from tests.support.hub_faults import DATA, FAULTS, MODEL, MODEL_ID, HubFault, Place
from tests.support.hub_runs import TOKEN, serve, write_repositories
from tests.support.loopback_hub import LoopbackHub, hub_of_this_process, running_hub

SPEC = ModelSpec("words", MODEL_ID)
ASK_IN_A_PROCESS = hub_process.ask
IN_THIS_PROCESS = [fault for fault in FAULTS if not fault.watched]


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, Path]:
    """Return a tiny sentence encoder and a tiny data set in the layout of the Hub."""
    return write_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture
def server(tmp_path: Path, repositories: dict[Place, Path]) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        serve(running, repositories)
        yield running


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses and timeouts of the client."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(hub_client, "_LISTING_TIMEOUT_SECONDS", 0.3)


def load(place: Place) -> object:
    """Load a repository from the cache or the Hub, as a run does."""
    if place == DATA:
        return sources.load_source("hub").dataset["train"][:]
    return checkpoints.locate_files(SPEC, trust_remote_code=False).weights.sha256


def refusal(place: Place) -> str:
    with pytest.raises(Sst2Error) as caught:
        load(place)
    return str(caught.value)


def assert_the_cache_is_sound(place: Place, folder: Path) -> None:
    """Assert that the files of all cached snapshots are equal to those on the Hub."""
    for path in hub.cache_folder().glob("*/snapshots/*/**/*"):
        if path.is_file():
            assert path.read_bytes() == (folder / Path(*path.relative_to(hub.cache_folder()).parts[3:])).read_bytes()


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
    assert_the_cache_is_sound(place, repositories[place])

    # The cache contains nothing usable offline.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub._unreachable_reason.cache_clear()
    assert "HF_HUB_OFFLINE" in refusal(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub._unreachable_reason.cache_clear()

    # Without the fault the download succeeds.
    server.forget()
    content = load(place)
    assert_the_cache_is_sound(place, repositories[place])

    # With a full cache the fault does not matter.
    fault.inject(server, place)
    server.requests.clear()
    assert load(place) == content
    assert server.requests == []


# --- downloaded files are equal to the Hub's listing


@pytest.mark.parametrize(
    ("place", "name"),
    [(MODEL, "model.safetensors"), (MODEL, "1_Pooling/config.json"), (DATA, "data/train-00000-of-00001.parquet")],
)
@pytest.mark.parametrize("known", ["listing and names", "names only", "listing only"])
def test_a_flipped_bit_in_the_cache_is_detected_at_the_next_load_and_the_file_named(
    place: Place, name: str, known: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if known == "listing only":  # a file system without symbolic links has no named blobs
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    load(place)
    load(place)
    (file,) = hub.cache_folder().glob(f"*/snapshots/*/{name}")
    blob = file.resolve()
    if known == "names only":  # as huggingface_hub before 2.0 leaves it
        (listing,) = hub.cache_folder().glob(f"{place.repo_type}s--*/trees/*.json")
        listing.unlink()
    flip_one_bit(blob)
    server.requests.clear()
    message = refusal(place)
    assert "was damaged or replaced" in message
    assert str(file) in message
    assert f"Remove {blob} and run again" in message
    assert server.requests == []
    blob.unlink()
    load(place)


def test_files_of_a_mirror_without_digests_are_verified_by_size(
    server: LoopbackHub, repositories: dict[Place, Path]
) -> None:
    commit = server.add(MODEL_ID, repositories[MODEL], digests=False)
    # The fault affects one of the files.
    for method in ("HEAD", "GET"):
        server.fault(f"{method} /org/words/resolve/{commit}/vocab.txt", "answer", text="{}", times=1)
    assert "bytes, not the" in refusal(MODEL)
    load(MODEL)
    # Without digests a flipped bit cannot be detected.
    (vocabulary,) = hub.cache_folder().glob("*/snapshots/*/vocab.txt")
    flip_one_bit(vocabulary.resolve())
    load(MODEL)


def test_a_file_of_the_cache_that_cannot_be_read_is_named(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    load(MODEL)

    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pytest_sst2.hub.verify.git_digest", fail)
    assert "config.json cannot be read (Input/output error)" in refusal(MODEL)


def test_files_of_other_programs_in_the_same_snapshot_are_not_read(server: LoopbackHub) -> None:
    load(MODEL)
    (config,) = hub.cache_folder().glob("*/snapshots/*/config.json")
    (config.parent / "onnx").mkdir()
    (config.parent / "onnx" / "model.onnx").symlink_to(config.resolve().with_name("0" * 64))
    config.resolve().with_name("0" * 64).write_text("by another program")
    load(MODEL)


@pytest.mark.parametrize("stage", ["/api/models/org/words", "/tree/", "/resolve/"])
def test_a_download_uses_one_commit_even_if_main_moves(
    stage: str, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = repositories[MODEL]
    after = write_repositories(tmp_path)[MODEL]
    (after / "vocab.txt").write_text((before / "vocab.txt").read_text().replace("good", "fine"))
    commit = server.add(MODEL_ID, before, revision="before")
    answer = server.answer

    def answer_and_move(path: str) -> object:
        result = answer(path)
        if stage in path:
            server.add(MODEL_ID, after)
        return result

    monkeypatch.setattr(server, "answer", answer_and_move)
    assert checkpoints.locate_files(SPEC, trust_remote_code=False).weights.revision == commit
    assert_the_cache_is_sound(MODEL, before)


# --- pauses and the idle-time budget


def test_the_pause_of_retry_after_is_used(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.fault(MODEL.listing, "status", 429, headers={"Retry-After": "7"}, times=1)
    server.fault(MODEL.listing, "status", 503, times=1)
    load(MODEL)
    assert slept == [7.0, 3.0]


def receive(folder: Path, count: int) -> None:
    """Let a download in the folder have ``count`` bytes."""
    (folder / "a.incomplete").touch()
    os.truncate(folder / "a.incomplete", count)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_one_byte_per_second_counts_as_idle(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    seconds = 0
    while watch.look():
        seconds += 1
        clock.now += 1
        receive(tmp_path, seconds)
    assert seconds == 31  # thirty bytes refund less than a second


def test_a_slow_download_does_not_time_out(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    for number in range(1, 200):
        assert watch.look()
        clock.now += 10
        receive(tmp_path, 200_000 * number)


def test_a_download_that_restarts_repeatedly_counts_as_idle(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    looks = 0
    while watch.look() and looks < 1000:
        looks += 1
        clock.now += 1
        receive(tmp_path, 300_000 * (looks % 3))
    assert looks < 80


def test_idle_time_adds_up_over_a_run_and_other_waiting_is_refunded(clock: Clock, tmp_path: Path) -> None:
    patience = Patience(30.0, 30.0)
    for _ in range(5):
        successful = patience.watch(tmp_path)
        clock.now += 20
        assert successful.look()
        successful.succeed()
    first = patience.watch(tmp_path)
    clock.now += 20
    assert first.look()
    second = patience.watch(tmp_path)
    clock.now += 8
    assert second.look()
    receive(tmp_path, 10_000_000)  # refunds the second wait, not the first
    assert second.look()
    assert patience.left_seconds == pytest.approx(10.0)
    clock.now += 10
    assert not second.look()
    assert patience.is_over


def test_no_request_is_sent_once_the_budget_is_used_up(server: LoopbackHub) -> None:
    hub._patience().left_seconds = 0.0
    message = refusal(MODEL)
    assert "timed out" in message
    assert "30 s" in message
    assert server.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "inf"])
def test_an_invalid_patience_is_refused(value: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub_process.PATIENCE_VARIABLE, value)
    assert f"{hub_process.PATIENCE_VARIABLE} is {value!r}" in refusal(MODEL)


# --- secrets


@pytest.mark.parametrize("stage", ["listing", "tree", "files"])
def test_a_token_is_not_sent_to_the_host_of_a_redirect(
    stage: str, server: LoopbackHub, repositories: dict[Place, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as elsewhere:
        serve(elsewhere, repositories)
        server.fault(getattr(MODEL, stage), "redirect", text=elsewhere.address)
        load(MODEL)
    assert f"Bearer {TOKEN}" in server.tokens
    assert elsewhere.requests
    assert set(elsewhere.tokens) == {""}
    assert_the_cache_is_sound(MODEL, repositories[MODEL])


@pytest.mark.parametrize("token", [f"{TOKEN}\x01more", f"{TOKEN}ä", f"other {TOKEN}"])
def test_a_token_that_cannot_be_sent_is_not_in_the_error(
    token: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    server.fault(MODEL.listing, "status", 401)
    assert TOKEN not in refusal(MODEL)


def test_a_clause_contains_neither_passwords_nor_signatures() -> None:
    clause = HubError("no answer from https://me:secret@mirror.example/file?X-Amz-Signature=abc&Expires=9 (timed out)")
    assert str(clause) == "no answer from https://***@mirror.example/file (timed out)"


def test_notes_of_the_client_are_short_and_have_no_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    notes: list[object] = []
    handler = hub_child._Notes(lambda kind, value: notes.append(value))
    for message in (
        "Error while downloading from https://cdn.example/x?Signature=abc: timed out\nTrying to resume download...",
        "HTTP Error 503 thrown while requesting HEAD https://hub.example/org/words",
        "Retrying in 4s [Retry 3/5].",
        "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)",
    ):
        handler.emit(logging.LogRecord("huggingface_hub", logging.WARNING, "", 0, message, (), None))
    assert notes == [
        "Error while downloading: timed out",
        "HTTP Error 503 thrown while requesting",
        "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)",
    ]


@pytest.fixture
def own_process(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the client in a separate process, as for users."""
    monkeypatch.setattr(hub_process, "ask", ASK_IN_A_PROCESS)


@pytest.mark.usefixtures("own_process")
def test_output_at_the_start_of_the_interpreter_does_not_matter(
    repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing = tmp_path / "printing"
    printing.mkdir()
    (printing / "sitecustomize.py").write_text(
        "import atexit\nprint('started')\nprint(1)\natexit.register(print, 2)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(printing), prepend=os.pathsep)
    assert load(MODEL)
    assert_the_cache_is_sound(MODEL, repositories[MODEL])


@pytest.mark.usefixtures("own_process")
def test_a_missing_temporary_folder_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", fail)
    assert "Set TMPDIR" in refusal(MODEL)


DAMAGED = {"size": "many", "blob_id": "a" * 40}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "[" * 100_000, json.dumps({"format_version": 1, "files": {"config.json": DAMAGED}})),
        json.dumps({"format_version": 1, "files": {"config.json": {**DAMAGED, "size": 3, "blob_id": 7}}}),
        json.dumps({"format_version": 1, "files": {"config.json": {"lfs_size": 3, "lfs_sha256": ["a"]}}}),
        json.dumps({"format_version": 1, "files": {"config.json": None}}),
    ],
    ids=range(8),
)
def test_a_damaged_listing_in_the_cache_is_ignored(text: str, server: LoopbackHub) -> None:
    before = load(MODEL)
    (listing,) = hub.cache_folder().glob("models--*/trees/*.json")
    listing.write_text(text, encoding="utf-8")
    server.stop()
    assert load(MODEL) == before


def test_after_a_failed_download_a_waiting_process_uses_the_snapshot_of_a_third(
    server: LoopbackHub, tmp_path: Path
) -> None:
    before = load(MODEL)
    root = hub.cache_folder() / "models--org--words"
    moved = root.rename(tmp_path / "moved")
    answers: list[object] = []
    waiter = threading.Thread(target=lambda: answers.append(load(MODEL)))
    with contextlib.suppress(HubError), hub_lock.turn(root, hub._patience()):
        waiter.start()
        time.sleep(2.0)  # meanwhile it polls the lock
        moved.rename(root)
        raise HubError("the download failed")
    waiter.join(30)
    assert answers == [before]


def test_a_failure_is_forgotten_after_a_success(server: LoopbackHub) -> None:
    server.fault(MODEL.listing, "status", 404, times=1)
    refusal(MODEL)
    assert list(hub.cache_folder().rglob("*.failed"))
    load(MODEL)
    assert list(hub.cache_folder().rglob("*.failed")) == []
