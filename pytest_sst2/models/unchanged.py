"""Whether a model's files are still what they were: a run loads them anew for each cell, under one digest for all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pytest_sst2.models.layout import weight_files
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest

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
    return {name: _digest(folder / name) for name in _names(folder, places)}


def refuse_changes(name: str, folder: Path, before: Mapping[str, str], places: Callable[[], Iterable[Path]]) -> None:
    """Refuse a model whose files are not what they were when the run first read them.

    Args:
        name: The model's.
        folder: Its folder.
        before: Its contents then.
        places: Tells the folders of its modules; asked only where the files that say so are what they were.

    Raises:
        Sst2Error: Which file was changed, removed or added.
    """
    for relative, digest in before.items():
        if _digest(folder / relative) != digest:
            raise _changed(name, folder / relative, "changed" if (folder / relative).exists() else "removed")
    for relative in _names(folder, places()):
        if relative not in before:
            raise _changed(name, folder / relative, "added")


def _names(folder: Path, places: Iterable[Path]) -> list[str]:
    """Return the files that are read, by their paths below the model's folder."""
    found: list[Path] = []
    for place in places:
        found += weight_files(place)
        found += (path for path in sorted(place.glob("[!.]*")) if _READ.fullmatch(path.name) and path.is_file())
    return [path.relative_to(folder).as_posix() for path in found]


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:  # it is gone
        return ""


def _changed(name: str, path: Path, done: str) -> Sst2Error:
    return Sst2Error(
        f"model {name!r}: {path} was {done} since this run first read it, so that its cells would be of several "
        "models. Run again, and leave the model's files alone until the run has ended."
    )
