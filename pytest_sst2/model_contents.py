"""Whether a model's files are still what they were: a run loads them anew for each cell, under one digest for all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_sst2.digests import file_digest
from pytest_sst2.errors import Sst2Error
from pytest_sst2.model_layout import weight_files

# Beside the weights. Other JSON in a model's folder may well be a run's own results, which grow while it goes on.
_READ = re.compile(
    r".*config\.json|.*\.index\.json|.*\.(?:txt|model|py|jinja)"
    r"|(?:modules|tokenizer|vocab|added_tokens|special_tokens_map|chat_template)\.json"
)


def contents(folder: Path, places: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file that the libraries read of a model, by its path below the model's folder.

    A file is read once a process, and again when it has been touched since.

    Args:
        folder: The model's.
        places: The folders of its modules, itself included.
    """
    return {path.relative_to(folder).as_posix(): _digest(path) for place in places for path in _read_of(place)}


def refuse_changes(name: str, folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse a model whose files are not what they were when the run first read them.

    Args:
        name: The model's.
        folder: Its folder.
        before: Its contents then.
        now: Its contents now.

    Raises:
        Sst2Error: Which file was changed, removed or added.
    """
    for relative in sorted(before.keys() | now.keys()):
        if before.get(relative) != now.get(relative):
            done = "removed" if relative not in now else "changed" if relative in before else "added"
            raise Sst2Error(
                f"model {name!r}: {folder / relative} was {done} since this run first read it, so that its cells would "
                "be of several models. Run again, and leave the model's files alone until the run has ended."
            )


def _read_of(place: Path) -> list[Path]:
    beside = [path for path in place.glob("*") if _READ.fullmatch(path.name) and path.is_file()]
    return [*weight_files(place), *beside]


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:  # it went between the listing and now
        return ""
