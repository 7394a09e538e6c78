"""Test which copy of a repository is taken from the cache, and which file a copy lacks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pytest_sst2.hub import cache
from pytest_sst2.hub.cache import Lookup, Snapshot, find_cached
from tests.support.hub_clients import LISTING_IS_KEPT
from tests.support.hub_faults import MODEL
from tests.support.hub_runs import load, refusal, write_files
from tests.support.loopback_hub import LoopbackHub


def missing_vocabulary(folder: Path) -> str:
    return "" if (folder / "vocab.txt").is_file() else "vocab.txt"


def find(*repo_ids: str, revision: str | None = None) -> Lookup:
    names, patterns = repo_ids or ("org/words",), ("*.txt", "*.json")
    return find_cached(names, "model", revision, missing_vocabulary, patterns)


def commit_of(lookup: Lookup) -> str | None:
    return lookup.snapshot.commit if lookup.snapshot else None


def cache_by_hand(repo_id: str, commit: str, *, complete: bool = True, reference: str = "") -> Path:
    root = cache.repository_folder(repo_id, "model")
    folder = root / "snapshots" / commit
    write_files(folder, {"vocab.txt": commit} if complete else {"config.json": "{}"})
    if reference:
        write_files(root / "refs", {reference: commit})
    return folder


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_only_a_complete_main_is_taken_for_main() -> None:
    cache_by_hand("org/words", "1" * 40, reference="main")
    cache_by_hand("org/words", "2" * 40)
    assert commit_of(find()) == "1" * 40
    cache_by_hand("org/words", "3" * 40, complete=False, reference="main")
    assert find() == Lookup(None, f"the copy of org/words in {cache.cache_folder()} lacks vocab.txt")


def test_a_tag_or_commit_has_its_own_snapshot_which_is_never_taken_for_main() -> None:
    folder = cache_by_hand("org/words", "1" * 40, reference="v1")
    assert find(revision="v1").snapshot == find(revision="1" * 40).snapshot == Snapshot(folder, "1" * 40)
    no_copy = f"the cache in {cache.cache_folder()} has no copy of org/words"
    assert find() == Lookup(None, f"{no_copy}@main, only other revisions or parts of it ({'1' * 40})")
    assert find(revision="v2").reason == f"{no_copy}@v2, only other revisions or parts of it ({'1' * 40})"
    cache_by_hand("org/words", "2" * 40, reference="main")
    assert commit_of(find()) == "2" * 40


def test_another_spelling_of_the_name_is_pointed_out() -> None:
    cache_by_hand("org/words", "1" * 40, reference="main")
    assert find("Org/Words").reason.endswith("has no copy of Org/Words, but one of org/words")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_cache_of_another_user_that_cannot_be_read_is_named() -> None:
    cache_by_hand("org/words", "1" * 40, reference="main")
    root = cache.repository_folder("org/words", "model")
    root.chmod(0)
    assert find().reason == f"{root} cannot be read (no permission)"
    root.chmod(0o700)


def test_an_older_name_counts_but_its_own_name_comes_first() -> None:
    cache_by_hand("words", "1" * 40, reference="main")
    assert commit_of(find("org/words", "words")) == "1" * 40
    cache_by_hand("org/words", "2" * 40, reference="main")
    assert commit_of(find("org/words", "words")) == "2" * 40


# --- what a download leaves


@LISTING_IS_KEPT
def test_a_small_file_that_an_interrupted_download_left_out_is_named(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(MODEL)
    lookup = find()
    assert lookup.snapshot is not None
    (lookup.snapshot.folder / "tokenizer_config.json").unlink()
    assert find().reason.endswith("lacks tokenizer_config.json")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refusal(MODEL)
    for part in ("org/words", "tokenizer_config.json", str(cache.cache_folder()), "HF_HUB_OFFLINE"):
        assert part in message


def test_a_full_cache_is_neither_written_nor_asked_about(server: LoopbackHub) -> None:
    content = load(MODEL)
    before = {path: path.lstat().st_mtime_ns for path in cache.cache_folder().rglob("*")}
    server.stop()
    server.requests.clear()
    assert load(MODEL) == content
    assert {path: path.lstat().st_mtime_ns for path in cache.cache_folder().rglob("*")} == before
    assert server.requests == []


DAMAGED = {"size": "many", "blob_id": "a" * 40}


@LISTING_IS_KEPT
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
    (listing,) = cache.cache_folder().glob("models--*/trees/*.json")
    listing.write_text(text, encoding="utf-8")
    server.stop()
    assert load(MODEL) == before
