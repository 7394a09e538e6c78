"""Read the data set of a folder or file as a ``datasets.DatasetDict``, or say what the folder lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.folders import SPLIT_NAMES, find_splits, is_saved, not_regular_files, saved_files
from pytest_sst2.data.readers import READERS, Rows, arrow_rows, check_rows, read_file
from pytest_sst2.data.row_format import RowFormat
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import shorten
from pytest_sst2.utils.hashing import sha256_digest

if TYPE_CHECKING:
    from datasets import DatasetDict

# A single file holds out one row in so many.
_HELD_OUT = 5


def read_folder(folder: Path, form: RowFormat | None = None) -> tuple[DatasetDict, Path, str]:
    """Return the data set of a folder, the folder below it that contains the files of both splits, and a note.

    A single file is divided into both splits.
    """
    form = form or RowFormat()
    if folder.is_file():
        return _read_single(folder, form)
    if is_saved(folder):
        saved = {
            name: _saved_rows(paths, f"{folder.name}, split {name!r}", form)
            for name, paths in saved_files(folder).items()
        }
        return dataset_of(saved), folder, "; ".join(form.notes)
    splits = find_splits(folder)
    if splits is None:
        raise Sst2Error(
            f"{folder} contains no data set. It needs one file each for train and validation (train.tsv and dev.tsv, "
            f"train-00000-of-00001.parquet, ...; formats: {', '.join(READERS)}), or the output of "
            f"DatasetDict.save_to_disk.{_found(folder)}{_skipped(folder)}"
        )
    files = {name: [(path, *read_file(path, form)) for path in paths] for name, paths in splits.files.items()}
    rows = {name: _joined([part for _, part, _ in parts]) for name, parts in files.items()}
    quoted = [path.name for parts in files.values() for path, _, is_quoted in parts if is_quoted]
    notes = [f"{' and '.join(quoted)} read as quoted TSV, as pandas writes it"] if quoted else []
    return dataset_of(rows), splits.home, "; ".join([*notes, *form.notes])


def _read_single(path: Path, form: RowFormat) -> tuple[DatasetDict, Path, str]:
    """Divide the rows of a file by a hash of the sentence, so that equal sentences stay together as the file grows."""
    rows, _ = read_file(path, form)
    splits = {name: Rows([], []) for name in SPLIT_NAMES}
    for sentence, label in zip(rows.sentences, rows.labels, strict=True):
        is_held_out = int(sha256_digest(sentence.strip()), 16) % _HELD_OUT == 0
        split = splits["validation" if is_held_out else "train"]
        split.sentences.append(sentence)
        split.labels.append(label)
    train, validation = (len(split.labels) for split in splits.values())
    if not (train and validation):
        raise Sst2Error(f"{path} has {len(rows.labels):,} rows, too few to divide into train and validation.")
    note = f"{validation:,} of {len(rows.labels):,} rows, chosen by a hash of the sentence, are the validation split"
    return dataset_of(splits), path.parent, "; ".join([note, *form.notes])


def _found(folder: Path) -> str:
    """Return a sentence with the data files of a folder that lacks a split; empty if it has none."""
    files = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in READERS and path.is_file())
    if not files:
        return ""
    hint = ""
    test = next((name for name in files if name.lower().startswith(("test.", "test-", "test_"))), "")
    if test and not any(word in name.lower() for name in files for word in SPLIT_NAMES["validation"]):
        hint = f" A test split is not used: if {test} has labels, rename it to validation{test[4:]}."
    elif len(files) == 1:
        hint = f" To evaluate on a fifth of its rows, name the file: --sst2-data={folder / files[0]}."
    return f" It has only {shorten(files, 5)}.{hint}"


def _saved_rows(paths: list[Path], name: str, form: RowFormat) -> Rows:
    rows = check_rows(arrow_rows(paths, form), name, form)
    if not rows.sentences:
        raise Sst2Error(f"{name} has no rows: at least one sentence with its label is needed.")
    return rows


def _joined(parts: list[Rows]) -> Rows:
    return Rows([s for part in parts for s in part.sentences], [y for part in parts for y in part.labels])


def _skipped(folder: Path) -> str:
    """Return a sentence, after a space, on entries with a data file's suffix that are not files; otherwise empty."""
    names = not_regular_files(folder)
    if not names:
        return ""
    verb = "was" if len(names) == 1 else "were"
    return f" {', '.join(names[:3])} {verb} skipped: not a regular file but a folder, a pipe or a broken link."


def dataset_of(splits: dict[str, Rows]) -> DatasetDict:
    """Return rows as an in-memory ``datasets.DatasetDict``."""
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
