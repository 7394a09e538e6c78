"""Commands: what each word of ``pytest-sst2`` does, without running anything that is measured."""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.results.baselines import FOLDER, load_baseline, load_results, project_folder, saved_baselines
from pytest_sst2.results.file import Results
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line


def screen_width() -> int | None:
    """Return the columns of the terminal (or of COLUMNS), None where the output goes to a file or a pipe."""
    return shutil.get_terminal_size((0, 0)).columns or None


def compare(asked: argparse.Namespace) -> tuple[str, int]:
    """Return the comparison that was asked for, and its exit status.

    Raises:
        Sst2Error: One of the two cannot be found or read.
    """
    before, after = _found(load_baseline, asked.before), _found(load_results, asked.after)

    from pytest_sst2.compare import comparison
    from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
    from pytest_sst2.report.markdown import markdown
    from pytest_sst2.report.summary import make_report

    found = comparison.compare(before, after, tolerance=asked.tolerance, alpha=asked.alpha)
    status = found.exit_status(asked.fail_on)
    if asked.format == "markdown":
        return markdown(make_report(after, found, asked.fail_on)).rstrip("\n"), status
    if asked.format == "json":
        return comparison_json(found, asked.fail_on).rstrip("\n"), status
    return "\n".join(comparison_lines(found, asked.fail_on, screen_width())), status


def report(asked: argparse.Namespace) -> tuple[str, int]:
    """Write the report of some results files to a folder, and return the verdict and the paths.

    Raises:
        Sst2Error: A file cannot be found, read or written, or two of them cannot stand in one table.
    """
    from pytest_sst2.report.write import check_folder, write_report
    from pytest_sst2.results.merge import joined

    check_folder(asked.output, "-o")
    if asked.data is not None and not asked.data.is_dir():
        raise Sst2Error(
            f"--data {str(asked.data)!r} is no folder; it is to hold the data that these cells were measured on."
        )
    after = joined([_found(load_results, name) for name in asked.files])
    before = _found(load_baseline, asked.compare) if asked.compare else None

    from pytest_sst2.compare import comparison
    from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
    from pytest_sst2.report.cells import cell_reports
    from pytest_sst2.report.summary import make_report

    found = comparison.compare(before, after, tolerance=asked.tolerance, alpha=asked.alpha) if before else None
    made = make_report(after, found, asked.fail_on)
    cells = cell_reports(after, SentenceLookup(local_sources(asked.data)), before, found)
    paths = write_report(asked.output, made, cells)
    return _text([made.verdict, *map(str, paths)]), 0


def history(asked: argparse.Namespace) -> tuple[str, int]:
    """Return the history of the saved baselines; with ``-o``, write it as HTML too.

    Raises:
        Sst2Error: There are none, one cannot be read, or the page cannot be written.
    """
    from pytest_sst2.utils.atomic_write import check_writable, write_atomically

    path = asked.output / "sst2-history.html" if asked.output else None
    if path:
        from pytest_sst2.report.svg import check_available

        check_writable(path, "-o")
        check_available()
    here = Path.cwd()
    folder = project_folder(here)
    names = asked.baselines or saved_baselines(folder)
    if not names:
        raise Sst2Error(f"there are no baselines in {str(folder / FOLDER)!r}. Save one with --sst2-save NAME.")

    from pytest_sst2.compare import history as past
    from pytest_sst2.report.history import history_html, history_lines

    series = past.history([load_baseline(folder, here, name) for name in names])
    lines = history_lines(series, screen_width())
    if path:
        write_atomically(path, history_html(series))
        lines += ["", f"as a page: {path}"]
    return _text(lines), 0


def _found(load: Callable[[Path, Path, str], Results], name: str) -> Results:
    here = Path.cwd()
    return load(project_folder(here), here, name)


def merge(asked: argparse.Namespace) -> tuple[str, int]:
    """Join the results files of a run's shards; return what was written, what is missing, and the exit status.

    Raises:
        Sst2Error: The files do not belong together, or one cannot be read or written.
    """
    from pytest_sst2.cli import merge as merge_command

    return merge_command.run(asked)


def upgrade(asked: argparse.Namespace) -> tuple[str, int]:
    """Check an upgrade, telling each step as it is taken; return what was found and its exit status.

    Raises:
        Sst2Error: What was asked cannot be done, or one side cannot run.
    """
    from pytest_sst2.upgrade import command

    return command.run(asked, asked.say, screen_width())


def doctor(_asked: argparse.Namespace) -> tuple[str, int]:
    """Return what is installed and reachable, what runs here and now, and what to do about the rest."""
    from pytest_sst2.cli.doctor import examine, verdict

    found = examine()
    said, status = verdict(found)
    lines: list[str] = []
    for section, of_section in itertools.groupby(found, key=lambda each: each.section):
        lines.append(section)
        # What several in a row need is said once, below them.
        for remedy, alike in itertools.groupby(of_section, key=lambda each: each.remedy):
            lines += [f"  {_SIGNS[each.state]} {each.name}: {each.said}" for each in alike]
            lines += [f"    → {remedy}"] if remedy else []
        lines.append("")
    return _text([*lines, said]), status


_SIGNS = {"ok": "✓", "missing": "–", "broken": "✗"}


def cache(asked: argparse.Namespace) -> tuple[str, int]:
    """Return where the cache of embeddings is and what is in it; with ``--clear``, empty it.

    Raises:
        Sst2Error: There is no place for one.
    """
    from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache, cache_folder

    kept = EmbeddingCache(cache_folder(), 0)
    size = kept.size_bytes()
    if not asked.clear:
        return f"{kept.folder}: {size / 2**20:.1f} MB. Remove with: pytest-sst2 cache --clear", 0
    removed = kept.clear()
    return f"{kept.folder}: {removed} {'entry' if removed == 1 else 'entries'} removed, {size / 2**20:.1f} MB", 0


def models(_asked: argparse.Namespace) -> tuple[str, int]:
    """Return the encoders with a short name, a row each."""
    rows = [
        (
            spec.name,
            spec.hub_id,
            f"{spec.parameters_millions:.1f}",
            spec.licence,
            (spec.revision or "main")[:12],
            spec.notes,
        )
        for spec in CATALOG
    ]
    return _table(rows, ("model", "Hub id", "M parameters", "licence", "revision", "notes")), 0


def methods(_asked: argparse.Namespace) -> tuple[str, int]:
    """Return the built-in methods, a row each."""
    rows = [(spec.name, "yes" if spec.needs_model else "no", spec.notes) for spec in METHODS]
    return _table(rows, ("method", "needs a model", "how the classifier is made")), 0


def recipes(_asked: argparse.Namespace) -> tuple[str, int]:
    """Return the presets, a row each."""
    rows = [
        (
            name,
            "all" if recipe.train_size is None else f"{recipe.train_size:,}",
            recipe.evaluation,
            ",".join(map(str, recipe.seeds)),
            recipe.epochs,
            recipe.batch_size,
            f"{recipe.learning_rate:g}",
            recipe.max_length,
        )
        for name, recipe in PRESETS.items()
    ]
    headers = ("recipe", "train", "evaluated on", "seeds", "epochs", "batch", "learning rate", "max tokens")
    return _table(rows, headers), 0


def _text(lines: Iterable[str]) -> str:
    """Return lines as they are printed: what stands in one begins no other."""
    return "\n".join(map(one_line, lines))


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    from tabulate import tabulate

    text: str = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    return text
