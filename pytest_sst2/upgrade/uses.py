"""Which definitions of a file a cell used, and what it used them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_sst2.instruments.function_trace import ELSEWHERE, IMPORT
from pytest_sst2.upgrade.behaviour import mentions
from pytest_sst2.upgrade.definitions import Definition, Key, definition_at
from pytest_sst2.upgrade.traced_run import Trace


def used_definitions(file: str, definitions: Sequence[Definition], trace: Trace) -> dict[Key, set[str]]:
    """Return the key of each definition that was used, and what it was used in, as in ``RanFunction``.

    A function is used if it ran. A class is used if code that ran names it or made an object of it or of a class that
    inherits it. A value is used if code that ran names it, or a definition that is used reads it in the import.
    """
    used: dict[Key, set[str]] = {}
    for function in trace.functions.get(file, ()):
        one = definition_at(definitions, function.name, function.line)
        if one is not None and (one.is_function or one.is_value or function.inside != {IMPORT}):
            used.setdefault(one.key, set()).update(function.inside)
    if file not in trace.files:
        return used
    for one in definitions:
        if one.is_class and (inside := trace.classes.get((file, one.name))):
            used.setdefault(one.key, set()).update(inside)
        elif not one.name:
            used.setdefault(one.key, set()).add(IMPORT)
    _add_values(file, definitions, trace, used)
    return used


def _add_values(file: str, definitions: Sequence[Definition], trace: Trace, used: dict[Key, set[str]]) -> None:
    """Add the values that are used."""
    values = [one for one in definitions if one.is_value]
    if not values:
        return
    readers: dict[str, set[str]] = {}
    for one in definitions:
        if one.is_function and one.key in used:
            _add(readers, mentions(one.nodes), used[one.key])
    elsewhere = {name for other, read in trace.bodies.items() if other != file for name in read}
    classes = {one.key: used[one.key] for one in definitions if one.is_class and one.key in used}
    for one in values:
        inside = set(readers.get(one.own_name, ()))
        if inside <= {IMPORT} and one.own_name in trace.names:
            inside.add(ELSEWHERE)
        if one.owner:
            owner = classes.get((one.owner, one.number, False))
            # An attribute is also found without its name: as a field, or as a member of an enumeration.
            inside = {IMPORT} if owner and not inside else inside if owner else set()
            if owner and inside == {ELSEWHERE}:
                inside = set(owner)
        elif one.own_name in elsewhere:
            inside.add(IMPORT)
        if inside:
            used.setdefault(one.key, set()).update(inside)
    _follow(definitions, used)


def _follow(definitions: Sequence[Definition], used: dict[Key, set[str]]) -> None:
    """Add the values at the top of a module that used definitions read while the file is imported."""
    values: Mapping[str, Definition] = {one.name: one for one in definitions if one.is_value and not one.owner}
    waiting = [one for one in definitions if one.key in used and one.name]
    while waiting:
        reader = waiting.pop()
        for name in mentions(reader.read_at_import) & set(values):
            value = values[name]
            known = used.setdefault(value.key, set())
            if not used[reader.key] <= known:
                known |= used[reader.key]
                waiting.append(value)


def _add(readers: dict[str, set[str]], names: set[str], inside: set[str]) -> None:
    for name in names:
        readers.setdefault(name, set()).update(inside)
