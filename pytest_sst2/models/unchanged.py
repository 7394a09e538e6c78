"""Detect changes of a model's files during a run. Each cell loads them again, but all cells record one digest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pytest_sst2.models.layout import weight_files
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest

# In addition to the weights. Other JSON files can be results of the run itself, which change.
_LOADED = re.compile(
    r".*config\.json|.*\.index\.json|.*\.(?:txt|model|py|jinja)"
    r"|(?:modules|tokenizer|vocab|added_tokens|special_tokens_map|chat_template)\.json"
)


def file_digests(folder: Path, places: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file that the libraries load, by its path relative to the model's folder.

    A file's digest is computed once per process, and again after the file was modified.

    Args:
        folder: The model's folder.
        places: The folders of its modules, including its own.
    """
    return {name: _digest(folder / name) for name in _names(folder, places)}


def refuse_changes(name: str, folder: Path, before: Mapping[str, str], places: Callable[[], Iterable[Path]]) -> None:
    """Refuse a model whose files changed since the run first read them.

    Args:
        name: The model's name.
        folder: The model's folder.
        before: The digests from then.
        places: Returns the folders of its modules. Called only if the files that list them are unchanged.

    Raises:
        Sst2Error: A file was changed, removed or added. The message names it.
    """
    for relative, digest in before.items():
        if _digest(folder / relative) != digest:
            raise _changed(name, folder / relative, "changed" if (folder / relative).exists() else "removed")
    for relative in _names(folder, places()):
        if relative not in before:
            raise _changed(name, folder / relative, "added")


def _names(folder: Path, places: Iterable[Path]) -> list[str]:
    """Return the paths of the files that are loaded, relative to the model's folder."""
    paths: list[Path] = []
    for place in places:
        paths += weight_files(place)
        paths += (path for path in sorted(place.glob("[!.]*")) if _LOADED.fullmatch(path.name) and path.is_file())
    return [path.relative_to(folder).as_posix() for path in paths]


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:  # the file was removed
        return ""


def _changed(name: str, path: Path, done: str) -> Sst2Error:
    return Sst2Error(
        f"model {name!r}: {path} was {done} since this run first read it, so its cells would use different models. "
        "Run again, and do not change the model's files during the run."
    )
