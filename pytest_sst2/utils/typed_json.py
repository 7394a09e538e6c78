"""Dataclasses from plain values of JSON, each value held against its type hint.

A file that somebody else has written can hold anything anywhere. What is not of the type that is annotated is refused
here, with the place where it stands, so that no report has to reckon with it.
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

# How a number that is not finite stands in JSON: a loss that diverged, a metric that is not defined.
NOT_FINITE = ("NaN", "Infinity", "-Infinity")


def read_plain(kind: type[T], value: Any, where: str = "") -> T:
    """Return an instance of a dataclass (or of another type that can be annotated) from plain values.

    Sequences become tuples, whole numbers become floats where floats are annotated, and so do the words for numbers
    that are not finite. What is annotated as ``Any`` is taken as it is.

    Args:
        kind: The type.
        value: What JSON made of it.
        where: Where it stands, for the message; empty at the top.

    Raises:
        ValueError: A field is missing, unknown or of another type. The message names it.
    """
    read: _Read = _reader(kind)  # type: ignore[arg-type]  # every type is hashable
    made: T = read(value, where)
    return made


@functools.cache
def _reader(hint: Any) -> _Read:
    """Return what reads values of a type hint."""
    if hint is Any:
        return lambda value, _where: value
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (UnionType, typing.Union):
        return _optional(next(each for each in arguments if each is not NoneType))
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


def _wrong(where: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f"{where or 'it'} is {quoted(value)}, not {wanted}")


def _text(value: Any, where: str) -> str:
    if type(value) is not str:
        raise _wrong(where, value, "text")
    return value


def _whole(value: Any, where: str) -> int:
    if type(value) is not int:
        raise _wrong(where, value, "a whole number")
    if value.bit_length() > 63:
        raise _wrong(where, value, "a whole number of 64 bits")
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


def _optional(hint: Any) -> _Read:
    read = _reader(hint)
    return lambda value, where: None if value is None else read(value, where)


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
        # Thousands of predictions are of one type mostly, which is seen at once.
        if hint in (int, float, str) and set(map(type, value)) == {hint} and (hint is not int or _have_64_bits(value)):
            return tuple(value)
        return tuple(read(each, f"{where}[{number}]") for number, each in enumerate(value))

    return read_all


def _have_64_bits(values: Sequence[int]) -> bool:
    return min(values) > -(2**63) and max(values) < 2**63


def _mapping(hint: Any) -> _Read:
    read = _reader(hint)

    def read_all(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        return {name: read(each, f"{where}[{quoted(name)}]") for name, each in value.items()}

    return read_all


def _named_tuple(kind: Any) -> _Read:
    hints = get_type_hints(kind)
    readers = [(name, _reader(hints[name])) for name in kind._fields]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list | tuple) or len(value) != len(readers):
            raise _wrong(where, value, f"a list of {len(readers)}")
        return kind(*(read(each, f"{where}.{name}") for (name, read), each in zip(readers, value, strict=True)))

    return read


def _fields_of(kind: Any) -> _Read:
    hints = get_type_hints(kind)
    fields = {each.name: each for each in dataclasses.fields(kind)}
    readers = {name: _reader(hints[name]) for name in fields}
    needed = [name for name, each in fields.items() if each.default is each.default_factory is dataclasses.MISSING]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(where, value, "an object")
        within = f"{where}." if where else ""
        if lacking := [name for name in needed if name not in value]:
            raise ValueError(f"{within}{lacking[0]} is missing")
        if unknown := value.keys() - fields.keys():
            raise ValueError(f"{within}{quoted(min(unknown))} is no field that is known")
        return kind(**{name: readers[name](each, f"{within}{name}") for name, each in value.items()})

    return read


def check_range(where: str, value: float, least: float = -math.inf, most: float = math.inf) -> None:
    """Refuse a number that is not finite or out of its range, both ends allowed.

    Raises:
        ValueError: What it is and what it may be.
    """
    if not (math.isfinite(value) and least <= value <= most):
        allowed = (
            "finite" if least == -math.inf else f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
        )
        raise ValueError(f"{where} is {value}; {allowed} is wanted")
