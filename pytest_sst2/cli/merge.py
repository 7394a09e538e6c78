"""``pytest-sst2 merge``: join the results files of a run's shards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pytest_sst2.cli.output import join_lines
from pytest_sst2.config.option_parsers import names
from pytest_sst2.results.baselines import (
    check_free,
    find_baseline,
    load_results,
    not_saved,
    project_folder,
    save_baseline,
)
from pytest_sst2.results.file import results_text
from pytest_sst2.results.git_baseline import ref_and_path
from pytest_sst2.results.merge import merge
from pytest_sst2.utils.atomic_write import check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural

HELP = "join the results files of a run's shards; exit status 0: complete, 1: cells are missing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of --sst2-json, one per shard")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="file to write")
    parser.add_argument("--save", metavar="NAME", help="also save a baseline in .sst2/, if nothing is missing")
    parser.add_argument(
        "--drop-cells",
        type=names,
        default=(),
        metavar="CELL,...",
        help="cells or patterns that the baseline may lack",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file or baseline")


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Join the files; return what was written and what is missing, and the exit status.

    An incomplete result is written too, so that no measurement is lost, but it is not saved as a baseline.

    Raises:
        Sst2Error: The files do not belong together, or one cannot be read or written. Nothing is written then.
    """
    here = Path.cwd()
    folder = project_folder(here)
    path, save_path = _free_paths(options, folder)
    _check_distinct(options.files, folder, here)
    merged = merge([load_results(folder, here, name) for name in options.files])
    results = merged.results
    lines = list(merged.notes)
    if path is not None:
        write_atomically(path, results_text(results), overwrite=options.overwrite)
        count = plural(len(results.records), "record")
        lines.append(f"{count} of {plural(len(options.files), 'file')} in {path}")
    lines += merged.gaps
    if save_path is None:
        return join_lines(lines), 0 if merged.is_complete else 1
    try:
        if merged.missing_shards:
            raise not_saved(save_path, "shards are missing")
        saved = save_baseline(
            save_path, results, overwrite=options.overwrite, drop=options.drop_cells, option="--drop-cells"
        )
    except Sst2Error as error:
        return join_lines([*lines, str(error)]), 1
    return join_lines([*lines, saved]), 0


def _free_paths(options: argparse.Namespace, folder: Path) -> tuple[Path | None, Path | None]:
    """Return the paths of the joined file and of the baseline, None for one that was not requested."""
    if options.output is None and options.save is None:
        raise Sst2Error("merge needs a place for the joined file: -o FILE, --save NAME for a baseline, or both.")
    if options.output is not None:
        check_writable(options.output, "-o")
        if options.output.exists() and not options.overwrite:
            raise Sst2Error(f"-o {str(options.output)!r} exists already. Name another file, or add --overwrite.")
    if options.save is None:
        return options.output, None
    return options.output, check_free(
        folder, options.save, overwrite=options.overwrite, drop=options.drop_cells, option="--save"
    )


def _check_distinct(names: Sequence[str], folder: Path, here: Path) -> None:
    names_by_path: dict[Path | str, str] = {}
    for name in names:
        path = name if ref_and_path(name) else find_baseline(folder, here, name).resolve()
        if path in names_by_path:
            other = f", also as {names_by_path[path]!r}" if names_by_path[path] != name else ""
            raise Sst2Error(f"{name!r} is given twice{other}. Name each file once.")
        names_by_path[path] = name
