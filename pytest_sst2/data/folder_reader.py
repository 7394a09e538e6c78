"""Read the data set of a folder as a ``datasets.DatasetDict``, or say what the folder lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.folders import SPLIT_NAMES, find_splits, is_saved, not_regular_files, saved_files
from pytest_sst2.data.readers import READERS, Rows, arrow_rows, check_rows, read_file
from pytest_sst2.data.row_format import RowFormat
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import shorten

if TYPE_CHECKING:
    from datasets import DatasetDict


def read_folder(folder: Path, form: RowFormat | None = None) -> tuple[DatasetDict, Path, str]:
    """Return the data set of a folder, the folder below it that contains the files of both splits, and a note."""
    form = form or RowFormat()
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


def _found(folder: Path) -> str:
    """Return a sentence with the data files of a folder that lacks a split; empty if it has none."""
    files = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in READERS and path.is_file())
    if not files:
        return ""
    hint = ""
    test = next((name for name in files if name.lower().startswith(("test.", "test-", "test_"))), "")
    if test and not any(word in name.lower() for name in files for word in SPLIT_NAMES["validation"]):
        hint = f" A test split is not used: if {test} has labels, rename it to validation{test[4:]}."
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
