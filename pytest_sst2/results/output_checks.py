"""Checks of the results file before a run: refuse to overwrite baselines, inputs and files that are not results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.results.baselines import FOLDER
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.paths import real_path
from pytest_sst2.utils.safe_read import read_text

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Shard


def check_not_baseline(path: Path, option: str, compared: Path | None) -> None:
    """Refuse to write results over a baseline, or over ``compared``, the file of ``--sst2-compare``."""
    if compared is not None and real_path(path) == real_path(compared):
        raise Sst2Error(
            f"{option} {str(path)!r} is also the file of --sst2-compare, which this run would overwrite. Name another "
            "file."
        )
    if real_path(path).parent.name == FOLDER:
        raise Sst2Error(
            f"{option} {str(path)!r} is in the folder of the baselines. Name a file outside of {FOLDER}, or save this "
            "run as a baseline: --sst2-save NAME."
        )


def check_replaceable(path: Path, option: str) -> None:
    """Refuse to overwrite a file that is not a results file. The results of another run can be overwritten."""
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        results_from_text(read_text(path), str(path))
    except Sst2Error as error:
        raise Sst2Error(f"{option} would overwrite this file: {error} Name another file.") from error


def check_same_shard(path: Path, unfinished: Results, shard: Shard) -> None:
    """Refuse ``--sst2-resume FILE`` in a sharded run if FILE belongs to another shard or to a run without shards."""
    if (not unfinished.records and not unfinished.planned) or unfinished.shard == str(shard):
        return
    content = f"shard {unfinished.shard}" if unfinished.shard else "a run without shards"
    raise Sst2Error(
        f"--sst2-resume {str(path)!r} has {content}, but this run is shard {shard}. Add --sst2-json FILE to write the "
        "shard to another file; finished cells are still taken from this one."
    )
