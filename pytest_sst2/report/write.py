"""Write the files of ``--sst2-report FOLDER``: HTML to read, Markdown to paste, CSV for spreadsheets."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.utils.atomic_write import append_whole, check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.locks import one_at_a_time
from pytest_sst2.utils.safe_read import check_regular_file

if TYPE_CHECKING:
    from pytest_sst2.compare.cell_analysis import CellAnalysis
    from pytest_sst2.report.summary import Report

# GitHub Actions shows the Markdown in the file that this variable names on the page of the job.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
HTML, MARKDOWN, CSV = "sst2-report.html", "sst2-report.md", "sst2-report.csv"
NAMES = (HTML, MARKDOWN, CSV)


def check_folder(folder: Path, option: str) -> None:
    """Check before any work that the report can be written to a folder.

    Raises:
        Sst2Error: A file cannot be written there.
    """
    if folder.exists() and not folder.is_dir():
        raise Sst2Error(f"{option} {folder} is a file. Give a folder; it need not exist yet.")
    for name in NAMES:
        check_writable(folder / name, option)


def write_report(folder: Path, report: Report, cells: Sequence[CellAnalysis]) -> list[Path]:
    """Write the files of the report atomically, replacing those of an earlier report, and return their paths.

    Raises:
        Sst2Error: A file cannot be written.
    """
    from pytest_sst2.report.csv_export import csv_text
    from pytest_sst2.report.html import html_text
    from pytest_sst2.report.markdown import markdown

    texts = {HTML: html_text(report, cells), MARKDOWN: markdown(report), CSV: csv_text(report)}
    # If two runs write to one folder, all three files come from the same run.
    with one_at_a_time(folder):
        for name, text in texts.items():
            write_atomically(folder / name, text)
    return [folder / name for name in texts]


def append_step_summary(report: Report) -> None:
    """Append the report's Markdown to the summary of the GitHub Actions job, if this is one.

    Raises:
        Sst2Error: The file that ``GITHUB_STEP_SUMMARY`` names cannot be written.
    """
    path = os.environ.get(STEP_SUMMARY)
    if not path or path == os.devnull:
        return
    from pytest_sst2.report.markdown import markdown

    try:
        if Path(path).exists():
            check_regular_file(Path(path), sys.maxsize)  # opening a pipe would wait for a reader
        append_whole(Path(path), f"{markdown(report)}\n")
    except (OSError, Sst2Error) as error:
        reason = str(error).removeprefix(f"{path} cannot be read: ").rstrip(".")
        raise Sst2Error(f"the job summary {path} ({STEP_SUMMARY}) cannot be written: {reason}.") from error
