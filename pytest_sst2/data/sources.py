"""Load a data set as a ``datasets.DatasetDict``: SST-2 from the Hub, a local folder, or the built-in pocket set."""

from __future__ import annotations

import fnmatch
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.folder_reader import dataset_of, read_folder
from pytest_sst2.data.hub_copies import missing_split, other_copies
from pytest_sst2.data.pocket import POCKET_NOTE, POCKET_SHA256, pocket_rows
from pytest_sst2.data.readers import Rows
from pytest_sst2.data.row_format import RowFormat
from pytest_sst2.hub.cache import Lookup, Snapshot, find_cached
from pytest_sst2.hub.download import obtain
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Fetch, Request
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from pytest_sst2.config.settings import Settings
    from pytest_sst2.results.file import Results
    from pytest_sst2.results.floors import Floors

HUB_ID = "stanfordnlp/sst2"
_FILES = ("*train*.parquet", "*validation*.parquet")
# SST-2 as GLUE ships it: number of rows, and SHA-256 of "sentence<TAB>label<LF>" with outer spaces removed.
_SST2 = {
    "train": (67_349, "c5abce3993c9c1d61c59dea128d479725048946bf0166a220796667cc2224c5e"),
    "validation": (872, "fdb21a491401989324087047283a5b5277124937d43f7bb90df4bd7c18b8cc96"),
}


@dataclass(frozen=True)
class Source:
    """A data set and its origin. The fields have the same meaning as in ``DatasetInfo``.

    ``place`` is the folder that contains the files of a local data set, otherwise empty. Records do not include it
    because the same data can be stored anywhere. ``instead_of_sst2`` is a sentence on why SST-2 is not available, if
    this is the pocket set in its place; otherwise it is empty.
    """

    dataset: DatasetDict
    name: str
    source: str
    revision: str
    note: str = ""
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    place: str = field(default="", compare=False)
    instead_of_sst2: str = field(default="", compare=False)


def source_of(settings: Settings, *, floors: Floors | None, baseline: Results | None) -> Source:
    """Return the data set of a run; arguments and errors as ``load_source``."""
    form = RowFormat(settings.columns, settings.labels)
    return load_source(settings.data, ci=settings.ci, floors=floors, baseline=baseline, form=form)


def load_source(
    data: str,
    *,
    ci: bool = False,
    floors: Floors | None = None,
    baseline: Results | None = None,
    form: RowFormat | None = None,
) -> Source:
    """Return the data set that ``--sst2-data`` names.

    ``auto`` uses the copy in the Hub's cache, otherwise downloads SST-2, otherwise falls back to the pocket set with a
    note. There is no fallback where the pocket set could be mistaken for a result on SST-2: under CI, or with floors
    or a baseline of other data.

    Args:
        data: ``auto``, ``hub``, ``pocket`` or a folder.
        ci: Whether this is a CI run.
        floors: The floors file that the user named, or None.
        baseline: The results that the run is compared with, or None.
        form: The columns and labels of a folder's files; None to find them.

    Raises:
        Sst2Error: The data is not available or is invalid.
    """
    if data == "pocket":
        return load_pocket()
    if data not in ("auto", "hub"):
        return load_folder(Path(data), form)
    try:
        return load_hub()
    except HubError as error:
        tried = f"SST-2 could not be downloaded from the Hub: {error}."
        if data == "hub":
            raise Sst2Error(f"{tried} {_NEXT_STEPS}") from error
        if reason := _no_substitute(floors, baseline, ci=ci):
            raise Sst2Error(f"{tried} The pocket set does not replace it {reason}. {_NEXT_STEPS}") from error
        pocket = load_pocket(note=f"{POCKET_NOTE}, used because {error}")
        return replace(pocket, instead_of_sst2=tried)


def _no_substitute(floors: Floors | None, baseline: Results | None, *, ci: bool) -> str:
    """Return why the pocket set cannot replace SST-2 in this run, as a clause; empty if it can."""
    if ci:
        return "under CI"
    if floors is not None and "pocket" not in floors.datasets:
        return f"because {floors.origin} has no floors for the pocket set"
    if baseline is not None and "pocket" not in {record.dataset.name for record in baseline.records}:
        return f"because baseline {baseline.origin!r} was not measured on the pocket set"
    return ""


_NEXT_STEPS = (
    "Next steps: run once where the Hub can be reached, to fill the cache; use --sst2-data=FOLDER with your own copy; "
    "or use --sst2-data=pocket for the built-in set, which is not SST-2."
)


