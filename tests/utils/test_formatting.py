"""Numbers, counts, lists and values in messages."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sst2.utils.formatting import (
    duration,
    p_value,
    plural,
    quoted,
    relative_margin,
    shorten,
    signed_points,
    truncate,
)


@pytest.mark.parametrize(("number", "text"), [(0, "0 cells"), (1, "1 cell"), (2_000, "2,000 cells")])
def test_plural(number: int, text: str) -> None:
    assert plural(number, "cell") == text


@pytest.mark.parametrize(("names", "text"), [([], ""), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")])
def test_shorten(names: list[str], text: str) -> None:
    assert shorten(names, 2) == text


@pytest.mark.parametrize(("text", "truncated"), [("abcd", "abcd"), ("abcde", "abc…")])
def test_truncate(text: str, truncated: str) -> None:
    assert truncate(text, 4) == truncated


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        (None, "None"),
        (True, "True"),
        ({"a": 1}, "an object of 1"),
        ([0] * 1_000, "a list of 1,000"),
        (10**40, "a number of more than 30 digits"),
        ("x" * 10, "'xxxxxxxxxx'"),
        ("x" * 11, "'xxxxxxxxxx…"),
        ("x" * 10**8, "'xxxxxxxxxx…"),
    ],
)
def test_quoted(value: Any, text: str) -> None:
    assert quoted(value, 12) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3_540, "59 min"), (7_500, "2 h 5 min")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("share", "text"), [(0.012, "+1.20"), (-0.012, "−1.20"), (-0.00001, "0.00")])
def test_signed_points(share: float, text: str) -> None:
    assert signed_points(share) == text


def test_relative_margin_and_p_value() -> None:
    assert [relative_margin(0.4), relative_margin(2.5)] == ["±40 %", "a factor of 3.5"]
    assert [p_value(0.00001), p_value(0.0312)] == ["<0.0001", "0.0312"]
