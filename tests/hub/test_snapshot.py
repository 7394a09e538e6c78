"""The real Hub clients against a Hub of our own: cache, download, refusals, and a Hub that is not there."""

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


# --- a process of its own, with nothing but the environment to tell it where the Hub and the cache are


HAVE = """
import contextlib
import json
from pytest_sst2.hub import snapshot as hub
found = hub.cached_snapshot("org/words", "model", None, ("*",), lambda folder: (folder / "vocab.txt").is_file())
source = "cache" if found else "hub"
found = found or hub.download_snapshot("org/words", "model", None, ("*.json", "*.txt"))
print(json.dumps([source, found.commit, str(found.folder), (found.folder / "vocab.txt").read_text()]))
"""


def test_an_empty_cache_is_filled_once_and_then_serves_without_the_hub(tmp_path: Path, repo: Path) -> None:
    home = tmp_path / "home"
    with running_hub() as server:
        commit = server.add("org/words", repo)
        first = ask_in_new_process(HAVE, endpoint=server.address, home=home)
        assert first[:2] == ["hub", commit]
        assert Path(first[2]).is_relative_to(home)
        assert first[3] == "good\nbad\n"
        assert any(line.endswith("/vocab.txt") for line in server.requests)

        server.stop()
        assert ask_in_new_process(HAVE, endpoint=server.address, home=home) == ["cache", *first[1:]]

        server.start()
        server.forget()
        assert ask_in_new_process(HAVE, endpoint=server.address, home=home) == ["cache", *first[1:]]
        assert server.requests == []


