"""Baselines: results files in ``.sst2/`` with a name, overwritten only with ``--sst2-overwrite``."""

from __future__ import annotations

import contextlib
import fnmatch
import re
import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.git_baseline import read_git_file, ref_and_path
from pytest_sst2.utils.atomic_write import check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, quoted, shorten, truncate
from pytest_sst2.utils.safe_read import check_regular_file, read_text
from pytest_sst2.utils.suggest import closest, did_you_mean

FOLDER = ".sst2"
DROP_OPTION = "--sst2-drop-cells"
_SHORT = 300  # characters of a list of cells that is printed whole
# Names of devices on Windows, with any suffix.
_RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9]", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def baseline_path(folder: Path, name: str) -> Path:
    """Return the file of the baseline ``name``, or ``name.json``, in a project's folder.

    Raises:
        Sst2Error: The name is not valid on every system.
    """
    name = name.removesuffix(".json")
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name.partition(".")[0]):
        raise Sst2Error(
            f"{quoted(name)} is not a baseline name: use letters, digits, '.', '_' and '-', for example 'main'."
        )
    return folder / FOLDER / f"{name}.json"


def check_free(
    folder: Path, name: str, *, overwrite: bool, drop: Sequence[str] = (), option: str = "--sst2-save"
) -> Path:
    """Return the file of a new baseline.

    Raises:
        Sst2Error: It cannot be written; it exists and ``overwrite`` is not set; or it exists, cannot be read, and
            ``drop`` does not match all cells.
    """
    path = baseline_path(folder, name)
    if path.exists() and not overwrite:
        raise Sst2Error(
            f"{option} {name}: there is a baseline of that name in {str(path)!r}. Choose another name, or add "
            f"{option.replace('save', 'overwrite')} to replace it."
        )
    check_writable(path, option)
    replaced_cells(path, drop, option.replace("save", "drop-cells"))
    return path


def save_baseline(
    path: Path, results: Results, *, overwrite: bool, drop: Sequence[str] = (), option: str = DROP_OPTION
) -> str:
    """Write the records of a run as a baseline atomically, and return a line about it.

    Args:
        path: The file of the baseline.
        results: The run; it should have measured all planned cells.
        overwrite: Whether an existing baseline of that name is replaced.
        drop: Names or patterns of the cells that the baseline may lack.
        option: The option that drops cells, for the message.

    Raises:
        Sst2Error: A planned cell, or a cell of the baseline that is replaced, has no number and is not dropped; no cell
            was measured; or another run has saved a baseline of that name meanwhile.
    """
    measured = {record.cell for record in results.records}
    if not measured:
        raise not_saved(path, "no cell was measured")
    failed = dict.fromkeys([*results.planned, *(failure.cell for failure in results.failures)])
    replaced = replaced_cells(path, drop, option) if overwrite else ()
    without = [cell for cell in dict.fromkeys((*failed, *replaced)) if cell not in measured]
    if lost := [cell for cell in without if not matches(cell, drop)]:
        raise not_saved(path, _lost_sentence(lost, failed), f" {_how_to_drop(lost, option)}")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_atomically(path, results_text(Results(results.records, saved=now), packed=True), overwrite=overwrite)
    dropped = f", without {shorten(without)}" if without else ""
    return f"baseline {path.stem!r} with {plural(len(results.records), 'record')} in {path}{dropped}"


def not_saved(path: Path, reason: str, remedy: str = "") -> Sst2Error:
    """Return the error of a baseline that was not saved."""
    return Sst2Error(f"baseline {path.stem!r} was not saved: {reason}. What was there is unchanged.{remedy}")


def _lost_sentence(lost: Sequence[str], planned: Collection[str]) -> str:
    """Return which cells have no number, and which of them only the replaced baseline has."""
    own, replaced = [cell for cell in lost if cell in planned], [cell for cell in lost if cell not in planned]
    parts = [f"{plural(len(own), 'cell')} without a number: {shorten(own)}"] if own else []
    if replaced:
        parts.append(
            f"{plural(len(replaced), 'cell')} of the baseline that it replaces not measured: {shorten(replaced)}"
        )
    return "; ".join(parts)


def _how_to_drop(lost: Sequence[str], option: str) -> str:
    names = ",".join(lost)
    return f"Measure them, or drop them: {option}={shlex.quote(names) if len(names) <= _SHORT else 'CELL,...'}."


def matches(cell: str, patterns: Iterable[str]) -> bool:
    """Return whether the id of a cell is one of the names, or matches one of the patterns (``minilm-*``)."""
    return any(cell == pattern or fnmatch.fnmatchcase(cell, pattern) for pattern in patterns)


def replaced_cells(path: Path, drop: Sequence[str], option: str = DROP_OPTION) -> tuple[str, ...]:
    """Return the ids of the cells of the baseline that a new one replaces; none if there is none.

    Raises:
        Sst2Error: It cannot be read, so the cells that would be lost are unknown, and ``drop`` does not match all.
    """
    if not path.exists():
        return ()
    try:
        return tuple(record.cell for record in results_from_text(read_text(path), str(path)).records)
    except Sst2Error as error:
        if "*" in drop:
            return ()
        raise Sst2Error(f"{error} To replace it although its cells are unknown, add {option}='*'.") from error


