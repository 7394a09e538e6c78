"""Test each state in which tools leave the Hub's cache: a run and ``doctor`` agree, offline and online."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.hub import download
from pytest_sst2.hub.cache import cache_folder, repository_folder
from pytest_sst2.models.locate import local_place
from pytest_sst2.utils.errors import Sst2Error
from tests.support.hub_runs import write_files
from tests.support.loopback_hub import LoopbackHub
from tests.support.model_folders import locate, on_hub

SPEC = on_hub("org/words")


def root() -> Path:
    return repository_folder("org/words", "model")


def snapshot() -> Path:
    (folder,) = root().glob("snapshots/*")
    return folder


def without(*names: str) -> Callable[[], None]:
    return lambda: [(snapshot() / name).unlink() for name in names] and None


def weights_in_a_shared_blob() -> None:
    blob = (snapshot() / "model.safetensors").resolve()
    shared = cache_folder() / "blobs" / "ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))


def the_shared_blob_is_gone() -> None:
    weights_in_a_shared_blob()
    shutil.rmtree(cache_folder() / "blobs")


def copies_in_place_of_links() -> None:
    shutil.copytree(root(), root().with_name("copy"))
    shutil.rmtree(root())
    root().with_name("copy").rename(root())
    shutil.rmtree(root() / "blobs")


def an_unfinished_blob_of_a_killed_client() -> None:
    (snapshot() / "model.safetensors").resolve().rename(root() / "blobs" / "abc.12345678.incomplete")


def main_points_to_a_half_filled_newer_commit() -> None:
    newer = root() / "snapshots" / ("9" * 40)
    newer.mkdir()
    (newer / "config.json").symlink_to(os.path.relpath((snapshot_of_main() / "config.json").resolve(), newer))
    write_files(root() / "refs", {"main": newer.name})


def snapshot_of_main() -> Path:
    return root() / "snapshots" / (root() / "refs" / "main").read_text()


def only_a_tag_was_downloaded() -> None:
    (root() / "refs" / "main").rename(root() / "refs" / "v1")


def the_cache_was_moved_and_a_link_left() -> None:
    moved = cache_folder().with_name("other-disk")
    cache_folder().rename(moved)
    cache_folder().symlink_to(moved)


def files_of_a_file_manager() -> None:
    for folder in (root() / "snapshots", snapshot(), root() / "refs"):
        (folder / ".DS_Store").write_bytes(b"\xff\0")


# What a run without the Hub lacks; empty if it needs nothing, so that it does not ask a Hub that can be reached.
STATES: dict[Callable[[], object], str] = {
    weights_in_a_shared_blob: "",
    copies_in_place_of_links: "",
    the_cache_was_moved_and_a_link_left: "",
    files_of_a_file_manager: "",
    without("README.md", "flax_model.msgpack"): "",
    without("model.safetensors"): "lacks model.safetensors",
    without("vocab.txt"): "lacks a tokenizer",
    without("config.json"): "lacks config.json",
    the_shared_blob_is_gone: "lacks model.safetensors",
    an_unfinished_blob_of_a_killed_client: "lacks model.safetensors",
    lambda: shutil.rmtree(root() / "refs"): "no copy of org/words@main, only other revisions",
    lambda: (root() / "refs" / "main").write_text(""): "lacks config.json",
    main_points_to_a_half_filled_newer_commit: "lacks model.safetensors",
    only_a_tag_was_downloaded: "no copy of org/words@main, only other revisions",
    lambda: root().rename(root().with_name("models--Org--Words")): "no copy of org/words, but one of Org/Words",
    lambda: shutil.rmtree(cache_folder()): "no copy of org/words",
}


@pytest.fixture(scope="module")
def filled(plain_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository's folder with files that no run reads."""
    folder = Path(shutil.copytree(plain_encoder, tmp_path_factory.mktemp("filled") / "words"))
    return write_files(folder, {"README.md": "words", "flax_model.msgpack": "flax"})


@pytest.mark.parametrize("make", STATES, ids=lambda make: getattr(make, "__name__", "").strip("<>"))
def test_a_run_and_doctor_agree_and_no_file_of_another_tool_is_lost(
    make: Callable[[], object], server: LoopbackHub, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import snapshot_download

    server.add("org/words", filled)
    snapshot_download("org/words")
    make()
    lacks = STATES[make]
    server.requests.clear()
    before = {path for path in cache_folder().rglob("*") if path.exists()}

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert bool(local_place(SPEC)) == (not lacks)
    if lacks:
        with pytest.raises(Sst2Error, match=lacks):
            locate(SPEC)
    else:
        assert locate(SPEC).weights.source == "cache"
    assert server.requests == []

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    download._unreachable_reason.cache_clear()
    assert locate(SPEC).weights.source == ("hub" if lacks else "cache")
    assert bool(server.requests) == bool(lacks)
    assert local_place(SPEC)
    assert before <= {path for path in cache_folder().rglob("*") if path.exists()}