ASK_TWICE = """
import contextlib
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
def test_a_hub_that_is_not_there_is_noticed_in_five_seconds_and_asked_once(missing: str, tmp_path: Path) -> None:
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
        asked = len(server.requests)
    assert endpoint in clause
    assert "reached" in clause or "no answer" in clause
    assert "\n" not in clause
    assert not clause.endswith(".")
    assert seconds < 5
    assert second_clause == clause
    assert second_seconds < 0.1
    assert asked == (1 if missing == "silent server" else 0)


@pytest.mark.parametrize(("times", "clause"), [(1, ""), (-1, "cannot be reached")])
def test_a_connection_that_the_hub_hangs_up_is_made_once_more(times: int, clause: str, server: LoopbackHub) -> None:
    server.fault("HEAD", "drop", times=times)
    with pytest.raises(hub.HubError, match=clause) if clause else contextlib.nullcontext():
        hub.check_reachable()
    assert len(server.requests) == 2


# --- the same clients in this process


def test_offline_mode_is_named_and_nothing_is_asked(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal("org/words")
    assert server.requests == []


@pytest.mark.parametrize("status", [404, 405, 503])
def test_a_hub_that_answers_its_sign_of_life_with_an_error_is_there(server: LoopbackHub, status: int) -> None:
    server.fault("HEAD /api/models", "status", status)
    hub.check_reachable()
    hub.check_reachable()
    assert server.requests == ["HEAD /api/models"]


def test_a_download_brings_what_was_asked_for_at_one_commit_and_says_nothing(
    server: LoopbackHub, repo: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_files(repo, {"README.md": "not asked for", "onnx/model.onnx": "nor this"})
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


def test_a_name_the_hub_does_not_know_is_named_with_the_hub_and_the_token(server: LoopbackHub) -> None:
    clause = refusal("org/typo")
    assert server.address in clause
    assert "org/typo" in clause
    assert "HF_TOKEN" in clause


def test_a_name_that_cannot_be_one_is_refused_without_a_question(server: LoopbackHub) -> None:
    assert "org/.." in refusal("org/..")
    assert server.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("revision", ["v9", NEVER_A_COMMIT])
def test_a_revision_that_is_not_there_is_not_called_a_missing_repository(
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
def test_a_token_that_is_refused_is_what_the_clause_speaks_of(server: LoopbackHub, repo: Path, status: int) -> None:
    server.add("org/words", repo)
    server.fault("/api/models/org/words", "status", status)
    clause = refusal("org/words")
    assert str(status) in clause
    assert "HF_TOKEN" in clause


def test_a_hub_out_of_order_is_named_with_its_status(
    server: LoopbackHub, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("org/words", repo)
    server.fault("/api/models/org/words", "status", 503)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    clause = refusal("org/words")
    for part in ("503", "org/words", server.address, "try again later"):
        assert part in clause
    assert "\n" not in clause


def test_a_log_in_page_in_place_of_the_hub_is_not_explained_by_a_zero(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.loopback_hub import Answer

    monkeypatch.setattr(server, "answer", lambda path: Answer(b"<html>log in</html>"))
    assert "(0)" not in refusal("org/words")


@pytest.mark.parametrize(("kind", "left"), [("drop", 0), ("truncate", 100)])
def test_a_download_that_breaks_off_once_is_taken_up_again(
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
def test_a_download_that_keeps_breaking_off_leaves_no_half_file_behind(
    server: LoopbackHub, repo: Path, monkeypatch: pytest.MonkeyPatch, kind: str, left: int
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    write_files(repo, {"vocab.txt": "word\n" * 1000})
    commit = server.add("org/words", repo)
    server.fault("/vocab.txt", kind, left)  # type: ignore[arg-type]
    clause = refusal("org/words")
    assert "org/words could not be had" in clause
    assert "\n" not in clause
    assert cached("org/words") is None
    server.forget()
    assert download("org/words").commit == commit
    assert cached("org/words") is not None


# --- which snapshot


def test_a_pinned_tag_or_commit_gets_that_and_main_gets_main(server: LoopbackHub, tmp_path: Path) -> None:
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


def test_main_comes_before_newer_snapshots_and_an_incomplete_main_after_the_newest_complete(
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


def test_another_revision_in_the_cache_does_not_pass_for_main(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("org/words", write_files(tmp_path / "one", {"vocab.txt": "old"}), revision="v1")
    main = server.add("org/words", write_files(tmp_path / "two", {"vocab.txt": "new"}))
    download("org/words", "v1")
    assert (cached("org/words") or download("org/words")).commit == main


def test_an_empty_reference_is_no_commit(server: LoopbackHub) -> None:
    cache_by_hand("org/words", "1" * 40, age=0)
    write_files(hub.cache_folder() / "models--org--words" / "refs", {"main": ""})
    found = hub.cached_snapshot("org/words", "model", None, ("*",), lambda folder: any(folder.rglob("vocab.txt")))
    assert found is not None
    assert found.commit == "1" * 40


def test_a_mirror_that_answers_a_pinned_commit_with_its_own_is_read_and_its_own_recorded(
    server: LoopbackHub, repo: Path
) -> None:
    commit = server.add("org/words", repo, any_revision=True)
    snapshot = download("org/words", NEVER_A_COMMIT)
    assert has_vocabulary(snapshot.folder)
    assert snapshot.commit == commit


# --- the safetensors conversion


@pytest.mark.parametrize(
    ("author", "status", "taken"),
    [
        ("SFconvertbot", "open", True),
        ("SFconvertbot", "merged", True),
        ("SFconvertbot", "closed", False),
        ("somebody", "open", False),
    ],
)
def test_only_the_bots_own_conversion_that_was_not_closed_counts(
    server: LoopbackHub, tmp_path: Path, author: str, status: str, taken: bool
) -> None:
    server.add("org/words", write_files(tmp_path / "main", {"pytorch_model.bin": "pickle"}))
    converted = write_files(tmp_path / "converted", {"model.safetensors": "tensors"})
    commit = server.add_pull_request("org/words", 7, converted, author=author, status=status)
    patterns = ("*.safetensors",)
    if taken:
        assert hub.download_snapshot("org/words", "model", None, patterns, safetensors=True).commit == commit
        assert (hub.cache_folder() / "models--org--words" / "refs" / "refs" / "pr" / "7").read_text() == commit
    else:
        with pytest.raises(hub.HubError, match="no safetensors conversion"):
            hub.download_snapshot("org/words", "model", None, patterns, safetensors=True)
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


def test_sst2_is_downloaded_once_with_its_commit_and_then_read_from_the_cache(
    server: LoopbackHub, tmp_path: Path
) -> None:
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


def test_sst2_without_cache_and_hub_is_a_sentence_with_place_cause_and_ways_on(
    server: LoopbackHub, tmp_path: Path
) -> None:
    server.stop()
    with pytest.raises(Sst2Error) as caught:
        sources.load_source("hub")
    for part in (str(tmp_path / "cache"), "stanfordnlp/sst2", server.address, "--sst2-data=FOLDER", "pocket"):
        assert part in str(caught.value)
    taken = sources.load_source("auto")
    assert taken.name == "pocket"
    assert server.address in taken.note


def test_sst2_with_a_shard_missing_in_the_cache_is_completed_from_the_hub(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("stanfordnlp/sst2", write_sst2(tmp_path / "sst2", train_shards=2), repo_type="dataset")
    first = sources.load_hub()
    next(hub.cache_folder().rglob("train-00001-of-00002.parquet")).unlink()
    assert len(sources.load_hub().dataset["train"]) == len(first.dataset["train"])


def test_sst2_on_a_mirror_without_its_files_is_a_sentence(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("stanfordnlp/sst2", write_files(tmp_path / "sst2", {"README.md": "elsewhere"}), repo_type="dataset")
    with pytest.raises(Sst2Error, match="stanfordnlp/sst2"):
        sources.load_source("hub")
