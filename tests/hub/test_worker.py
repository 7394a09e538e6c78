"""Test what the child process downloads, verifies and reports, with the client in this process."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest

from pytest_sst2.hub import cache, worker
from pytest_sst2.hub.cache import Snapshot
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.verification import verify
from tests.support.hub_clients import LISTING_IS_KEPT
from tests.support.hub_faults import MODEL, Place
from tests.support.hub_runs import (
    TOKEN,
    assert_the_cache_is_sound,
    download_texts,
    load,
    refusal,
    serve,
    write_files,
    write_repositories,
)
from tests.support.loopback_hub import Answer, LoopbackHub, running_hub

NEVER_A_COMMIT = "a" * 40
SMALL = {"config.json": "{}", "vocab.txt": "good\nbad\n", "sub/part.json": "[1]"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_files(tmp_path / "repo", SMALL)


def text_refusal(repo_id: str, revision: str | None = None) -> str:
    with pytest.raises(HubError) as caught:
        download_texts(repo_id, revision)
    return str(caught.value)


# --- the files


def test_a_download_has_the_selected_files_of_one_commit_and_prints_nothing(
    empty_hub: LoopbackHub, repo: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(repo, {"README.md": "no match", "onnx/model.onnx": "no match"})
    commit = empty_hub.add("org/words", repo)
    snapshot = download_texts("org/words")
    assert snapshot == Snapshot(cache.repository_folder("org/words", "model") / "snapshots" / commit, commit)
    names = {path.relative_to(snapshot.folder).as_posix() for path in snapshot.folder.rglob("*") if path.is_file()}
    assert names == set(SMALL)
    assert capfd.readouterr() == ("", "")


def test_names_with_special_characters_are_selected_as_they_are(empty_hub: LoopbackHub, tmp_path: Path) -> None:
    empty_hub.add("org/words", write_files(tmp_path / "repo", {"[a].txt": "1", "a.txt": "2", "b*.txt": "3"}))
    assert {path.name for path in download_texts("org/words").folder.iterdir()} == {"[a].txt", "a.txt", "b*.txt"}


def test_revisions_have_their_own_snapshots_and_references(empty_hub: LoopbackHub, tmp_path: Path) -> None:
    first = empty_hub.add("org/words", write_files(tmp_path / "one", {"vocab.txt": "old"}), revision="v1")
    main = empty_hub.add("org/words", write_files(tmp_path / "two", {"vocab.txt": "new"}))
    assert download_texts("org/words").commit == main
    references = cache.repository_folder("org/words", "model") / "refs"
    assert download_texts("org/words", first).commit == first
    assert {path.name: path.read_text() for path in references.iterdir()} == {"main": main}
    assert (download_texts("org/words", "v1").folder / "vocab.txt").read_text() == "old"
    assert {path.name: path.read_text() for path in references.iterdir()} == {"main": main, "v1": first}


def test_the_commit_that_a_mirror_returns_for_a_pinned_commit_is_recorded(empty_hub: LoopbackHub, repo: Path) -> None:
    commit = empty_hub.add("org/words", repo, any_revision=True)
    assert download_texts("org/words", NEVER_A_COMMIT).commit == commit


def test_a_repository_is_refused_before_its_weights_are_downloaded(server: LoopbackHub, tmp_path: Path) -> None:
    modules = '[{"path": "../elsewhere", "type": "sentence_transformers.models.Transformer"}]'
    folder = write_files(tmp_path / "outside", {"config.json": "{}", "vocab.txt": "good\n", "modules.json": modules})
    (folder / "model.safetensors").write_bytes(b"\0" * (1 << 20))
    server.add(MODEL.repo_id, folder)
    assert "elsewhere" in refusal(MODEL)
    assert server.bodies_sent("model.safetensors") == 0


def test_a_disk_that_is_too_small_is_named_before_the_download(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(1_000_000))
    message = refusal(MODEL)
    assert "needs" in message
    assert "1 MB free" in message
    assert server.bodies_sent("model.safetensors") == 0


@pytest.mark.parametrize("stage", ["/api/models/org/words", "/tree/", "/resolve/"])
def test_a_download_uses_one_commit_even_if_main_moves(
    stage: str, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = repositories[MODEL]
    after = write_repositories(tmp_path)[MODEL]
    (after / "vocab.txt").write_text((before / "vocab.txt").read_text().replace("good", "fine"))
    commit = server.add(MODEL.repo_id, before, revision="before")
    answer = server.answer

    def answer_and_move(path: str) -> object:
        result = answer(path)
        if stage in path:
            server.add(MODEL.repo_id, after)
        return result

    monkeypatch.setattr(server, "answer", answer_and_move)
    load(MODEL)
    (reference,) = cache.cache_folder().glob("*/refs/main")
    assert reference.read_text() == commit
    assert_the_cache_is_sound(before)


# --- names and revisions that do not exist


def test_the_error_of_an_unknown_name_contains_the_hub_and_the_token(empty_hub: LoopbackHub) -> None:
    clause = text_refusal("org/typo")
    for part in (empty_hub.address, "has no org/typo", "HF_TOKEN"):
        assert part in clause


def test_an_invalid_name_is_refused_without_a_request(empty_hub: LoopbackHub) -> None:
    assert "org/.." in text_refusal("org/..")
    assert empty_hub.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("revision", ["v9", NEVER_A_COMMIT])
def test_a_missing_revision_is_not_reported_as_a_missing_repository(
    empty_hub: LoopbackHub, repo: Path, revision: str
) -> None:
    empty_hub.add("org/words", repo)
    assert f"org/words has no revision '{revision}'" in text_refusal("org/words", revision)


# --- damage and interruptions


def test_files_of_a_mirror_without_digests_are_verified_by_size(
    server: LoopbackHub, repositories: dict[Place, Path]
) -> None:
    commit = server.add(MODEL.repo_id, repositories[MODEL], digests=False)
    # The fault affects one of the files.
    for method in ("HEAD", "GET"):
        server.fault(f"{method} /org/words/resolve/{commit}/vocab.txt", "answer", text="{}", times=1)
    assert "bytes, not the" in refusal(MODEL)
    load(MODEL)


def listing_with(sibling: dict[str, object], server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change the entry of the same name in the listing, or add it."""
    answer = server.answer

    def changed(target: str) -> Answer:
        result = answer(target)
        if target.startswith("/api/models/org/words?"):
            info = json.loads(result.body)
            others = [other for other in info["siblings"] if other["rfilename"] != sibling["rfilename"]]
            result = Answer(json.dumps({**info, "siblings": [*others, sibling]}).encode(), 200, result.headers)
        return result

    monkeypatch.setattr(server, "answer", changed)


