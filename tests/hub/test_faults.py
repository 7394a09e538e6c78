"""A Hub that fails: what the user reads, how long it takes, and what the cache holds afterwards, with the real clients.

The faults are those of tests/support/hub_faults.py. ``tools/checks/hub_faults.py`` measures all of them, each in
a run of its own.
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
from tests.support.hub_faults import DATA, FAULTS, MODEL, MODEL_ID, HubFault, Place
from tests.support.hub_runs import TOKEN, serve, write_repositories
from tests.support.loopback_hub import LoopbackHub, hub_of_this_process, running_hub

SPEC = ModelSpec("words", MODEL_ID)
ASK_IN_A_PROCESS = hub_process.ask
WITH_THE_CLIENT = [fault for fault in FAULTS if not fault.alone]


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


# --- what came is what the Hub lists


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "name"),
    [(MODEL, "model.safetensors"), (MODEL, "1_Pooling/config.json"), (DATA, "data/train-00000-of-00001.parquet")],
)
@pytest.mark.parametrize("kept", ["listing and names", "names alone", "listing alone"])
def test_a_bit_that_turns_in_the_cache_is_seen_at_the_next_load_and_the_file_named(
    place: Place, name: str, kept: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept == "listing alone":  # a file system without symbolic links: there are no blobs with names
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    have(place)
    have(place)
    (file,) = hub.cache_folder().glob(f"*/snapshots/*/{name}")
    blob = file.resolve()
    if kept == "names alone":  # as releases of the client before 2.0 leave it
        (listing,) = hub.cache_folder().glob(f"{place.repo_type}s--*/trees/*.json")
        listing.unlink()
    flip_one_bit(blob)
    server.requests.clear()
    said = refusal(place)
    assert "was damaged or replaced" in said
    assert str(file) in said
    assert f"Remove {blob} and run again" in said
    assert server.requests == []
    blob.unlink()
    have(place)


def test_a_mirror_with_etags_of_its_own_and_no_digests_is_read_and_held_against_the_sizes(
    server: LoopbackHub, repositories: dict[Place, Path]
) -> None:
    commit = server.add(MODEL_ID, repositories[MODEL], digests=False)
    # Of one file, which is asked for beside the others.
    for method in ("HEAD", "GET"):
        server.fault(f"{method} /org/words/resolve/{commit}/vocab.txt", "answer", text="{}", times=1)
    assert "bytes, not the" in refusal(MODEL)
    have(MODEL)
    # All that is known of them is as it was: this is what such a mirror costs.
    (vocabulary,) = hub.cache_folder().glob("*/snapshots/*/vocab.txt")
    flip_one_bit(vocabulary.resolve())
    have(MODEL)


def test_a_file_of_the_cache_that_cannot_be_read_is_named(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    have(MODEL)

    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pytest_sst2.hub.verify.git_digest", fail)
    assert "config.json cannot be read (Input/output error)" in refusal(MODEL)


def test_what_another_program_keeps_in_the_same_snapshot_is_not_read(server: LoopbackHub) -> None:
    have(MODEL)
    (config,) = hub.cache_folder().glob("*/snapshots/*/config.json")
    (config.parent / "onnx").mkdir()
    (config.parent / "onnx" / "model.onnx").symlink_to(config.resolve().with_name("0" * 64))
    config.resolve().with_name("0" * 64).write_text("of another program")
    have(MODEL)


@pytest.mark.parametrize("stage", ["/api/models/org/words", "/tree/", "/resolve/"])
def test_a_commit_that_changes_on_the_way_is_read_as_it_was_when_it_was_asked_for(
    stage: str, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = repositories[MODEL]
    after = write_repositories(tmp_path)[MODEL]
    (after / "vocab.txt").write_text((before / "vocab.txt").read_text().replace("good", "fine"))
    commit = server.add(MODEL_ID, before, revision="before")
    answer = server.answer

    def answer_and_move(path: str) -> object:
        answered = answer(path)
        if stage in path:
            server.add(MODEL_ID, after)
        return answered

    monkeypatch.setattr(server, "answer", answer_and_move)
    assert checkpoints.locate_files(SPEC, trust_remote_code=False).weights.revision == commit
    assert_the_cache_is_sound(MODEL, before)


# --- pauses, and the time that all may take


def test_a_pause_that_the_hub_asks_for_is_kept(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    server.fault(MODEL.listing, "status", 429, headers={"Retry-After": "7"}, times=1)
    server.fault(MODEL.listing, "status", 503, times=1)
    have(MODEL)
    assert slept == [7.0, 3.0]


def come(folder: Path, count: int) -> None:
    """Have ``count`` bytes of a download be there."""
    (folder / "a.incomplete").touch()
    os.truncate(folder / "a.incomplete", count)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_byte_a_second_is_as_good_as_nothing(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    seconds = 0
    while watch.look():
        seconds += 1
        clock.now += 1
        come(tmp_path, seconds)
    assert seconds == 31  # the second more is what thirty bytes have earned


def test_what_comes_slowly_but_comes_is_waited_for(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    for number in range(1, 200):
        assert watch.look()
        clock.now += 10
        come(tmp_path, 200_000 * number)


def test_a_download_that_begins_anew_over_and_over_brings_nothing(clock: Clock, tmp_path: Path) -> None:
    watch = Patience(30.0, 30.0).watch(tmp_path)
    looks = 0
    while watch.look() and looks < 1000:
        looks += 1
        clock.now += 1
        come(tmp_path, 300_000 * (looks % 3))
    assert looks < 80


def test_waits_for_nothing_add_up_over_a_run_and_what_was_no_such_wait_is_given_back(
    clock: Clock, tmp_path: Path
) -> None:
    patience = Patience(30.0, 30.0)
    for _ in range(5):
        slow_but_good = patience.watch(tmp_path)
        clock.now += 20
        assert slow_but_good.look()
        slow_but_good.succeed()
    first = patience.watch(tmp_path)
    clock.now += 20
    assert first.look()
    second = patience.watch(tmp_path)
    clock.now += 8
    assert second.look()
    come(tmp_path, 10_000_000)  # gives back what it has cost, and not what the first has
    assert second.look()
    assert patience.left_seconds == pytest.approx(10.0)
    clock.now += 10
    assert not second.look()
    assert patience.is_over


def test_a_hub_that_was_given_up_is_not_asked_again(server: LoopbackHub) -> None:
    hub._patience().left_seconds = 0.0
    said = refusal(MODEL)
    assert "given up" in said
    assert "30 s" in said
    assert server.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("said", ["soon", "0", "-3", "nan", "inf"])
def test_a_patience_that_is_no_time_is_refused(said: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hub_process.PATIENCE_VARIABLE, said)
    assert f"{hub_process.PATIENCE_VARIABLE} is {said!r}" in refusal(MODEL)


# --- what must not get about


@pytest.mark.parametrize("stage", ["listing", "tree", "files"])
def test_a_token_is_not_sent_to_the_host_that_a_redirect_names(
    stage: str, server: LoopbackHub, repositories: dict[Place, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as elsewhere:
        serve(elsewhere, repositories)
        server.fault(getattr(MODEL, stage), "redirect", text=elsewhere.address)
        have(MODEL)
    assert f"Bearer {TOKEN}" in server.tokens
    assert elsewhere.requests
    assert set(elsewhere.tokens) == {""}
    assert_the_cache_is_sound(MODEL, repositories[MODEL])


@pytest.mark.parametrize("token", [f"{TOKEN}\x01more", f"{TOKEN}ä", f"other {TOKEN}"])
def test_a_token_that_cannot_be_sent_is_not_repeated(
    token: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    server.fault(MODEL.listing, "status", 401)
    assert TOKEN not in refusal(MODEL)


def test_neither_passwords_nor_signatures_of_an_address_are_in_a_clause() -> None:
    clause = HubError("no answer from https://me:secret@mirror.example/file?X-Amz-Signature=abc&Expires=9 (timed out)")
    assert str(clause) == "no answer from https://***@mirror.example/file (timed out)"


def test_the_clients_notes_are_short_and_have_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    noted: list[object] = []
    handler = hub_child._Notes(lambda kind, value: noted.append(value))
    for message in (
        "Error while downloading from https://cdn.example/x?Signature=abc: timed out\nTrying to resume download...",
        "HTTP Error 503 thrown while requesting HEAD https://hub.example/org/words",
        "Retrying in 4s [Retry 3/5].",
        "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)",
    ):
        handler.emit(logging.LogRecord("huggingface_hub", logging.WARNING, "", 0, message, (), None))
    assert noted == [
        "Error while downloading: timed out",
        "HTTP Error 503 thrown while requesting",
        "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)",
    ]


@pytest.fixture
def own_process(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client works in a process of its own, as it does for users."""
    monkeypatch.setattr(hub_process, "ask", ASK_IN_A_PROCESS)


