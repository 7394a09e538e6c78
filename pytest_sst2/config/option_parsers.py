"""Parsers of option values, for argparse: an invalid value ends the run at start-up with one sentence.

They return plain values only, which pytest-xdist can send to its workers.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.sanitize import one_line
from pytest_sst2.utils.suggest import closest, did_you_mean


class BadValue(argparse.ArgumentTypeError):
    """An option value is invalid; the message quotes it, with secrets redacted."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


# numpy's legacy generator takes 32 bits.
_LARGEST_SEED = 2**32 - 1
# Some libraries store counts in 32 bits.
_LARGEST_COUNT = 10**9


def names(text: str) -> tuple[str, ...]:
    """Parse ``a,b`` into its distinct names in order."""
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not parts:
        raise BadValue(f"{quoted(text)} contains no name; write one name, or several separated by commas: a,b")
    return parts


def pair_of_names(text: str) -> tuple[str, str]:
    """Parse ``a,b`` into two different names."""
    parts = names(text)
    if len(parts) != 2:
        raise BadValue(f"{quoted(text)} has {len(parts)}; write two different names, separated by a comma: a,b")
    return parts[0], parts[1]


def positive_int(text: str) -> int:
    """Parse a whole number from 1 to 1,000,000,000."""
    digits = text.strip()
    if not re.fullmatch(r"[0-9]{1,20}", digits) or int(digits) < 1:
        raise BadValue(f"{quoted(text)} is not a whole number of at least 1")
    if int(digits) > _LARGEST_COUNT:
        raise BadValue(f"{quoted(text)} is more than {_LARGEST_COUNT:,}, the largest number allowed")
    return int(digits)


def token_count(text: str) -> int:
    """Parse a maximum length: at least 3 tokens, because two of them are special tokens."""
    count = positive_int(text)
    if count < 3:
        raise BadValue(f"{quoted(text)} is too short: two tokens are special tokens, so at least 3 are needed")
    return count


# float() also accepts digits of other scripts, and underscores.
_NUMBER = re.compile(r"\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?\s*", re.IGNORECASE | re.ASCII)


def _number(description: str, is_allowed: Callable[[float], bool]) -> Callable[[str], float]:
    """Return a parser for the finite numbers that are allowed."""

    def parse(text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number):
            raise BadValue(f"{quoted(text)} is not a number")
        if not is_allowed(number):
            raise BadValue(f"{quoted(text)} is not {description}")
        return number

    return parse


positive_float = _number("a number above 0", lambda number: number > 0)
share = _number("a share from 0 to 1 (0.8 means 80%)", lambda number: 0 <= number <= 1)
probability = _number("a number above 0 and below 1", lambda number: 0 < number < 1)
_percentage = _number("a number of percentage points from 0 to 100", lambda number: 0 <= number <= 100)


def points(text: str) -> float:
    """Parse percentage points from 0 to 100 into a share."""
    return _percentage(text) / 100


def growth(text: str) -> float:
    """Parse ``10%`` into a share, from 1% to 100%; the sign may be missing."""
    match = re.fullmatch(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%?\s*", text, re.ASCII)
    if match is None or not 1 <= float(match[1]) <= 100:
        raise BadValue(f"{quoted(text)} is not a growth from 1% to 100%; write 10%")
    return float(match[1]) / 100


_SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}


def time_span(text: str) -> float:
    """Parse ``90s``, ``10min`` or ``1h30min`` into seconds, from 1 second to a week."""
    part = r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(sec|s|min|m|h)\s*"
    is_valid = re.fullmatch(rf"\s*(?:{part})+", text.lower(), re.ASCII) is not None
    parts = re.findall(part, text.lower(), re.ASCII) if is_valid else []
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 1 <= seconds <= 7 * 24 * 3600:
        raise BadValue(f"{quoted(text)} is not a time from 1s to 168h; write 90s, 10min or 1h30min")
    return seconds


