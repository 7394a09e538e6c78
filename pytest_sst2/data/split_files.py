"""Which files of a folder are the splits of a data set: by their names, or by those of the folders they lie in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pytest_sst2.data.readers import READERS
from pytest_sst2.utils.errors import Sst2Error

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
}
_DEEPEST = 2
_SHARD = re.compile(r"-(\d+)-of-(\d+)(?:-[0-9a-f]{16})?$")


class SplitFiles(NamedTuple):
    """The files of each split, in order, and the folder that holds them all."""

    home: Path
    files: dict[str, list[Path]]


def find_splits(folder: Path) -> SplitFiles | None:
    """Return the files of both splits, from the shallowest level of the folder that has both; None if none has.

    Raises:
        Sst2Error: Two sets of files could be meant, or shards are missing.
    """
    level = [folder]
    for _ in range(_DEEPEST + 1):
        found = {name: _split_files(level, aliases, root=folder) for name, aliases in SPLIT_NAMES.items()}
        if all(found.values()):
            return SplitFiles(_home_of(found, folder), found)
        level = [child for parent in level for child in _children(parent) if child.is_dir()]
    return None


def _home_of(files: dict[str, list[Path]], root: Path) -> Path:
    """Return the folder that holds the files of both splits, or a folder of each."""
    homes = {}
    for path in (path for paths in files.values() for path in paths):
        folder = path.parent
        homes[folder.parent if folder != root and _is_splits_name(folder) else folder] = path
    if len(homes) > 1:
        raise Sst2Error(
            f"{' and '.join(map(str, homes.values()))} lie apart, and may be of two data sets. Name the folder that "
            "holds both splits of one."
        )
    (home,) = homes
    return home


def _is_splits_name(folder: Path) -> bool:
    return any(folder.name.lower() in aliases for aliases in SPLIT_NAMES.values())


def not_ordinary(folder: Path) -> list[str]:
    """Return the names of what is called like a file that could be read, and is none."""
    return [path.name for path in _children(folder) if path.suffix.lower() in READERS and not path.is_file()]


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _split_files(folders: Iterable[Path], aliases: tuple[str, ...], *, root: Path) -> list[Path]:
    """Return the files in ``folders`` that carry a split's name, or lie in a folder that has it."""
    found = []
    for folder in folders:
        inside = folder != root and folder.name.lower() in aliases
        for path in _children(folder):
            if path.suffix.lower() in READERS and path.is_file():
                words = re.split(r"[-_.]", path.stem.lower())
                if any(alias in words for alias in aliases) or (inside and not _other_split(words)):
                    found.append(path)
    suffixes = {path.suffix.lower() for path in found}
    sharded = [path for path in found if _SHARD.search(path.stem)]
    if len(suffixes) > 1 or (len(found) > 1 and len(sharded) < len(found)):
        raise Sst2Error(
            f"{', '.join(str(path) for path in found)} could each be the {aliases[0]} split; keep one, or name a "
            "folder that holds one."
        )
    _check_shards(sharded, aliases[0])
    return found


def _other_split(words: list[str]) -> bool:
    return any(
        word in ("test", "info", "state", *(alias for names in SPLIT_NAMES.values() for alias in names))
        for word in words
    )


def _check_shards(paths: list[Path], split: str) -> None:
    """Refuse files ``...-00002-of-00003`` that are not all there, or not of one set."""
    shards = [tuple(map(int, match.groups())) for path in paths if (match := _SHARD.search(path.stem))]
    if not shards:
        return
    numbers, totals = ({shard[at] for shard in shards} for at in (0, 1))
    total = max(totals)
    if len(totals) > 1 or len(numbers) < len(shards) or max(numbers) >= total:
        raise Sst2Error(
            f"{', '.join(str(path) for path in paths)} are not the parts of one {split} split; keep those of one, or "
            "name a folder that holds one."
        )
    if len(numbers) < total:
        raise Sst2Error(f"{paths[0].parent}: only {len(numbers)} of {total} files of the {split} split are there.")
