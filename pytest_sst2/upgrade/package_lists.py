"""Lists of packages by name: a lock file, a file of a commit, or a baseline, which records its packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path

from pytest_sst2.results.baselines import FOLDER, project_folder, saved_baselines
from pytest_sst2.results.file import results_from_text
from pytest_sst2.results.git_baseline import read_git_file, ref_and_path
from pytest_sst2.upgrade.lock_files import lock_of_text
from pytest_sst2.upgrade.pins import LockFile, Pins, installed_pins, is_installer, public_version
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_text
from pytest_sst2.utils.suggest import closest, did_you_mean


def read_packages(name: str, folder: Path) -> LockFile:
    """Return the pins of a file, of ``REF:PATH`` or of a baseline.

    Args:
        name: As typed: a path, a file of a commit (``main:uv.lock``), or the name of a baseline.
        folder: The working folder.

    Raises:
        Sst2Error: It cannot be read, is of no known format, or pins nothing here.
    """
    text, notes = _text_of(name, folder)
    lock = _of_results(text, name) if _is_of_results(text) else lock_of_text(text, name)
    return LockFile(lock.pins, lock.left_out, (*notes, *lock.notes))


def _text_of(name: str, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Return a text, and sentences about where it was read from."""
    if ref_and_path(name):
        file = read_git_file(folder, name)
        return file.text, (f"{file.path} is read from commit {file.sha[:9]}", *filter(None, [file.note]))
    path, project = folder / Path(name).expanduser(), project_folder(folder)
    if (path.exists() and not path.is_dir()) or path.parent != folder:
        return read_text(path), ()
    saved = saved_baselines(project)
    if (baseline := name.removesuffix(".json")) in saved:
        return read_text(project / FOLDER / f"{baseline}.json"), ()
    files = [entry.name for entry in folder.iterdir() if entry.is_file()]
    guess = did_you_mean(closest(name, [*saved, *files]))
    raise Sst2Error(f"{quoted(name)} is neither a file here nor a baseline in {FOLDER}.{guess}")


def _is_of_results(text: str) -> bool:
    return text.lstrip().startswith("{") and '"schema_version"' in text and '"records"' in text


def _of_results(text: str, name: str) -> LockFile:
    """Return the packages that the cells of a results file were measured with.

    Build labels and what is installed from a folder here are left out, as ``installed_pins`` does.

    Raises:
        Sst2Error: The file is damaged, has no cell, or has cells of several environments.
    """
    environments = [record.environment for record in results_from_text(text, name).records]
    if not environments:
        raise Sst2Error(f"{name!r} has no measured cell, so it records no packages.")
    _, local = installed_pins()
    first = _pins_of(environments[0].packages)
    for other in environments[1:]:
        differing = {*first.items()} ^ {*_pins_of(other.packages).items()}
        if differing:
            raise Sst2Error(
                f"{name!r} has cells of several environments, which differ in {min(differing)[0]}. Name a lock file."
            )
    python = environments[0].python
    is_same = python.split(".")[:2] == platform.python_version().split(".")[:2]
    notes = () if is_same else (f"{name} was measured with Python {python}, not with {platform.python_version()}",)
    pins = {package: version for package, version in first.items() if package not in local}
    return LockFile(pins, tuple(sorted({*first} & {*local})), notes)


def _pins_of(packages: Mapping[str, str]) -> Pins:
    return {name: public_version(version) for name, version in packages.items() if version and not is_installer(name)}
