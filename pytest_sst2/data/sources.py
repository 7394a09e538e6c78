"""SST-2 as a ``datasets.DatasetDict`` from the Hub, a local folder, or the built-in pocket set."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.pocket import POCKET_NOTE, POCKET_SHA256, pocket_rows
from pytest_sst2.data.readers import READERS, Rows, read_rows
from pytest_sst2.data.saved_folders import is_saved, saved_rows
from pytest_sst2.data.split_files import find_splits, not_ordinary
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.hub.errors import HubError
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from pytest_sst2.results.file import Results
    from pytest_sst2.results.floors import Floors

HUB_ID = "stanfordnlp/sst2"
HUB_FILES = ("*train*.parquet", "*validation*.parquet")
# SST-2 as GLUE ships it: how many rows, and the SHA-256 of "sentence<TAB>label<LF>" with outer spaces removed.
_SST2 = {
    "train": (67_349, "c5abce3993c9c1d61c59dea128d479725048946bf0166a220796667cc2224c5e"),
    "validation": (872, "fdb21a491401989324087047283a5b5277124937d43f7bb90df4bd7c18b8cc96"),
}


@dataclass(frozen=True)
class Source:
    """A data set and its origin; the fields mean what they mean in ``DatasetInfo``.

    ``place`` is the folder that its files were found in, empty where it is from none; it stands in no record, since
    the same data may lie anywhere.
    """

    dataset: DatasetDict
    name: str
    source: str
    revision: str
    note: str = ""
    place: str = field(default="", compare=False)


def load_source(
    data: str, *, ci: bool = False, floors: Floors | None = None, baseline: Results | None = None
) -> Source:
    """Return the data set that ``--sst2-data`` asks for.

    ``auto`` takes the Hub's cached copy, else downloads it, else falls back to the pocket set with a note that says
    so, unless that substitution could pass for a result: under CI, or when floors or a baseline of other data were
    asked for.

    Args:
        data: ``auto``, ``hub``, ``pocket`` or a folder.
        ci: Whether this is a CI run.
        floors: The floors file that the user named, if any.
        baseline: What the run is to be compared with, if anything.

    Raises:
        Sst2Error: The data cannot be had or is not as it should be.
    """
    if data == "pocket":
        return load_pocket()
    if data not in ("auto", "hub"):
        return load_folder(Path(data))
    try:
        return load_hub()
    except HubError as error:
        tried = (
            f"SST-2 could not be had from the Hub: the cache in {hub.cache_folder()} has no complete copy of {HUB_ID}, "
            f"and {error}."
        )
        if data == "hub":
            raise Sst2Error(f"{tried} {_WAYS_ON}") from error
        if ci:
            raise Sst2Error(f"{tried} Under CI nothing is put in its place. {_WAYS_ON}") from error
        if floors is not None and "pocket" not in floors.datasets:
            raise Sst2Error(
                f"{tried} {floors.origin} has floors for other data than the pocket set, so nothing is put in its "
                f"place. {_WAYS_ON}"
            ) from error
        if baseline is not None and "pocket" not in {record.dataset.name for record in baseline.records}:
            raise Sst2Error(
                f"{tried} Baseline {baseline.origin!r} is of other data than the pocket set, so nothing is put in its "
                f"place. {_WAYS_ON}"
            ) from error
        return load_pocket(note=f"{POCKET_NOTE}, taken because {error}")


_WAYS_ON = (
    "Three ways on: run once where the Hub can be reached, to fill the cache; --sst2-data=FOLDER with your own copy; "
    "or --sst2-data pocket for the built-in set, which is not SST-2."
)


def load_hub() -> Source:
    """Return SST-2 from the Hub's cache, or download it.

    Raises:
        HubError: It is in neither.
        Sst2Error: The files are not as they should be.
    """
    return _hub_source(hub_snapshot())


def hub_snapshot() -> hub.Snapshot:
    """Return SST-2's files, from the Hub's cache or downloaded.

    Raises:
        HubError: They are in neither.
        Sst2Error: They are in the cache, and no longer what the Hub gave.
    """
    return _cached_snapshot() or hub.download_snapshot(HUB_ID, "dataset", None, HUB_FILES, complete=_is_complete)


def _cached_snapshot() -> hub.Snapshot | None:
    snapshot = hub.cached_snapshot(HUB_ID, "dataset", None, HUB_FILES, _is_complete)
    if snapshot is not None:
        hub.verify_snapshot(HUB_ID, "dataset", snapshot, HUB_FILES)
    return snapshot


def cached_hub() -> Source | None:
    """Return SST-2 from the Hub's cache without asking any network, None where it is not there.

    Raises:
        Sst2Error: The files are not as they should be.
    """
    snapshot = _cached_snapshot()
    return None if snapshot is None else _hub_source(snapshot)


def _hub_source(snapshot: hub.Snapshot) -> Source:
    dataset, _ = _read_folder(snapshot.folder)
    return Source(dataset, _known_name(dataset) or HUB_ID, "hub", snapshot.commit)


def _is_complete(folder: Path) -> bool:
    """Tell whether a cached snapshot has both splits with all their shards."""
    try:
        return find_splits(folder) is not None
    except Sst2Error:
        return False


def load_folder(folder: Path) -> Source:
    """Return the data set in a folder: GLUE TSV, CSV, JSON lines, parquet (shards too), or ``save_to_disk``.

    A data set whose content is SST-2's is called ``sst2``, any other by the folder's name, since neither floors nor
    baselines of SST-2 hold for it.

    Raises:
        Sst2Error: A split is missing or a file is not as it should be; the message names file and line.
    """
    try:
        dataset, home = _read_folder(folder)
    except OSError as error:  # a folder that may not be listed
        raise Sst2Error(f"{folder} cannot be read: {error.strerror or error}.") from error
    digest = hashlib.sha256("".join(content_digest(split) for split in dataset.values()).encode()).hexdigest()
    name = _known_name(dataset) or _folder_name(folder)
    return Source(dataset, name, "folder", f"sha256:{digest[:12]}", place=str(home))


def _folder_name(folder: Path) -> str:
    """Return the folder's name, unless it is one by which floors and baselines of another data set would be found."""
    return f"folder {folder.name}" if folder.name in ("sst2", "pocket", HUB_ID) else folder.name


