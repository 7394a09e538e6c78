"""What the functions that ran refer to: names, and the classes that were used."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType
from typing import Any


def names_in(codes: Iterable[CodeType]) -> set[str]:
    """Return the globals, attributes and keywords that code refers to, and its strings that could name one."""
    found: set[str] = set()
    for code in codes:
        found.update(code.co_names, _identifiers(code.co_consts))
    return found


def _identifiers(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            if value.isidentifier():
                yield value
        elif isinstance(value, tuple):
            yield from _identifiers(value)


def names_read_by(code: CodeType) -> set[str]:
    """Return the names that the body of a module or a class reads, without those that it only imports or sets."""
    return {one.argval for one in dis.get_instructions(code) if one.opname in ("LOAD_NAME", "LOAD_GLOBAL")}


def used_classes(
    site: str, names: set[str], methods: Iterable[tuple[str, str]], made: Mapping[type, set[str]]
) -> dict[tuple[str, str], set[str]]:
    """Return the classes in a folder that were used, by file and qualified name, and what they were used in.

    A class is used if code that ran names it, if one of its methods ran, or if an object of it was made; then its base
    classes are, too.

    Args:
        site: The folder, with a separator at its end.
        names: Names in code that ran.
        methods: The file and the qualified name of each function that ran.
        made: The classes of objects that were made, and where they ran.
    """
    owners = {(file, name.rpartition(".")[0]) for file, name in methods}
    places = {kind: (file, kind.__qualname__) for file, kind in _classes(site)}
    used: dict[tuple[str, str], set[str]] = {}
    for kind in {**places, **dict.fromkeys(made)}:
        inside = made.get(kind, set())
        if not inside and kind.__name__ not in names and places[kind] not in owners:
            continue
        for base in kind.__mro__:
            if base in places:
                used.setdefault(places[base], set()).update(inside or {""})
    return used


def _classes(site: str) -> Iterator[tuple[str, type]]:
    """Yield the file and the class of every class in the imported modules of a folder."""
    for name, module in [*sys.modules.items()]:
        file = getattr(module, "__file__", None) or ""
        if file.startswith(site):
            values: list[Any] = [*vars(module).values()]
            yield from (
                (file.removeprefix(site).replace(os.sep, "/"), value)
                for value in values
                if isinstance(value, type) and value.__module__ == name
            )
