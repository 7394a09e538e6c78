"""Baselines: results files in ``.sst2/`` with a name, overwritten only with ``--sst2-overwrite``."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.atomic_write import check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.safe_read import read_text
from pytest_sst2.utils.suggest import closest, did_you_mean

FOLDER = ".sst2"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def baseline_path(folder: Path, name: str) -> Path:
    """Return the file of the baseline ``name`` in a project's folder; raise if the name is not valid everywhere."""
    if not _NAME.fullmatch(name):
        raise Sst2Error(
            f"{quoted(name)} is not a baseline name: use letters, digits, '.', '_' and '-', for example 'main'."
        )
    return folder / FOLDER / f"{name}.json"


def check_free(folder: Path, name: str, *, overwrite: bool, option: str = "--sst2-save") -> Path:
    """Return the file of a new baseline; raise if it cannot be written, or exists and ``overwrite`` is not set."""
    path = baseline_path(folder, name)
    if path.exists() and not overwrite:
        raise Sst2Error(
            f"{option} {name}: there is a baseline of that name in {str(path)!r}. Choose another name, or add "
            f"{option.replace('save', 'overwrite')} to replace it."
        )
    check_writable(path, option)
    return path


def save_baseline(path: Path, records: Sequence[Record], failures: Sequence[Failure], *, overwrite: bool) -> None:
    """Write a baseline atomically; raise if another run has saved a baseline of that name meanwhile."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_atomically(path, results_text(records, failures, saved=now, packed=True), overwrite=overwrite)


def saved_baselines(folder: Path) -> list[str]:
    """Return the names of a project's baselines in alphabetical order."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.json"))


def find_baseline(folder: Path, base: Path, name_or_path: str) -> Path:
    """Return the file of a baseline of the project in ``folder``, or of a path, which starts from ``base`` if relative.

    Raises:
        Sst2Error: There is no such baseline or file. The message lists the baselines.
    """
    if _NAME.fullmatch(name_or_path) and (path := baseline_path(folder, name_or_path)).is_file():
        return path
    with contextlib.suppress(OSError, RuntimeError):  # too long for a path, or an unknown home folder
        path = base / Path(name_or_path).expanduser()
        if path.is_file():
            return path
    saved = saved_baselines(folder)
    if not saved:
        raise Sst2Error(
            f"no baseline {quoted(name_or_path)}: no such file, and {str(folder / FOLDER)!r} has no baselines. Save "
            "one with --sst2-save NAME."
        )
    guess = did_you_mean(closest(name_or_path, saved))
    raise Sst2Error(f"no baseline {quoted(name_or_path)}: it is neither a file nor one of {', '.join(saved)}.{guess}")


def load_results(folder: Path, base: Path, name_or_path: str) -> Results:
    """Return the results of a baseline or of a path; arguments as in ``find_baseline``.

    Raises:
        Sst2Error: There is no such file, it cannot be read, or it has two records of one cell.
    """
    path = find_baseline(folder, base, name_or_path)
    results = results_from_text(read_text(path), str(path))
    counts = Counter(record.cell for record in results.records)
    if twice := [cell for cell, count in counts.items() if count > 1]:
        raise Sst2Error(
            f"{path} has more than one record of {truncate(', '.join(twice), 100)}. Save the results again, or delete "
            "all but one of its lines."
        )
    return replace(results, origin=name_or_path)


def load_baseline(folder: Path, base: Path, name_or_path: str) -> Results:
    """Return the results of a baseline to compare with; arguments as in ``find_baseline``.

    Raises:
        Sst2Error: As ``load_results``, or the file has no measured cell.
    """
    results = load_results(folder, base, name_or_path)
    if not results.records:
        path = str(find_baseline(folder, base, name_or_path))
        raise Sst2Error(f"baseline {path!r} has no measured cell, so nothing can be compared with it.")
    return results


def newest_baseline(folder: Path) -> Results | None:
    """Return the baseline of a project that was saved last; None if there is none.

    Of baselines saved at the same time, the last by name is returned. A baseline without a time is the oldest.

    Raises:
        Sst2Error: A baseline cannot be read or has no measured cell, so the newest is not known.
    """
    baselines = [load_baseline(folder, folder, name) for name in saved_baselines(folder)]
    return max(baselines, key=lambda results: (results.saved, results.origin), default=None)


def project_folder(start: Path) -> Path:
    """Return the nearest folder from ``start`` upwards with a ``.sst2``; ``start`` if there is none."""
    return next((folder for folder in (start, *start.parents) if (folder / FOLDER).is_dir()), start)