def load_pocket(note: str = POCKET_NOTE) -> Source:
    """Return the built-in pocket set, which is never called SST-2; raises as ``pocket_rows``."""
    return Source(dataset_of(pocket_rows()), "pocket", "pocket", f"sha256:{POCKET_SHA256[:12]}", note)


def content_digest(rows: Dataset | Rows, *, strip: bool = False) -> str:
    """Return the SHA-256 of sentences and labels in order; with ``strip`` outer spaces do not count."""
    if not isinstance(rows, Rows):
        rows = Rows(rows["sentence"][:], rows["label"][:])
    digest = hashlib.sha256()
    for sentence, label in zip(rows.sentences, rows.labels, strict=True):
        digest.update(f"{sentence.strip() if strip else sentence}\t{label}\n".encode())
    return digest.hexdigest()


def _known_name(dataset: DatasetDict) -> str | None:
    """Return ``sst2`` when the content is SST-2's, whatever the files were called."""
    same = all(
        len(dataset[name]) == size and content_digest(dataset[name], strip=True) == digest
        for name, (size, digest) in _SST2.items()
    )
    return "sst2" if same else None


def _read_folder(folder: Path) -> tuple[DatasetDict, Path]:
    """Return the data set of a folder, and the folder in it that holds the files of both splits."""
    if is_saved(folder):
        return dataset_of(saved_rows(folder)), folder
    found = find_splits(folder)
    if found is None:
        raise Sst2Error(
            f"{folder} holds no data set: a file each for train and validation is needed (train.tsv and dev.tsv, "
            f"train-00000-of-00001.parquet and so on; {', '.join(READERS)}), or a folder made by "
            f"DatasetDict.save_to_disk.{_passed_over(folder)}"
        )
    splits = {}
    for name, paths in found.files.items():
        parts = [read_rows(path) for path in paths]
        splits[name] = Rows([s for part in parts for s in part.sentences], [y for part in parts for y in part.labels])
    return dataset_of(splits), found.home


def _passed_over(folder: Path) -> str:
    """Return a sentence, after a space, on what has a file's name in a folder and is none; empty where nothing has."""
    odd = not_ordinary(folder)
    if not odd:
        return ""
    return f" {', '.join(odd[:3])} {'is' if len(odd) == 1 else 'are'} passed over: a folder, a pipe or a broken link."


def dataset_of(splits: dict[str, Rows]) -> DatasetDict:
    """Return rows as the library's data set, in memory."""
    import datasets

    features = datasets.Features(
        {"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    return datasets.DatasetDict(
        {
            name: datasets.Dataset.from_dict({"sentence": rows.sentences, "label": rows.labels}, features=features)
            for name, rows in splits.items()
        }
    )
