"""Parsers of option values."""

from __future__ import annotations

import argparse

import pytest

from pytest_sst2.config import option_parsers as option_types
from pytest_sst2.config import options
from pytest_sst2.config.recipes import DTYPES, PRESETS

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


def test_the_gate_s_options_are_plain_values() -> None:
    parse = option_types.several_of(("regressed", "slower"))
    assert parse("slower, regressed,slower") == ("slower", "regressed")
    assert parse("none") == parse(" none ") == ()
    assert option_types.points("0.5") == 0.005
    assert (option_types.points("0"), option_types.points("100")) == (0.0, 1.0)
    assert option_types.probability("0.01") == 0.01


def test_a_growth_and_a_time_are_read_as_people_write_them() -> None:
    assert [option_types.growth(text) for text in ("10%", "10", " 2.5 % ", "100%")] == [0.1, 0.1, 0.025, 1.0]
    spans = {"90s": 90, "10min": 600, "10 MIN": 600, "1h30min": 5400, "1h 30m": 5400, "0.5h": 1800, "168h": 604800}
    assert {text: option_types.time_span(text) for text in spans} == spans
    for text in ("0.1", "0%", "101%", "ten", "", "10 points", "1e1%", "-5%", "nan"):
        with pytest.raises(argparse.ArgumentTypeError, match="write 10%"):
            option_types.growth(text)
    for text in ("10", "", "0s", "169h", "10 minutes", "1h-30m", "inf", "min", "10min5"):
        with pytest.raises(argparse.ArgumentTypeError, match="write 90s, 10min or 1h30min"):
            option_types.time_span(text)


@pytest.mark.parametrize(
    ("text", "allowed", "guess"),
    [
        ("gpu", options.DEVICES, "cuda"),
        ("GPU:0", options.DEVICES, "cuda"),
        ("cuda:1", options.DEVICES, "cuda"),
        ("metal", options.DEVICES, "mps"),
        ("gpu", ("cpu", "gpus"), "gpus"),
        ("float64", DTYPES, ""),
        ("float6", DTYPES, ""),
        ("floa32", DTYPES, "float32"),
        ("bf16", DTYPES, "bfloat16"),
        ("half", DTYPES, "float16"),
        ("homework", tuple(PRESETS), "homework9"),
        ("homework8", tuple(PRESETS), ""),
    ],
)
def test_a_guess_is_what_was_meant_or_there_is_none(text: str, allowed: tuple[str, ...], guess: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        option_types.one_of(allowed)(text)
    assert str(caught.value).partition(". ")[2] == (f"Did you mean {guess!r}?" if guess else "")


@pytest.mark.parametrize("value", ["", " ", ",,"])
def test_names_wants_at_least_one(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="contains no name"):
        option_types.names(value)
