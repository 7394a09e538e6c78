"""Test snapshots with the real huggingface_hub and a loopback Hub: cache, download, errors, an unreachable Hub."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sst2.data import sources
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.utils.errors import Sst2Error
from tests.support.loopback_hub import LoopbackHub, ask_in_new_process, hub_of_this_process, running_hub

PATTERNS = ("*.json", "*.txt")
NEVER_A_COMMIT = "a" * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        yield running


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return write_files(tmp_path / "repo", {"config.json": "{}", "vocab.txt": "good\nbad\n", "sub/part.json": "[1]"})


def write_files(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def has_vocabulary(folder: Path) -> bool:
    return (folder / "vocab.txt").is_file()


def cached(repo_id: str, revision: str | None = None) -> hub.Snapshot | None:
    return hub.cached_snapshot(repo_id, "model", revision, ("*",), has_vocabulary)


def download(repo_id: str, revision: str | None = None) -> hub.Snapshot:
    return hub.download_snapshot(repo_id, "model", revision, PATTERNS)


def refusal(repo_id: str, revision: str | None = None) -> str:
    with pytest.raises(hub.HubError) as caught:
        download(repo_id, revision)
    return str(caught.value)


# --- a separate process, configured by environment variables only


LOAD = """
import json
from pytest_sst2.hub import snapshot as hub
snapshot = hub.cached_snapshot("org/words", "model", None, ("*",), lambda folder: (folder / "vocab.txt").is_file())
source = "cache" if snapshot else "hub"
snapshot = snapshot or hub.download_snapshot("org/words", "model", None, ("*.json", "*.txt"))
print(json.dumps([source, snapshot.commit, str(snapshot.folder), (snapshot.folder / "vocab.txt").read_text()]))
"""


def test_an_empty_cache_is_filled_once_and_then_used_without_the_hub(tmp_path: Path, repo: Path) -> None:
    home = tmp_path / "home"
    with running_hub() as server:
        commit = server.add("org/words", repo)
        first = ask_in_new_process(LOAD, endpoint=server.address, home=home)
        assert first[:2] == ["hub", commit]
        assert Path(first[2]).is_relative_to(home)
        assert first[3] == "good\nbad\n"
        assert any(line.endswith("/vocab.txt") for line in server.requests)

        server.stop()
        assert ask_in_new_process(LOAD, endpoint=server.address, home=home) == ["cache", *first[1:]]

        server.start()
        server.forget()
        assert ask_in_new_process(LOAD, endpoint=server.address, home=home) == ["cache", *first[1:]]
        assert server.requests == []


ASK_TWICE = """
import json, time
from huggingface_hub import HfApi, get_session, snapshot_download
from pytest_sst2.hub import snapshot as hub
answers = []
for ask in (
    lambda: hub.check_reachable(),
    lambda: hub.download_snapshot("org/words", "model", None, ("*",)),
):
    start = time.perf_counter()
    try:
        ask()
    except hub.HubError as error:
        answers.append([str(error), time.perf_counter() - start])
