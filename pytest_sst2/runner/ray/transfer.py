"""Data set, model files and conftest code on their way to other machines, once for all cells of a run."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import Cell
from pytest_sst2.data.folder_reader import dataset_of
from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import Source
from pytest_sst2.methods.code_digest import innermost
from pytest_sst2.models.layout import all_folders
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest
from pytest_sst2.utils.locks import lock_file

Put = Callable[[Any], Any]
"""Puts a value into the object store and returns its reference."""
Get = Callable[[Any], Any]
"""Returns the value of a reference."""


@dataclass(frozen=True)
class ShippedSource:
    """A data set as plain rows, because the tables of ``datasets`` may be mapped from a local file."""

    splits: Mapping[str, Rows]
    described: Source  # without its rows

    def unpacked(self) -> Source:
        """Return the data set on this machine."""
        return dataclasses.replace(self.described, dataset=dataset_of(dict(self.splits)))


def ship_source(source: Source) -> ShippedSource:
    """Return a data set ready to be pickled."""
    splits = {name: Rows(rows["sentence"][:], rows["label"][:]) for name, rows in source.dataset.items()}
    empty = type(source.dataset)()
    return ShippedSource(splits, dataclasses.replace(source, dataset=empty, place="", instead_of_sst2=""))


@dataclass(frozen=True)
class ShippedModel:
    """The files of a model in the object store.

    Attributes:
        located: The model on the machine that sent it.
        files: References of the files by their path in the model's folder; None if all nodes are one machine.
        digest: SHA-256 of the names and contents.
    """

    located: LocatedModel
    files: Mapping[str, Any] | None = None
    digest: str = ""

    def unpacked(self, get: Get) -> LocatedModel:
        """Return the model with its files on this machine.

        If the sender's folder exists here with the same content, such as on a shared disk, it is used. Otherwise the
        files are written to the cache folder, once per machine.

        Args:
            get: Returns the bytes of a file.

        Raises:
            Sst2Error: The files cannot be written.
        """
        if self.files is None or _digest(self.located.folder, self.files) == self.digest:
            return self.located
        folder = cache_folder() / "models" / self.digest[:32]
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            # One process writes the files, the others wait. The lock is in the cache, which machines may share.
            with lock_file(folder.with_suffix(".lock")):
                if _digest(folder, self.files) != self.digest:
                    _write(folder, self.files, get)
        except OSError as error:
            raise Sst2Error(
                f"model {self.located.spec.name!r} cannot be written to {folder}: {error.strerror or error}."
            ) from error
        return dataclasses.replace(self.located, folder=folder)


def ship_model(located: LocatedModel, put: Put | None) -> ShippedModel:
    """Put the files of a model into the object store.

    Args:
        located: The model on this machine.
        put: Stores the bytes of a file; None if all nodes are this machine, so that nothing is transferred.
    """
    if put is None:
        return ShippedModel(located)
    folder = located.folder
    # Only these folders, because a training may have left checkpoints below, each as large as the model.
    found = (path for parent in all_folders(folder) for path in parent.glob("*"))
    paths = sorted(path for path in found if path.is_file() and _is_used(path))
    files = {path.relative_to(folder).as_posix(): put(path.read_bytes()) for path in paths}
    return ShippedModel(located, files, _digest(folder, files))


# Formats that are never loaded. They may be far larger than the rest.
_UNUSED = (".bin", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pb", ".tflite", ".ckpt")


def _is_used(path: Path) -> bool:
    return path.suffix not in _UNUSED and not path.name.startswith(".")


def _digest(folder: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 of files in a folder, names included; empty if one is missing."""
    digest = hashlib.sha256()
    for name in sorted(names):
        try:
            digest.update(f"{name} {file_digest(folder / name)}\n".encode())
        except OSError:
            return ""
    return digest.hexdigest()


def _write(folder: Path, files: Mapping[str, Any], get: Get) -> None:
    """Write the files to a scratch folder, which is renamed when it is complete."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for name, value in files.items():
            path = Path(scratch) / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(get(value))
        shutil.rmtree(folder, ignore_errors=True)
        (Path(scratch) / "model").rename(folder)


def pickle_conftest_code_by_value(ray: Any, cells: Iterable[Cell]) -> None:
    """Make Ray pickle the code of a conftest's methods with the cells, because no node can import the conftest."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib"))
    for train in (cell.method.train for cell in cells if callable(cell.method.train)):
        module = sys.modules.get(getattr(innermost(train), "__module__", ""))
        file = getattr(module, "__file__", None)
        if module is not None and file and not file.startswith(installed) and not _is_this_package(module.__name__):
            ray.cloudpickle.register_pickle_by_value(module)


def _is_this_package(module: str) -> bool:
    return module.partition(".")[0] == Path(__file__).parents[2].name
