"""``pytest-sst2 merge``: what may be written is checked first, then the files are joined and written."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_sst2.results.baselines import check_free, find_baseline, load_results, project_folder, save_baseline
from pytest_sst2.results.file import results_text
from pytest_sst2.results.merge import merge
from pytest_sst2.utils.atomic_write import check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.sanitize import one_line


def run(asked: argparse.Namespace) -> tuple[str, int]:
    """Join the results files of a run's shards, and return what was written, what is missing, and the exit status.

    What is complete may become a baseline; what is not is written all the same, so that nothing measured is lost.

    Raises:
        Sst2Error: The files do not belong together, or one cannot be read or written; nothing is written then.
    """
    here = Path.cwd()
    folder = project_folder(here)
    path, save_path = _free_paths(asked, folder)
    _check_distinct(asked.files, folder, here)
    found = merge([load_results(folder, here, name) for name in asked.files])
    results = found.results
    lines = list(found.notes)
    if path is not None:
        text = results_text(
            results.records, results.failures, saved=results.saved, planned=results.planned, shard=results.shard
        )
        write_atomically(path, text, overwrite=asked.overwrite)
        count = plural(len(results.records), "record")
        lines.append(f"{count} of {plural(len(asked.files), 'file')} in {path}")
    lines += found.gaps
    if save_path is None:
        return "\n".join(map(one_line, lines)), 0 if found.is_complete else 1
    if not found.is_complete or results.failures or not results.records:
        why = "no cell was measured" if not results.records else "it would have cells without a number"
        lines.append(f"baseline {asked.save!r} was not saved: {why}. What was there is unchanged.")
        return "\n".join(map(one_line, lines)), 1
    save_baseline(save_path, results.records, results.failures, overwrite=asked.overwrite)
    lines.append(f"baseline {asked.save!r} with {plural(len(results.records), 'record')} in {save_path}")
    return "\n".join(map(one_line, lines)), 0


def _free_paths(asked: argparse.Namespace, folder: Path) -> tuple[Path | None, Path | None]:
    """Return where a merge is to be written: the file and the baseline.

    Raises:
        Sst2Error: Neither was asked for, or what is there may not be replaced.
    """
    if asked.output is None and asked.save is None:
        raise Sst2Error("merge: say where the joined file goes: -o FILE, --save NAME for a baseline, or both.")
    if asked.output is not None:
        check_writable(asked.output, "-o")
        if asked.output.exists() and not asked.overwrite:
            raise Sst2Error(f"-o {str(asked.output)!r} is there already. Name another file, or add --overwrite.")
    save_path = (
        check_free(folder, asked.save, overwrite=asked.overwrite, option="--save") if asked.save is not None else None
    )
    return asked.output, save_path


def _check_distinct(names: Sequence[str], folder: Path, here: Path) -> None:
    known: dict[Path, str] = {}
    for name in names:
        path = find_baseline(folder, here, name).resolve()
        if path in known:
            also = f", as {known[path]!r} too" if known[path] != name else ""
            raise Sst2Error(f"{name!r} is given twice{also}. Name each file once.")
        known[path] = name
