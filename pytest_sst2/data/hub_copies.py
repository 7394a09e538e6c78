"""Find copies of SST-2 that other repositories and ``datasets`` left in their caches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.folder_reader import dataset_of, read_folder
from pytest_sst2.data.folders import SPLIT_NAMES, find_splits
from pytest_sst2.data.readers import arrow_rows, check_rows
from pytest_sst2.data.row_format import RowFormat
from pytest_sst2.hub.cache import find_cached
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from datasets import DatasetDict

# Other repositories with the same rows, and the folder that has them; some caches hold these.
_COPIES = (("nyu-mll/glue", "sst2"), ("glue", "sst2"), ("sst2", ""))


def other_copies() -> Iterator[tuple[Path, str, Callable[[], DatasetDict]]]:
    """Yield the folder, the revision and the reader of each copy that other repositories or ``datasets`` cached."""
    from datasets import config

    for repo_id, subfolder in _COPIES:
        missing = functools.partial(missing_split, subfolder=subfolder)
        if (snapshot := find_cached((repo_id,), "dataset", None, missing, ()).snapshot) is not None:
            folder = snapshot.folder / subfolder
            yield folder, snapshot.commit, functools.partial(_read_repository, folder)
    for builder in ("stanfordnlp___sst2/default", "nyu-mll___glue/sst2", "glue/sst2", "sst2/default"):
        for train in sorted(Path(config.HF_DATASETS_CACHE).glob(f"{builder}/*/*/*-train.arrow")):
            if train.with_name(train.name.replace("-train.arrow", "-validation.arrow")).is_file():
                yield train.parent, train.parent.name, functools.partial(_read_arrow, train)


def _read_repository(folder: Path) -> DatasetDict:
    dataset, *_ = read_folder(folder)
    return dataset


def _read_arrow(train: Path) -> DatasetDict:
    """Return the data set whose train split ``datasets.load_dataset`` keeps in an Arrow file."""
    form = RowFormat()
    files = {name: train.with_name(train.name.replace("-train.arrow", f"-{name}.arrow")) for name in SPLIT_NAMES}
    rows = {name: arrow_rows([path], form) for name, path in files.items()}
    return dataset_of({name: check_rows(part, f"{train.parent}, {name}", form) for name, part in rows.items()})


def missing_split(folder: Path, subfolder: str = "") -> str:
    """Return the splits, or the shards, that a cached snapshot lacks, as a noun; an empty string if it has all."""
    place = folder / subfolder
    try:
        if place.is_dir() and find_splits(place) is not None:
            return ""
    except Sst2Error:
        return "files of its train or its validation split"
    absent = [name for name in SPLIT_NAMES if not any(path.is_file() for path in place.rglob(f"*{name}*"))]
    return f"the files of its {' and its '.join(absent)} split" if absent else "a folder with both of its splits"
