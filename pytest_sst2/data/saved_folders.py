"""Folders that ``DatasetDict.save_to_disk`` wrote: the rows of both splits, read without the library.

That would follow paths out of the folder, and trust what the files say of their own buffers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.data.readers import Rows, arrow_rows, check_rows
from pytest_sst2.data.split_files import SPLIT_NAMES
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.strict_json import read_json

_LARGEST_STATE_BYTES = 2**20
_INDEX = "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Tell whether a folder is one of these."""
    return (folder / _INDEX).is_file()


def saved_rows(folder: Path) -> dict[str, Rows]:
    """Return the rows of both splits, in the order of the Arrow files that the folder's state names.

    Raises:
        Sst2Error: A split is missing or has no rows, or a file is not as the library writes it.
    """
    listed = _saved_json(folder / _INDEX).get("splits")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise Sst2Error(f"{folder / _INDEX} has no list of splits, as save_to_disk writes it.")
    splits = {}
    for name, aliases in SPLIT_NAMES.items():
        found = next((alias for alias in aliases if alias in listed), None)
        if found is None:
            shown = ", ".join(repr(split[:40]) for split in listed[:6]) or "none"
            raise Sst2Error(f"{folder} has no split {name!r}; it has {shown}.")
        place = f"{folder.name}, split {name!r}"
        splits[name] = check_rows(arrow_rows(_saved_files(folder / found)), place)
        if not splits[name].sentences:
            raise Sst2Error(f"{place} has no rows.")
    return splits


def _saved_files(split: Path) -> list[Path]:
    """Return the Arrow files of one saved split, in order."""
    state = _saved_json(split / "state.json")
    if state.get("_indices_data_files"):  # of releases before 1.2: rows chosen by number from the files
        raise Sst2Error(f"{split} was saved by an old release of datasets. Load it with that and save it with a newer.")
    try:
        names = [entry["filename"] for entry in state["_data_files"]]
        within = all(name == Path(name).name and name not in ("", ".", "..") for name in names)
    except (KeyError, TypeError):
        within = False
    if not within:
        raise Sst2Error(f"{split / 'state.json'} names no files beside it, as save_to_disk does.")
    return [split / name for name in names]


def _saved_json(path: Path) -> dict[str, Any]:
    found = read_json(path, _LARGEST_STATE_BYTES)
    if not isinstance(found, dict):
        raise Sst2Error(f"{path} is not as save_to_disk writes it: an object is wanted.")
    return found
