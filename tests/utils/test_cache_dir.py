"""Test the cache of converted models and markers: size, bound and removal."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_sst2.utils.cache_dir import make_room, model_entries, remove_model_entries


def add(folder: Path, letter: str, *, days: int = 9) -> Path:
    entry = folder / "converted" / (letter * 64)
    (entry / "1_Dense").mkdir(parents=True)
    (entry / "1_Dense" / "model.safetensors").write_bytes(bytes(1000))
    stamp = entry.stat().st_mtime - 86_400 * days
    os.utime(entry, (stamp, stamp))
    return entry


def test_the_least_recently_used_models_are_removed_but_none_of_today(tmp_path: Path) -> None:
    old, newer, today = add(tmp_path, "a"), add(tmp_path, "b", days=3), add(tmp_path, "c", days=0)
    make_room(tmp_path, 2500)
    assert (old.exists(), newer.exists(), today.exists()) == (False, True, True)
    make_room(tmp_path, 0)
    assert (newer.exists(), today.exists()) == (False, True)


def test_only_entries_are_counted_and_removed(tmp_path: Path) -> None:
    add(tmp_path, "a")
    (tmp_path / "loaded").mkdir()
    (tmp_path / "loaded" / ("b" * 64)).write_bytes(b"")
    (tmp_path / "converted" / "mine.txt").write_text("mine")
    (tmp_path / "converted" / ("d" * 64)).symlink_to(tmp_path)
    assert sorted(size for _, size, _ in model_entries(tmp_path)) == [0, 1000]
    assert remove_model_entries(tmp_path) == 2
    assert sorted(path.name for path in (tmp_path / "converted").iterdir()) == ["d" * 64, "mine.txt"]
