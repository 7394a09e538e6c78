"""Which files of a folder hold the train and the validation split of a data set.

Two kinds of folders are known: files whose names, or whose folders' names, contain a split's name (``find_splits``),
and folders that ``DatasetDict.save_to_disk`` wrote (``saved_files``). ``datasets`` itself never opens a saved folder:
it would follow paths out of the folder and trust what the files declare about their own buffers.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.data.readers import READERS
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_json

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
}
_MAX_DEPTH = 2
_SHARD = re.compile(r"-(\d+)-of-(\d+)(?:-[0-9a-f]{16})?$")
_SAVED_INDEX = "dataset_dict.json"
_MAX_STATE_BYTES = 2**20


class SplitFiles(NamedTuple):
    """The files of each split, in order, and the folder that contains them all."""

    home: Path
    files: dict[str, list[Path]]


def find_splits(folder: Path) -> SplitFiles | None:
    """Return the files of both splits from the shallowest level of the folder that has both, or None.

    Raises:
        Sst2Error: Several sets of files match, or shards are missing.
    """
    level = [folder]
    for _ in range(_MAX_DEPTH + 1):
        files = {name: _split_files(level, aliases, root=folder) for name, aliases in SPLIT_NAMES.items()}
        if all(files.values()):
            return SplitFiles(_home_of(files, folder), files)
        level = [child for parent in level for child in _children(parent) if child.is_dir()]
    return None


def _home_of(files: dict[str, list[Path]], root: Path) -> Path:
    """Return the folder that contains the files of both splits, or one folder per split."""
    homes = {}
    for path in (path for paths in files.values() for path in paths):
        folder = path.parent
        inside = folder != root and folder.name.lower() in itertools.chain(*SPLIT_NAMES.values())
        homes[folder.parent if inside else folder] = path
    if len(homes) > 1:
        raise Sst2Error(
            f"{' and '.join(map(str, homes.values()))} are in different folders and may belong to different data sets. "
            "Name the folder that contains both splits of one data set."
        )
    (home,) = homes
    return home


def not_regular_files(folder: Path) -> list[str]:
    """Return the names of entries that have a data file's suffix but are not regular files."""
    return [path.name for path in _children(folder) if path.suffix.lower() in READERS and not path.is_file()]


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _split_files(folders: Iterable[Path], aliases: tuple[str, ...], *, root: Path) -> list[Path]:
    """Return the files in ``folders`` whose name, or whose folder's name, is one of a split's aliases."""
    files = []
    other_words = {"test", "info", "state", *itertools.chain(*SPLIT_NAMES.values())}
    for folder in folders:
        inside = folder != root and folder.name.lower() in aliases
        for path in _children(folder):
            if path.suffix.lower() in READERS and path.is_file():
                words = set(re.split(r"[-_.]", path.stem.lower()))
                if words.intersection(aliases) or (inside and not words & other_words):
                    files.append(path)
    suffixes = {path.suffix.lower() for path in files}
    shards = [path for path in files if _SHARD.search(path.stem)]
    if len(suffixes) > 1 or (len(files) > 1 and len(shards) < len(files)):
        raise Sst2Error(
            f"{', '.join(str(path) for path in files)} could each be the {aliases[0]} split. Keep one of them, or name "
            "a folder that contains only one."
        )
    _check_shards(shards, aliases[0])
    return files


def _check_shards(paths: list[Path], split: str) -> None:
    """Refuse an incomplete set of files ``...-00002-of-00003``, and a mix of two sets."""
    shards = [tuple(map(int, match.groups())) for path in paths if (match := _SHARD.search(path.stem))]
    if not shards:
        return
    numbers, totals = ({shard[at] for shard in shards} for at in (0, 1))
    total = max(totals)
    if len(totals) > 1 or len(numbers) < len(shards) or max(numbers) >= total:
        raise Sst2Error(
            f"{', '.join(str(path) for path in paths)} are not the shards of one {split} split. Keep the shards of "
            "one, or name a folder that contains only one."
        )
    if len(numbers) < total:
        raise Sst2Error(
            f"{paths[0].parent} contains only {len(numbers)} of {total} files of the {split} split. Copy or download "
            "the missing files."
        )


def is_saved(folder: Path) -> bool:
    """Return whether ``DatasetDict.save_to_disk`` wrote the folder."""
    return (folder / _SAVED_INDEX).is_file()


def saved_files(folder: Path) -> dict[str, list[Path]]:
    """Return the Arrow files of both splits of a saved folder, in the order that the folder's state lists.

    Raises:
        Sst2Error: A split is missing, or a JSON file is not in the form that ``save_to_disk`` writes.
    """
    names = _saved_json(folder / _SAVED_INDEX).get("splits")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Sst2Error(f"{folder / _SAVED_INDEX} has no list of splits. Save the data set again with save_to_disk.")
    files = {}
    for split, aliases in SPLIT_NAMES.items():
        name = next((alias for alias in aliases if alias in names), None)
        if name is None:
            available = ", ".join(repr(name[:40]) for name in names[:6]) or "none"
            raise Sst2Error(f"{folder} has no split {split!r}; its splits are: {available}.")
        files[split] = _arrow_files(folder / name)
    return files


def _arrow_files(split: Path) -> list[Path]:
    """Return the Arrow files of one saved split, in order."""
    path = split / "state.json"
    state = _saved_json(path)
    if state.get("_indices_data_files"):  # datasets < 1.2 saved a selection of rows as indices into the files
        raise Sst2Error(
            f"{split} was saved by an old release of datasets. Load it with that release, and save it again with a "
            "current one."
        )
    try:
        names = [entry["filename"] for entry in state["_data_files"]]
        are_local = all(name == Path(name).name and name not in ("", ".", "..") for name in names)
    except (KeyError, TypeError):
        are_local = False
    if not are_local:
        raise Sst2Error(
            f"{path} does not list files of its own folder under _data_files. Save the data set again with "
            "save_to_disk."
        )
    return [split / name for name in names]


def _saved_json(path: Path) -> dict[str, Any]:
    content = read_json(path, _MAX_STATE_BYTES)
    if not isinstance(content, dict):
        raise Sst2Error(f"{path} does not contain a JSON object. Save the data set again with save_to_disk.")
    return content