def load_hub() -> Source:
    """Return SST-2 from a cache on this machine, or download it.

    Raises:
        HubError: No cache has it, and the download failed or is forbidden.
        Sst2Error: A file is invalid.
    """
    unreadable: list[str] = []
    if (cached := cached_hub(unreadable)) is not None:
        return cached

    def find() -> Lookup:
        lookup = _cached()
        return replace(lookup, reason=", and ".join([lookup.reason, *unreadable]))

    if os.environ.get("HF_DATASETS_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise HubError(f"{find().reason}, and the Hub is disabled by HF_DATASETS_OFFLINE")
    _, snapshot = obtain(Request(HUB_ID, "dataset", None, f"{__name__}:select"), find)
    return _hub_source(snapshot)


def select(sizes: Mapping[str, int | None], _: Fetch) -> list[str]:
    """Return the files of both splits among the files of a repository; see ``hub.worker.Request``."""
    return [name for name in sizes if any(fnmatch.fnmatch(name, pattern) for pattern in _FILES)]


def cached_hub(unreadable: list[str] | None = None) -> Source | None:
    """Return SST-2 from the caches of huggingface_hub or ``datasets`` without the network, or None.

    Args:
        unreadable: Receives a clause for each copy under another name that cannot be read. Such a copy is skipped.

    Raises:
        Sst2Error: A file of the repository itself is invalid.
    """
    if (snapshot := _cached().snapshot) is not None:
        return _hub_source(snapshot)
    for folder, revision, read in other_copies():
        try:
            dataset = read()
        except (Sst2Error, OSError):
            if unreadable is not None:
                unreadable.append(f"the copy in {folder} cannot be read")
            continue
        if (name := _known_name(dataset)) is not None:
            return Source(dataset, name, "hub", revision)
    return None


def _cached() -> Lookup:
    return find_cached((HUB_ID,), "dataset", None, missing_split, _FILES)


def _hub_source(snapshot: Snapshot) -> Source:
    dataset, *_ = read_folder(snapshot.folder)
    return Source(dataset, _known_name(dataset) or HUB_ID, "hub", snapshot.commit)


def load_folder(folder: Path, form: RowFormat | None = None) -> Source:
    """Return the data set in a folder or file: GLUE TSV, CSV, JSON lines, Parquet (or shards), or ``save_to_disk``.

    A data set with SST-2's content is named ``sst2``. Any other has the folder's name, because floors and baselines of
    SST-2 do not apply to it.

    Raises:
        Sst2Error: A split is missing or a file is invalid. The message names the file and the line.
    """
    try:
        dataset, home, note = read_folder(folder, form)
    except OSError as error:  # no permission to list the folder
        raise Sst2Error(f"{folder} cannot be read: {error.strerror or error}.") from error
    digest = short_digest("".join(content_digest(split) for split in dataset.values()), 12)
    name = _known_name(dataset) or _folder_name(folder)
    columns, labels = form.given if form else ((), ())
    return Source(dataset, name, "folder", f"sha256:{digest}", note, columns, labels, str(home))


def _folder_name(folder: Path) -> str:
    """Return the folder's name, changed if floors and baselines of another data set would match it."""
    return f"folder {folder.name}" if folder.name in ("sst2", "pocket", HUB_ID) else folder.name


def load_pocket(note: str = POCKET_NOTE) -> Source:
    """Return the built-in pocket set, which is never named SST-2; raises the same as ``pocket_rows``."""
    return Source(dataset_of(pocket_rows()), "pocket", "pocket", f"sha256:{POCKET_SHA256[:12]}", note)


def content_digest(rows: Dataset | Rows, *, strip: bool = False) -> str:
    """Return the SHA-256 of sentences and labels in order; ``strip`` ignores leading and trailing spaces."""
    if not isinstance(rows, Rows):
        rows = Rows(rows["sentence"][:], rows["label"][:])
    digest = hashlib.sha256()
    for sentence, label in zip(rows.sentences, rows.labels, strict=True):
        digest.update(f"{sentence.strip() if strip else sentence}\t{label}\n".encode())
    return digest.hexdigest()


def _known_name(dataset: DatasetDict) -> str | None:
    """Return ``sst2`` if the content is SST-2's, whatever the file names, otherwise None."""
    same = all(
        len(dataset[name]) == size and content_digest(dataset[name], strip=True) == digest
        for name, (size, digest) in _SST2.items()
    )
    return "sst2" if same else None