@pytest.mark.usefixtures("own_process")
def test_a_client_whose_interpreter_prints_at_its_start_is_understood(
    repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talkative = tmp_path / "talkative"
    talkative.mkdir()
    (talkative / "sitecustomize.py").write_text(
        "import atexit\nprint('started')\nprint(1)\natexit.register(print, 2)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(talkative), prepend=os.pathsep)
    assert have(MODEL)
    assert_the_cache_is_sound(MODEL, repositories[MODEL])


@pytest.mark.usefixtures("own_process")
def test_without_a_folder_for_temporary_files_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_usable() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none_usable)
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
def test_a_damaged_listing_in_the_cache_is_left_aside(text: str, server: LoopbackHub) -> None:
    before = have(MODEL)
    (listing,) = hub.cache_folder().glob("models--*/trees/*.json")
    listing.write_text(text, encoding="utf-8")
    server.stop()
    assert have(MODEL) == before


def test_who_waited_for_a_download_that_failed_takes_what_a_third_has_brought(
    server: LoopbackHub, tmp_path: Path
) -> None:
    before = have(MODEL)
    root = hub.cache_folder() / "models--org--words"
    brought = root.rename(tmp_path / "brought")
    answers: list[str] = []
    waiter = threading.Thread(target=lambda: answers.append(have(MODEL)))
    with contextlib.suppress(HubError), hub_lock.turn(root, hub._patience()):
        waiter.start()
        time.sleep(2.0)  # it asks for the lock over and over
        brought.rename(root)
        raise HubError("it broke off")
    waiter.join(30)
    assert answers == [before]


def test_a_failure_that_was_followed_by_a_success_is_told_to_nobody(server: LoopbackHub) -> None:
    server.fault(MODEL.listing, "status", 404, times=1)
    refusal(MODEL)
    assert list(hub.cache_folder().rglob("*.failed"))
    have(MODEL)
    assert list(hub.cache_folder().rglob("*.failed")) == []
