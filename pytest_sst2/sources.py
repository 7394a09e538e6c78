"""SST-2 as a ``datasets.DatasetDict`` from the Hub, a local folder, or the built-in pocket set."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2 import hub
from pytest_sst2.errors import Sst2Error
from pytest_sst2.hub_errors import HubError
from pytest_sst2.json_files import read_json
from pytest_sst2.readers import READERS, Rows, arrow_rows, check_rows, read_rows

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

    from pytest_sst2.floors import Floors
    from pytest_sst2.results_file import Results

HUB_ID = "stanfordnlp/sst2"
HUB_FILES = ("*train*.parquet", "*validation*.parquet")
POCKET_FILE = Path(__file__).parent / "data" / "pocket.tsv"
POCKET_SHA256 = "471b5204ce9d17cf0b07df568ebc8dd695f262a7d8550e6c8223ae6b04a6fe8c"
POCKET_NOTE = "built-in pocket set of 1,200 sentences, not SST-2"

SPLIT_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
}
# SST-2 as GLUE ships it: how many rows, and the SHA-256 of "sentence<TAB>label<LF>" with outer spaces removed.
_SST2 = {
    "train": (67_349, "c5abce3993c9c1d61c59dea128d479725048946bf0166a220796667cc2224c5e"),
    "validation": (872, "fdb21a491401989324087047283a5b5277124937d43f7bb90df4bd7c18b8cc96"),
}
_DEEPEST = 2
_LARGEST_STATE_BYTES = 2**20
_SHARD = re.compile(r"-(\d+)-of-(\d+)(?:-[0-9a-f]{16})?$")


@dataclass(frozen=True)
class Source:
    """A data set and its origin; the fields mean what they mean in ``DatasetInfo``."""

    dataset: DatasetDict
    name: str
    source: str
    revision: str
    note: str = ""


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
    dataset = _read_folder(snapshot.folder)
    return Source(dataset, _known_name(dataset) or HUB_ID, "hub", snapshot.commit)


def _is_complete(folder: Path) -> bool:
    """Tell whether a cached snapshot has both splits with all their shards."""
    try:
        return bool(_find_splits(folder))
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
        dataset = _read_saved(folder) if (folder / "dataset_dict.json").is_file() else _read_folder(folder)
    except OSError as error:  # a folder that may not be listed
        raise Sst2Error(f"{folder} cannot be read: {error.strerror or error}.") from error
    digest = hashlib.sha256("".join(content_digest(split) for split in dataset.values()).encode()).hexdigest()
    return Source(dataset, _known_name(dataset) or _folder_name(folder), "folder", f"sha256:{digest[:12]}")


def _folder_name(folder: Path) -> str:
    """Return the folder's name, unless it is one by which floors and baselines of another data set would be found."""
    return f"folder {folder.name}" if folder.name in ("sst2", "pocket", HUB_ID) else folder.name


def load_pocket(note: str = POCKET_NOTE) -> Source:
    """Return the built-in pocket set, which is never called SST-2.

    Raises:
        Sst2Error: Its file is missing, or is not the one that was released.
    """
    splits: dict[str, Rows] = {name: Rows([], []) for name in SPLIT_NAMES}
    for split, _kind, label, sentence in _pocket_lines():
        splits[split].sentences.append(sentence)
        splits[split].labels.append(int(label))
    return Source(dataset_of(splits), "pocket", "pocket", f"sha256:{POCKET_SHA256[:12]}", note)


def pocket_kinds() -> dict[str, str]:
    """Return for each sentence of the pocket set what carries its verdict: ``negation``, ``irony`` and so on."""
    return {sentence: kind for _split, kind, _label, sentence in _pocket_lines()}


def _pocket_lines() -> Iterator[list[str]]:
    return (line.split("\t") for line in _pocket_text().split("\n")[1:-1])


def _pocket_text() -> str:
    remedy = "Install it again: pip install --force-reinstall --no-deps pytest-sst2."
    try:
        content = POCKET_FILE.read_bytes()
    except OSError as error:
        raise Sst2Error(
            f"{POCKET_FILE}, the pocket set, cannot be read ({error.strerror or error}). {remedy}"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != POCKET_SHA256:
        raise Sst2Error(
            f"{POCKET_FILE} has SHA-256 {digest}, not the expected {POCKET_SHA256}, so it was damaged or changed. "
            + remedy
        )
    return content.decode()


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


def _read_folder(folder: Path) -> DatasetDict:
    files = _find_splits(folder)
    if not files:
        raise Sst2Error(
            f"{folder} holds no data set: a file each for train and validation is needed (train.tsv and dev.tsv, "
            f"train-00000-of-00001.parquet and so on; {', '.join(READERS)}), or a folder made by "
            f"DatasetDict.save_to_disk.{_no_files(folder)}"
        )
    splits = {}
    for name, paths in files.items():
        parts = [read_rows(path) for path in paths]
        splits[name] = Rows([s for part in parts for s in part.sentences], [y for part in parts for y in part.labels])
    return dataset_of(splits)


def _no_files(folder: Path) -> str:
    """Return a sentence, after a space, on what has a file's name in a folder and is none; empty where nothing has."""
    odd = [path.name for path in _children(folder) if path.suffix.lower() in READERS and not path.is_file()]
    if not odd:
        return ""
    return f" {', '.join(odd[:3])} {'is' if len(odd) == 1 else 'are'} passed over: a folder, a pipe or a broken link."


def _read_saved(folder: Path) -> DatasetDict:
    """Read what ``DatasetDict.save_to_disk`` wrote: the Arrow files that its state names, without the library.

    That would follow paths out of the folder, and trust what the files say of their own buffers.
    """
    listed = _saved_json(folder / "dataset_dict.json").get("splits")
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise Sst2Error(f"{folder / 'dataset_dict.json'} has no list of splits, as save_to_disk writes it.")
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
    return dataset_of(splits)


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


def _find_splits(folder: Path) -> dict[str, list[Path]]:
    """Return the files of both splits, from the shallowest level of the folder that has both; empty if none has.

    Raises:
        Sst2Error: Two sets of files could be meant, or shards are missing.
    """
    level = [folder]
    for _ in range(_DEEPEST + 1):
        found = {name: _split_files(level, aliases, root=folder) for name, aliases in SPLIT_NAMES.items()}
        if all(found.values()):
            return found
        level = [child for parent in level for child in _children(parent) if child.is_dir()]
    return {}


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