print(json.dumps(answers))
"""


def refused_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


@pytest.mark.parametrize("missing", ["refused port", "dead name", "silent server"])
def test_an_unreachable_hub_is_detected_within_five_seconds_and_asked_once(missing: str, tmp_path: Path) -> None:
    with running_hub() as server:
        server.fault("", "hang")
        endpoint = {
            "refused port": refused_port(),
            "dead name": "http://no-such-host.invalid",
            "silent server": server.address,
        }[missing]
        (clause, seconds), (second_clause, second_seconds) = ask_in_new_process(
            ASK_TWICE, endpoint=endpoint, home=tmp_path
        )
        requests = len(server.requests)
    assert endpoint in clause
    assert "reached" in clause or "no answer" in clause
    assert "\n" not in clause
    assert not clause.endswith(".")
    assert seconds < 5
    assert second_clause == clause
    assert second_seconds < 0.1
    assert requests == (1 if missing == "silent server" else 0)


@pytest.mark.parametrize(("times", "clause"), [(1, ""), (-1, "cannot be reached")])
def test_a_dropped_connection_is_retried_once(times: int, clause: str, server: LoopbackHub) -> None:
    server.fault("HEAD", "drop", times=times)
    with pytest.raises(hub.HubError, match=clause) if clause else contextlib.nullcontext():
        hub.check_reachable()
    assert len(server.requests) == 2


# --- in this process


def test_offline_mode_is_named_and_no_request_is_sent(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal("org/words")
    assert server.requests == []


@pytest.mark.parametrize("status", [404, 405, 503])
def test_a_hub_that_answers_the_reachability_check_with_an_error_is_reachable(server: LoopbackHub, status: int) -> None:
    server.fault("HEAD /api/models", "status", status)
    hub.check_reachable()
    hub.check_reachable()
    assert server.requests == ["HEAD /api/models"]


def test_a_download_has_the_matching_files_of_one_commit_and_prints_nothing(
    server: LoopbackHub, repo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(repo, {"README.md": "no match", "onnx/model.onnx": "no match"})
    commit = server.add("org/words", repo)
    snapshot = download("org/words")
    assert snapshot == hub.Snapshot(hub.cache_folder() / "models--org--words" / "snapshots" / commit, commit)
    names = {path.relative_to(snapshot.folder).as_posix() for path in snapshot.folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "vocab.txt", "sub/part.json"}
    assert capfd.readouterr() == ("", "")


def test_a_data_set_and_a_model_of_one_name_are_two_repositories(server: LoopbackHub, repo: Path) -> None:
    server.add("org/words", repo, repo_type="dataset")
    assert hub.download_snapshot("org/words", "dataset", None, PATTERNS).folder.parts[-3] == "datasets--org--words"
    assert "has no org/words" in refusal("org/words")


def test_the_error_of_an_unknown_name_contains_the_hub_and_the_token(server: LoopbackHub) -> None:
    clause = refusal("org/typo")
    assert server.address in clause
    assert "org/typo" in clause
    assert "HF_TOKEN" in clause


def test_an_invalid_name_is_refused_without_a_request(server: LoopbackHub) -> None:
    assert "org/.." in refusal("org/..")
    assert server.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("revision", ["v9", NEVER_A_COMMIT])
def test_a_missing_revision_is_not_reported_as_a_missing_repository(
    server: LoopbackHub, repo: Path, revision: str
) -> None:
    server.add("org/words", repo)
    assert "no such revision" in refusal("org/words", revision)


@pytest.mark.parametrize("where", ["/api/models/org/words", "/tree/", "/resolve/"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_says_to_accept_the_terms_and_log_in(
    server: LoopbackHub, repo: Path, status: int, where: str
) -> None:
    server.add("org/words", repo)
    server.fault(where, "status", status, headers={"X-Error-Code": "GatedRepo"})
    clause = refusal("org/words")
    assert "org/words is gated" in clause
    assert "terms" in clause
    assert "HF_TOKEN" in clause


@pytest.mark.parametrize("status", [401, 403])
def test_the_error_of_a_rejected_token_mentions_the_token(server: LoopbackHub, repo: Path, status: int) -> None:
    server.add("org/words", repo)
    server.fault("/api/models/org/words", "status", status)
    clause = refusal("org/words")
    assert str(status) in clause
    assert "HF_TOKEN" in clause


def test_a_server_error_is_named_with_its_status(
    server: LoopbackHub, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("org/words", repo)
    server.fault("/api/models/org/words", "status", 503)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    clause = refusal("org/words")
    for part in ("503", "org/words", server.address, "try again later"):
        assert part in clause
    assert "\n" not in clause


def test_the_error_of_a_log_in_page_is_not_a_zero(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.loopback_hub import Answer

    monkeypatch.setattr(server, "answer", lambda path: Answer(b"<html>log in</html>"))
    assert "(0)" not in refusal("org/words")


@pytest.mark.parametrize(("kind", "left"), [("drop", 0), ("truncate", 100)])
def test_an_interrupted_download_is_resumed(
    server: LoopbackHub, repo: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: int
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    write_files(repo, {"vocab.txt": "word\n" * 1000})
    server.add("org/words", repo)
    server.fault("GET /org/words/resolve", kind, left, times=1)  # type: ignore[arg-type]
    names = [path for path in download("org/words").folder.rglob("*") if path.is_file()]
    assert len(names) == 3
    assert (download("org/words").folder / "vocab.txt").read_text() == "word\n" * 1000


@pytest.mark.parametrize(("kind", "left"), [("drop", 0), ("truncate", 100)])
def test_a_download_that_fails_repeatedly_leaves_no_unfinished_file(
    server: LoopbackHub, repo: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: int
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    write_files(repo, {"vocab.txt": "word\n" * 1000})
    commit = server.add("org/words", repo)
    server.fault("/vocab.txt", kind, left)  # type: ignore[arg-type]
    clause = refusal("org/words")
    assert "org/words could not be downloaded" in clause
    assert "\n" not in clause
    assert cached("org/words") is None
    server.forget()
    assert download("org/words").commit == commit
    assert cached("org/words") is not None


# --- which snapshot


def test_a_pinned_tag_or_commit_and_main_return_their_own_snapshots(server: LoopbackHub, tmp_path: Path) -> None:
    first = server.add("org/words", write_files(tmp_path / "one", {"vocab.txt": "old"}), revision="v1")
    main = server.add("org/words", write_files(tmp_path / "two", {"vocab.txt": "new"}))
    assert download("org/words").commit == main
    assert cached("org/words", "v1") is None
    assert cached("org/words", first) is None
    assert download("org/words", first).commit == first
    by_tag = download("org/words", "v1")
    assert (by_tag.folder / "vocab.txt").read_text() == "old"
    assert cached("org/words", "v1") == cached("org/words", first) == by_tag
    assert cached("org/words").commit == main  # type: ignore[union-attr]


def cache_by_hand(repo_id: str, commit: str, *, age: int, complete: bool = True) -> None:
    folder = hub.cache_folder() / f"models--{repo_id.replace('/', '--')}" / "snapshots" / commit
    write_files(folder, {"vocab.txt": commit} if complete else {"config.json": "{}"})
    os.utime(folder, (1_700_000_000 - age, 1_700_000_000 - age))


def test_main_is_preferred_and_the_newest_complete_snapshot_replaces_an_incomplete_main(
    server: LoopbackHub,
) -> None:
    cache_by_hand("org/words", "1" * 40, age=300)
    cache_by_hand("org/words", "2" * 40, age=200)
    cache_by_hand("org/words", "3" * 40, age=100)
    cache_by_hand("org/words", "4" * 40, age=0, complete=False)
    main = hub.cache_folder() / "models--org--words" / "refs" / "main"
    write_files(main.parent, {"main": "1" * 40})
    assert cached("org/words").commit == "1" * 40  # type: ignore[union-attr]
    main.write_text("4" * 40)
    assert cached("org/words").commit == "3" * 40  # type: ignore[union-attr]
    assert cached("org/words", "4" * 40) is None
    assert server.requests == []


def test_another_revision_in_the_cache_is_not_used_as_main(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("org/words", write_files(tmp_path / "one", {"vocab.txt": "old"}), revision="v1")
    main = server.add("org/words", write_files(tmp_path / "two", {"vocab.txt": "new"}))
    download("org/words", "v1")
    assert (cached("org/words") or download("org/words")).commit == main


def test_an_empty_reference_is_ignored(server: LoopbackHub) -> None:
    cache_by_hand("org/words", "1" * 40, age=0)
    write_files(hub.cache_folder() / "models--org--words" / "refs", {"main": ""})
    snapshot = hub.cached_snapshot("org/words", "model", None, ("*",), lambda folder: any(folder.rglob("vocab.txt")))
    assert snapshot is not None
    assert snapshot.commit == "1" * 40


def test_the_commit_that_a_mirror_returns_for_a_pinned_commit_is_recorded(server: LoopbackHub, repo: Path) -> None:
    commit = server.add("org/words", repo, any_revision=True)
    snapshot = download("org/words", NEVER_A_COMMIT)
    assert has_vocabulary(snapshot.folder)
    assert snapshot.commit == commit


# --- the safetensors conversion


@pytest.mark.parametrize(
    ("author", "status", "used"),
    [
        ("SFconvertbot", "open", True),
        ("SFconvertbot", "merged", True),
        ("SFconvertbot", "closed", False),
        ("other", "open", False),
    ],
)
def test_only_an_open_or_merged_conversion_of_the_bot_is_used(
    server: LoopbackHub, tmp_path: Path, author: str, status: str, used: bool
) -> None:
    server.add("org/words", write_files(tmp_path / "main", {"pytorch_model.bin": "pickle"}))
    converted = write_files(tmp_path / "converted", {"model.safetensors": "tensors"})
    commit = server.add_pull_request("org/words", 7, converted, author=author, status=status)

    def download_safetensors() -> hub.Snapshot:
        return hub.download_snapshot(
            "org/words",
            "model",
            None,
            ("*.safetensors",),
            unsafe_files=("pytorch_model.bin",),
            safe_files=("model.safetensors",),
            unsafe_reason="has pickles only",
        )

    if used:
        assert download_safetensors().commit == commit
        assert (hub.cache_folder() / "models--org--words" / "refs" / "refs" / "pr" / "7").read_text() == commit
    else:
        with pytest.raises(hub.HubError, match="has pickles only, and has no safetensors conversion"):
            download_safetensors()
    assert server.bodies_sent("pytorch_model.bin") == 0


# --- SST-2 itself


def write_sst2(folder: Path, train_shards: int = 1) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    names = [f"train-{number:05}-of-{train_shards:05}" for number in range(train_shards)]
    for position, name in enumerate([*names, "validation-00000-of-00001", "test-00000-of-00001"]):
        rows = {"idx": [0, 1], "sentence": [f"good {position} ", f"bad {position} "], "label": [1, 0]}
        pq.write_table(pa.table(rows), folder / "data" / f"{name}.parquet")
    return folder


def test_sst2_is_downloaded_once_and_then_read_from_the_cache(server: LoopbackHub, tmp_path: Path) -> None:
    commit = server.add("stanfordnlp/sst2", write_sst2(tmp_path / "sst2", train_shards=2), repo_type="dataset")
    first = sources.load_hub()
    assert (first.source, first.revision, first.name) == ("hub", commit, "stanfordnlp/sst2")
    assert first.dataset["train"]["sentence"] == ["good 0 ", "bad 0 ", "good 1 ", "bad 1 "]
    assert first.dataset["validation"]["label"] == [1, 0]
    assert not any("/test-" in line for line in server.requests)
    server.forget()
    assert sources.load_hub().revision == commit
    server.stop()
    again = sources.load_hub()
    assert (again.revision, again.dataset["train"][:]) == (commit, first.dataset["train"][:])
    assert server.requests == []


def test_the_error_without_cache_and_hub_has_place_cause_and_next_steps(server: LoopbackHub, tmp_path: Path) -> None:
    server.stop()
    with pytest.raises(Sst2Error) as caught:
        sources.load_source("hub")
    for part in (str(tmp_path / "cache"), "stanfordnlp/sst2", server.address, "--sst2-data=FOLDER", "pocket"):
        assert part in str(caught.value)
    source = sources.load_source("auto")
    assert source.name == "pocket"
    assert server.address in source.note


def test_sst2_with_a_shard_missing_in_the_cache_is_completed_from_the_hub(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("stanfordnlp/sst2", write_sst2(tmp_path / "sst2", train_shards=2), repo_type="dataset")
    first = sources.load_hub()
    next(hub.cache_folder().rglob("train-00001-of-00002.parquet")).unlink()
    assert len(sources.load_hub().dataset["train"]) == len(first.dataset["train"])


def test_sst2_on_a_mirror_without_its_files_is_an_error(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("stanfordnlp/sst2", write_files(tmp_path / "sst2", {"README.md": "elsewhere"}), repo_type="dataset")
    with pytest.raises(Sst2Error, match="stanfordnlp/sst2"):
        sources.load_source("hub")