def test_a_listing_cannot_name_a_file_outside_the_cache(
    server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = write_files(tmp_path / "outside", {"config.json": "{}"})
    listing_with({"rfilename": f"../../../../{outside.name}/config.json", "size": 1}, server, monkeypatch)
    assert "lists a file of org/words outside its folder" in refusal(MODEL)
    assert (outside / "config.json").read_text() == "{}"


@pytest.mark.parametrize("there", ["vocab.txt", "model.safetensors"])
@pytest.mark.parametrize("linked", [True, False], ids=["in-the-snapshot", "as-a-blob"])
def test_a_file_that_was_there_before_is_refused_and_not_removed_whatever_the_hub_lists(
    there: str, linked: bool, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download("org/words", there))
    blob = path.resolve()
    os.utime(blob, (1_700_000_000, 1_700_000_000))
    if not linked:
        path.unlink()
    listing_with({"rfilename": there, "size": 7}, server, monkeypatch)
    for _ in range(2):
        assert f"{path} was damaged before: it has" in refusal(MODEL)
        assert blob.is_file()
        assert not path.exists()  # so that the copy is not taken for complete


def test_a_file_that_the_client_did_not_bring_is_named(tmp_path: Path) -> None:
    root = tmp_path / "models--org--words"
    folder = root / "snapshots" / NEVER_A_COMMIT
    folder.mkdir(parents=True)
    with pytest.raises(HubError, match=r"vocab.txt is missing; run again"):
        verify("org/words", folder, {"vocab.txt": None}, time.time())
    # A client of Xet takes the link for the file, for example after the folder was moved.
    (folder / "vocab.txt").symlink_to("nowhere")
    with pytest.raises(HubError, match=f"vocab.txt is missing; remove {root} and run again"):
        verify("org/words", folder, {"vocab.txt": None}, time.time())


@pytest.mark.usefixtures("short_waits")
@pytest.mark.parametrize(("kind", "left"), [("drop", 0), ("truncate", 100)])
@pytest.mark.parametrize("times", [1, -1], ids=["once", "always"])
def test_an_interrupted_file_is_resumed_or_leaves_nothing_behind(
    empty_hub: LoopbackHub, repo: Path, kind: str, left: int, times: int
) -> None:
    write_files(repo, {"vocab.txt": "word\n" * 1000})
    commit = empty_hub.add("org/words", repo)
    file = f"GET /org/words/resolve/{commit}/vocab.txt"
    empty_hub.fault(file, kind, left, times=times)  # type: ignore[arg-type]
    if times < 0:
        clause = text_refusal("org/words")
        assert "org/words could not be downloaded" in clause
        assert "\n" not in clause
        empty_hub.forget()
    snapshot = download_texts("org/words")
    assert snapshot.commit == commit
    assert (snapshot.folder / "vocab.txt").read_text() == "word\n" * 1000


@pytest.mark.parametrize("request_line", [MODEL.listing, MODEL.headers], ids=["listing", "file"])
def test_a_connection_that_the_server_closed_once_is_no_failure(request_line: str, server: LoopbackHub) -> None:
    server.fault(request_line, "drop", times=1)
    assert load(MODEL)


# --- pauses, secrets and notes


def test_the_pause_of_retry_after_is_used(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.fault(MODEL.listing, "status", 429, headers={"Retry-After": "7"}, times=1)
    server.fault(MODEL.listing, "status", 503, times=1)
    load(MODEL)
    assert pauses == [7.0, 3.0]


@pytest.mark.parametrize("stage", ["listing", pytest.param("tree", marks=LISTING_IS_KEPT), "files"])
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
    assert_the_cache_is_sound(repositories[MODEL])


def test_notes_are_one_line_and_pauses_are_messages_of_their_own() -> None:
    messages: list[tuple[str, object]] = []
    handler = worker._Warnings(lambda kind, value: messages.append((kind, value)))
    for message in (
        "Error while downloading from https://cdn.example/x: timed out\nTrying to resume download...",
        "Rate limited. Waiting 61.0s before retry [Retry 1/5].",
        "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)",
    ):
        level = logging.INFO if "lock" in message else logging.WARNING
        handler.emit(logging.LogRecord("huggingface_hub", level, "", 0, message, (), None))
    assert messages == [
        ("note", "Error while downloading from https://cdn.example/x: timed out"),
        ("wait", 61.0),
        ("note", "Still waiting to acquire lock on /cache/.locks/x.lock (elapsed: 10.0 seconds)"),
    ]
