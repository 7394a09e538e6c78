"""Baselines: results files kept by name in ``.sst2/``, never overwritten without being told to."""

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
    """Return the file of the baseline ``name`` below a project's folder.

    Raises:
        Sst2Error: The name is not one a file on every system can have.
    """
    if not _NAME.fullmatch(name):
        raise Sst2Error(
            f"{quoted(name)} is no name for a baseline: letters, digits, '.', '_' and '-' make one, such as 'main'."
        )
    return folder / FOLDER / f"{name}.json"


def check_free(folder: Path, name: str, *, overwrite: bool, option: str = "--sst2-save") -> Path:
    """Return the file that a baseline will be written to, before any work is done.

    Args:
        folder: The project.
        name: The baseline's.
        overwrite: Whether one of that name may be replaced.
        option: What asked for it, as it is typed; the one that replaces is called alike.

    Raises:
        Sst2Error: A baseline of that name is there and may not be replaced, or the file cannot be written.
    """
    path = baseline_path(folder, name)
    if path.exists() and not overwrite:
        raise Sst2Error(
            f"{option} {name}: there is a baseline of that name in {str(path)!r}. Take another name, or add "
            f"{option.replace('save', 'overwrite')} to replace it."
        )
    check_writable(path, option)
    return path


def save_baseline(path: Path, records: Sequence[Record], failures: Sequence[Failure], *, overwrite: bool) -> None:
    """Write a baseline, whole or not at all.

    Raises:
        Sst2Error: It cannot be written, or somebody else has written one of that name meanwhile.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_atomically(path, results_text(records, failures, saved=now, packed=True), overwrite=overwrite)


def saved_baselines(folder: Path) -> list[str]:
    """Return the names of the baselines of a project, in alphabetical order."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.json"))


def find_baseline(folder: Path, base: Path, wanted: str) -> Path:
    """Return the file that a baseline's name or a path stands for.

    Args:
        folder: The project, whose ``.sst2`` is looked into.
        base: What a relative path starts from.
        wanted: The name, or the path of a results file.

    Raises:
        Sst2Error: It is neither; the message lists the names there are.
    """
    if _NAME.fullmatch(wanted) and (path := baseline_path(folder, wanted)).is_file():
        return path
    with contextlib.suppress(OSError, RuntimeError):  # too long for a path, or nobody's home folder
        path = base / Path(wanted).expanduser()
        if path.is_file():
            return path
    saved = saved_baselines(folder)
    if not saved:
        raise Sst2Error(
            f"no baseline {quoted(wanted)}: it is neither a file nor a name in {str(folder / FOLDER)!r}, which has "
            f"none. Save one with --sst2-save NAME."
        )
    guess = did_you_mean(closest(wanted, saved))
    raise Sst2Error(f"no baseline {quoted(wanted)}: it is neither a file nor one of {', '.join(saved)}.{guess}")


def load_results(folder: Path, base: Path, wanted: str) -> Results:
    """Return the results that a baseline's name or a path stands for; arguments as in ``find_baseline``.

    Raises:
        Sst2Error: There are none, they cannot be read, or one cell has two numbers.
    """
    path = find_baseline(folder, base, wanted)
    found = results_from_text(read_text(path), str(path))
    counted = Counter(record.cell for record in found.records)
    if twice := [cell for cell, count in counted.items() if count > 1]:
        raise Sst2Error(
            f"{path} holds {truncate(', '.join(twice), 100)} more than once, and which of its numbers counts is not "
            "known. Save the results anew, or take all but one of its lines out."
        )
    return replace(found, origin=wanted)


def load_baseline(folder: Path, base: Path, wanted: str) -> Results:
    """Return results that others can be compared with; arguments as in ``find_baseline``.

    Raises:
        Sst2Error: There are none, they cannot be read, or no measured cell is in them.
    """
    results = load_results(folder, base, wanted)
    if not results.records:
        path = str(find_baseline(folder, base, wanted))
        raise Sst2Error(f"baseline {path!r} holds no measured cell, so nothing can be compared with it.")
    return results


def newest_baseline(folder: Path) -> Results | None:
    """Return the baseline of a project that was saved last, None where it has none.

    Of several saved at once it is the last by name; one that does not say when it was saved is older than all others.

    Raises:
        Sst2Error: One cannot be read or holds no measured cell, so that it is not known which is the newest.
    """
    found = [load_baseline(folder, folder, name) for name in saved_baselines(folder)]
    return max(found, key=lambda each: (each.saved, each.origin), default=None)


def project_folder(start: Path) -> Path:
    """Return the nearest folder from ``start`` upwards that has a ``.sst2``, or ``start`` itself."""
    return next((folder for folder in (start, *start.parents) if (folder / FOLDER).is_dir()), start)
