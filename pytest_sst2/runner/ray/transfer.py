"""Shipping: the data set and the files of models as they travel to other machines, once for all cells of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import Source, dataset_of
from pytest_sst2.models.layout import module_folders
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest
from pytest_sst2.utils.locks import lock_file

Put = Callable[[Any], Any]
"""Puts a value where every machine can get it; returns what it is got by."""
Get = Callable[[Any], Any]


@dataclass(frozen=True)
class ShippedSource:
    """A data set without the libraries' own tables, which may be mapped from a file of this machine alone."""

    splits: Mapping[str, Rows]
    name: str
    source: str
    revision: str
    note: str

    def unpacked(self) -> Source:
        """Return the data set as it was."""
        return Source(dataset_of(dict(self.splits)), self.name, self.source, self.revision, self.note)


def ship_source(source: Source) -> ShippedSource:
    """Return a data set as it travels."""
    splits = {name: Rows(rows["sentence"][:], rows["label"][:]) for name, rows in source.dataset.items()}
    return ShippedSource(splits, source.name, source.source, source.revision, source.note)


@dataclass(frozen=True)
class ShippedModel:
    """A model's files as they travel.

    Attributes:
        located: Where they are on the machine that sent them, and what is known of them.
        files: What each is got by, under its path from the model's folder; None where all machines are one.
        digest: SHA-256 of their names and contents.
    """

    located: LocatedModel
    files: Mapping[str, Any] | None = None
    digest: str = ""

    def unpacked(self, get: Get) -> LocatedModel:
        """Return the model with its files on this machine.

        They are read where they are if that folder is here too, with the same content: a shared cache, or the machine
        that sent them. Otherwise they are written to our cache, once a machine.

        Args:
            get: What gets a file's bytes.

        Raises:
            Sst2Error: They cannot be written.
        """
        if self.files is None or _digest(self.located.folder, self.files) == self.digest:
            return self.located
        folder = cache_folder() / "models" / self.digest[:32]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # Of several processes that want it at once the first writes it; the others must not write under its feet.
            # The lock lies beside it, since several machines may share the cache.
            with lock_file(folder.with_suffix(".lock")):
                if _digest(folder, self.files) != self.digest:
                    _write(folder, self.files, get)
        except OSError as error:
            raise Sst2Error(
                f"model {self.located.spec.name!r} cannot be kept in {folder}: {error.strerror or error}."
            ) from error
        within = self.located.transformer.relative_to(self.located.folder)
        return dataclasses.replace(self.located, folder=folder, transformer=folder / within)


def ship_model(located: LocatedModel, put: Put | None) -> ShippedModel:
    """Return a model as it travels.

    Args:
        located: The model on this machine.
        put: What puts a file's bytes; None where all machines are this one, and nothing need travel.
    """
    if put is None:
        return ShippedModel(located)
    folder = located.folder
    # A folder that a training wrote has checkpoints below it, each as large as the model.
    folders = {folder, located.transformer, *module_folders(folder, located.transformer)}
    paths = sorted(path for each in folders for path in each.iterdir() if path.is_file() and _is_used(path))
    files = {path.relative_to(folder).as_posix(): put(path.read_bytes()) for path in paths}
    return ShippedModel(located, files, _digest(folder, files))


# What no loader of ours reads, and what may be far larger than all the rest.
_UNUSED = (".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pb", ".tflite", ".ckpt")


def _is_used(path: Path) -> bool:
    return path.suffix not in _UNUSED and not path.name.startswith(".")


def _digest(folder: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 of files below a folder, their names included; empty where one is not there."""
    found = hashlib.sha256()
    for name in sorted(names):
        try:
            found.update(f"{name} {file_digest(folder / name)}\n".encode())
        except OSError:
            return ""
    return found.hexdigest()


def _write(folder: Path, files: Mapping[str, Any], get: Get) -> None:
    """Write files to a new folder, one at a time; it takes its name when it is whole."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for name, value in files.items():
            path = Path(scratch) / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(get(value))
        shutil.rmtree(folder, ignore_errors=True)
        (Path(scratch) / "model").rename(folder)