def saved_baselines(folder: Path) -> list[str]:
    """Return the names of a project's baselines in alphabetical order."""
    return sorted(path.stem for path in _json_files(folder) if _NAME.fullmatch(path.stem) and path.is_file())


def _json_files(folder: Path) -> list[Path]:
    try:
        return sorted((folder / FOLDER).glob("*.json"))
    except OSError:  # the folder is a link to itself, or may not be listed
        return []


def read_baselines(folder: Path) -> tuple[list[Results], list[str]]:
    """Return all baselines of a project, and a sentence for each file among them that is none.

    Copies, resource forks, folders and broken links do not keep the others from being read.
    """
    baselines, skipped = [], []
    for path in _json_files(folder):
        try:
            baseline_path(folder, path.stem)  # a copy of another one has a name that --sst2-save does not give
            baselines.append(_measured(replace(_read(path), origin=path.stem), str(path)))
        except Sst2Error as error:
            skipped.append(f"skipped: {error}")
    return baselines, skipped


def find_baseline(folder: Path, base: Path, name_or_path: str) -> Path:
    """Return the file of a baseline of the project in ``folder``, or of a path, which starts from ``base`` if relative.

    Raises:
        Sst2Error: There is no such baseline or file. The message lists the baselines.
    """
    is_name = _NAME.fullmatch(name_or_path) is not None and not name_or_path.endswith(".json")
    if is_name and (path := folder / FOLDER / f"{name_or_path}.json").is_file():
        return path
    with contextlib.suppress(OSError, RuntimeError):  # too long for a path, or an unknown home folder
        path = base / Path(name_or_path).expanduser()
        if path.is_file():
            return path
        if path.is_dir():
            raise Sst2Error(f"{quoted(name_or_path)} is a folder. Name a results file{_or_one_of(folder)}.")
        if path.exists():
            check_regular_file(path)  # a pipe, as of compare <(git show ...), is there and cannot be read
    if _NAME.fullmatch(name_or_path) and (path := folder / FOLDER / name_or_path).is_file():
        return path  # main.json
    saved = saved_baselines(folder)
    if not saved:
        raise Sst2Error(
            f"no baseline {quoted(name_or_path)}: no such file, and {str(folder / FOLDER)!r} has no baselines. Save "
            "one with --sst2-save NAME."
        )
    guess = did_you_mean(closest(name_or_path, saved))
    names = ", ".join(saved)
    raise Sst2Error(f"no baseline {quoted(name_or_path)}: no such file, and the baselines are {names}.{guess}")


def _or_one_of(folder: Path) -> str:
    saved = saved_baselines(folder)
    return f", or a baseline ({shorten(saved)})" if saved else ""


def load_results(folder: Path, base: Path, name_or_path: str) -> Results:
    """Return the results of a baseline, of a path, or of a file in a commit (``origin/main:.sst2/main.json``).

    Arguments as in ``find_baseline``.

    Raises:
        Sst2Error: There is no such file, it cannot be read, or it has two records of one cell.
    """
    notes: tuple[str, ...] = ()
    if ref_and_path(name_or_path):
        file = read_git_file(base, name_or_path)
        results = _checked(results_from_text(file.text, file.name))
        notes = (f"{file.path} is read from commit {file.sha[:9]}", *filter(None, [file.note]))
    else:
        results = _read(find_baseline(folder, base, name_or_path))
    return replace(results, origin=name_or_path, notes=notes)


def _read(path: Path) -> Results:
    return _checked(results_from_text(read_text(path), str(path)))


def _checked(results: Results) -> Results:
    """Return the results, unless they have two records of one cell."""
    counts = Counter(record.cell for record in results.records)
    if twice := [cell for cell, count in counts.items() if count > 1]:
        raise Sst2Error(
            f"{results.origin} has more than one record of {truncate(', '.join(twice), 100)}. Save the results again, "
            "or delete all but one of its lines."
        )
    return results


def load_baseline(folder: Path, base: Path, name_or_path: str) -> Results:
    """Return the results of a baseline to compare with; arguments as in ``find_baseline``.

    Raises:
        Sst2Error: As ``load_results``, or the file has no measured cell.
    """
    return _measured(load_results(folder, base, name_or_path), name_or_path)


def _measured(results: Results, path: str) -> Results:
    """Return the results, unless they have no measured cell."""
    if not results.records:
        raise Sst2Error(f"baseline {path!r} has no measured cell, so nothing can be compared with it.")
    return results


def newest_baseline(folder: Path) -> tuple[Results | None, list[str]]:
    """Return the baseline of a project that was saved last, and sentences as ``read_baselines``; None without one.

    Of baselines saved at the same time, the last by name is returned. A baseline without a time is the oldest.
    """
    baselines, skipped = read_baselines(folder)
    return max(baselines, key=lambda results: (results.saved, results.origin), default=None), skipped


def project_folder(start: Path) -> Path:
    """Return the nearest folder from ``start`` upwards with a ``.sst2``; ``start`` if there is none."""
    return next((folder for folder in (start, *start.parents) if (folder / FOLDER).is_dir()), start)
