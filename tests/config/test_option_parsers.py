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