def several_of(allowed: Sequence[str], renamed: Collection[str] = ()) -> Callable[[str], tuple[str, ...]]:
    """Return a parser for some of ``allowed``, separated by commas, or ``none``.

    Old words in ``renamed`` are returned as typed; ``current_words`` replaces them.
    """
    parse_one = one_of(allowed)

    def parse(text: str) -> tuple[str, ...]:
        if text.strip() == "none":
            return ()
        return tuple(name if name in renamed else parse_one(name) for name in names(text))

    return parse


def current_words(words: Sequence[str], renamed: Mapping[str, str], warn: Callable[[str], None]) -> tuple[str, ...]:
    """Return distinct words, with every old word replaced by its new one; ``warn`` gets one sentence for each."""
    for word in words:
        if word in renamed:
            warn(f"{word!r} is deprecated; use {renamed[word]!r}.")
    return tuple(dict.fromkeys(renamed.get(word, word) for word in words))


_UNITS = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40}


def byte_size(text: str) -> int:
    """Parse ``500MB`` or ``2GB`` into bytes; a KB has 1,024."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?b?)\s*", text.lower(), re.ASCII)
    unit = match and (match[2] if match[2] in _UNITS else f"{match[2]}b")
    size = float(match[1]) * _UNITS[unit] if match and unit in _UNITS else 0.0
    if not 1 <= size < math.inf:
        raise BadValue(f"{quoted(text)} is not a size; write 500MB or 2GB")
    return int(size)


# The value of ``--sst2-seeds auto``.
AUTO_SEEDS: tuple[int, ...] = ()


def seeds(text: str) -> tuple[int, ...]:
    """Parse ``42,7`` into distinct seeds, and ``auto`` into ``AUTO_SEEDS``."""
    if text.strip() == "auto":
        return AUTO_SEEDS
    parsed = []
    for part in names(text):
        if not re.fullmatch(r"[0-9]{1,10}", part) or int(part) > _LARGEST_SEED:
            raise BadValue(
                f"{quoted(part)} is not a seed; seeds are whole numbers from 0 to {_LARGEST_SEED}, or auto alone: as "
                "many as the verdict needs"
            )
        parsed.append(int(part))
    return tuple(dict.fromkeys(parsed))


def shard(text: str) -> tuple[int, int]:
    """Parse ``3/8``, the third of eight parts."""
    match = re.fullmatch(r"\s*([0-9]{1,9})/([0-9]{1,9})\s*", text, re.ASCII)
    if match is None or not int(match[2]):
        raise BadValue(f"{quoted(text)} is not a shard; write 3/8 for the third of eight")
    number, of = int(match[1]), int(match[2])
    if not 1 <= number <= of:
        raise BadValue(f"there is no shard {quoted(text)}; the shards are 1/{of} to {of}/{of}")
    return number, of


# Other names of the values: by its letters alone, ``gpu`` is closest to ``cpu``.
_OTHER_NAMES = {
    **dict.fromkeys(("gpu", "nvidia"), "cuda"),
    "metal": "mps",
    "fp32": "float32",
    **dict.fromkeys(("fp16", "half"), "float16"),
    "bf16": "bfloat16",
}


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    """Return a parser for one of ``allowed``."""

    def parse(text: str) -> str:
        if text not in allowed:
            guess = _closest(text, allowed)
            raise BadValue(
                f"{quoted(text)} is not one of {', '.join(allowed)}{'.' if guess else ''}{did_you_mean(guess)}"
            )
        return text

    return parse


def _closest(text: str, allowed: Sequence[str]) -> str:
    """Return the allowed value that is most like the text; empty if none is near."""
    other = _OTHER_NAMES.get(text.lower().partition(":")[0], "")
    if other in allowed:
        return other
    numbers = re.findall("[0-9]+", text)
    # Another number is another value: float64 does not mean float16.
    near = [name for name in allowed if not numbers or re.findall("[0-9]+", name) in ([], numbers)]
    return closest(text, near)


def text(value: str) -> str:
    """Return the value; it must not be blank."""
    if not value.strip():
        raise BadValue("a value is missing")
    return value
