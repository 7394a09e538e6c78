"""Build dataclasses from parsed JSON and check every value against its type hint.

A file from elsewhere can hold any value anywhere. An error names the place of a value of a wrong type, so that later
code can rely on the types.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pytest_sst2.utils.formatting import quoted

T = TypeVar("T")
_Read = Callable[[Any, str], Any]

# JSON strings of the numbers that are not finite: a loss that diverged, a metric that is not defined.
NOT_FINITE = ("NaN", "Infinity", "-Infinity")


class ReadMapping(dict[str, Any]):
    """A mapping whose values have been checked, so that ``read_plain`` returns it as it is."""


def read_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Return an instance of a dataclass, or of another annotated type, built from parsed JSON.

    Sequences become tuples. For a ``float``, integers and the strings of ``NOT_FINITE`` become floats. A value that is
    annotated as ``Any`` stays as it is, and so does a value that was read before. ``where`` is the place of the value
    for errors; empty at the top level.

    Raises:
        ValueError: A field is missing, unknown or of another type. The message names it.
    """
    read: _Read = _reader(kind)  # type: ignore[arg-type]  # every type is hashable
    instance: T = read(value, where)
    return instance


@functools.cache
def _reader(hint: Any) -> _Read:
    """Return the function that checks and converts values of a type hint."""
    if hint is Any:
        return lambda value, _where: value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, typing.Union):
        read = _reader(next(argument for argument in arguments if argument is not NoneType))
        return lambda value, where: None if value is None else read(value, where)
    if origin is Literal:
        return _one_of(arguments)
    if dataclasses.is_dataclass(hint):
        return _fields_of(hint)
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _named_tuple(hint)
    if origin in (Sequence, tuple):
        return _several(arguments[0])
    if origin is Mapping:
        return _mapping(arguments[1])
    return _NUMBERS_AND_TEXT[hint]


def _wrong(where: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{where or 'it'} is {quoted(value)}, not {expected}")


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise _wrong(where, value, "text")
    return value


def _whole(value: Any, where: str) -> int:
    if type(value) is not int:
        raise _wrong(where, value, "a whole number")
    if value.bit_length() > 63:
        raise _wrong(where, value, "a 64-bit whole number")
    return value


def _truth(value: Any, where: str) -> bool:
    if type(value) is not bool:
        raise _wrong(where, value, "true or false")
    return value


def _number(value: Any, where: str) -> float:
    if type(value) is float:
        return value
    if value in NOT_FINITE if type(value) is str else type(value) is int and value.bit_length() < 1024:
        return float(value)
    raise _wrong(where, value, "a number")


_NUMBERS_AND_TEXT: dict[Any, _Read] = {str: _text, int: _whole, bool: _truth, float: _number}


def _one_of(allowed: Sequence[Any]) -> _Read:
    def read(value: Any, where: str) -> Any:
        if type(value) is not str or value not in allowed:
            raise _wrong(where, value, f"one of {', '.join(map(str, allowed))}")
        return value

    return read


def _several(hint: Any) -> _Read:
    read = _reader(hint)

    def read_all(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise _wrong(where, value, "a list")
        # Fast path: thousands of predictions of one type.
        is_plain = hint in (int, float, str) and set(map(type, value)) == {hint}
        if is_plain and (hint is not int or -(2**63) < min(value) <= max(value) < 2**63):
            return tuple(value)
        return tuple(read(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read_all


def _mapping(hint: Any) -> _Read:
    read = _reader(hint)

    def read_all(value: Any, where: str) -> dict[str, Any]:
        if isinstance(value, ReadMapping):
            return value
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {name: read(item, f"{where}[{quoted(name)}]") for name, item in value.items()}

    return read_all


def _named_tuple(kind: Any) -> _Read:
    hints = get_type_hints(kind)
    readers = [(name, _reader(hints[name])) for name in kind._fields]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(readers):
            raise _wrong(where, value, f"a list of {len(readers)}")
        return kind(*(read(item, f"{where}.{name}") for (name, read), item in zip(readers, value, strict=True)))

    return read


def _fields_of(kind: Any) -> _Read:
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    readers = {name: _reader(hints[name]) for name in fields}
    required = [name for name, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING]

    def read(value: Any, where: str) -> Any:
        if isinstance(value, kind):  # read before
            return value
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        within = f"{where}." if where else ""
        if missing := [name for name in required if name not in value]:
            raise ValueError(f"{within}{missing[0]} is missing")
        if unknown := value.keys() - fields.keys():
            raise ValueError(f"{within}{quoted(min(unknown))} is not a known field")
        return kind(**{name: readers[name](item, f"{within}{name}") for name, item in value.items()})

    return read


def check_range(where: str, value: float, least: float = -math.inf, most: float = math.inf) -> None:
    """Raise ``ValueError`` unless a number is finite and from ``least`` to ``most``, both included."""
    if not (math.isfinite(value) and least <= value <= most):
        allowed = (
            "finite" if least == -math.inf else f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        )
        raise ValueError(f"{where} is {value}; it must be {allowed}")
