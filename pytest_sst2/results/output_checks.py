"""Where a run's results may be written: over nothing whose loss nobody asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.results.baselines import FOLDER
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_text

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Shard


def check_spared(path: Path, option: str, compared: Path | None) -> None:
    """Refuse, before anything is loaded, to write results in the place of a baseline.

    Args:
        path: Where results are to be written.
        option: What asked for it, as it is typed.
        compared: The file that this run is compared with; None without one.

    Raises:
        Sst2Error: It is a baseline's place, or the file compared with.
    """
    if compared is not None and path.resolve() == compared.resolve():
        raise Sst2Error(
            f"{option} {str(path)!r} is the file that --sst2-compare reads, and would be replaced by what is compared "
            "with it. Name another file."
        )
    if path.resolve().parent.name == FOLDER:
        raise Sst2Error(
            f"{option} {str(path)!r} lies among the baselines, which are not replaced unasked. Name a file outside of "
            f"{FOLDER}, or keep this run as a baseline: --sst2-save NAME."
        )


def check_replaceable(path: Path, option: str) -> None:
    """Refuse to replace a file that holds something else than results; those of another run may be replaced.

    Raises:
        Sst2Error: It does, or a newer version has written it.
    """
    if not path.is_file() or not path.stat().st_size:
        return
    try:
        results_from_text(read_text(path), str(path))
    except Sst2Error as error:
        raise Sst2Error(f"{option}: {error} It would be replaced; name another file.") from error


def check_shard(path: Path, unfinished: Results, shard: Shard) -> None:
    """Refuse to make one shard's file of a file that holds more than this shard, or another one.

    Args:
        path: The file that is resumed and written.
        unfinished: What it holds.
        shard: This run's.

    Raises:
        Sst2Error: It is another part of a run, or the whole.
    """
    if (not unfinished.records and not unfinished.planned) or unfinished.shard == str(shard):
        return
    holds = f"shard {unfinished.shard}" if unfinished.shard else "a run that was not divided"
    raise Sst2Error(
        f"--sst2-resume {str(path)!r} holds {holds}, and would be called shard {shard} afterwards. Name another file "
        "for the shard, which takes its cells from this one: --sst2-json FILE."
    )
