"""Damaged values of options: a valid value, or the one sentence of argparse's error."""

from __future__ import annotations

import argparse
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.config.options import OPTIONS
from tests.support.fuzzing import FUZZ, checked_sentence

PARSED = {option.name: option for option in OPTIONS if option.parse is not None}
# Values that users mistype, and values that once broke a parser.
WORDS = (
    *("1", "0", "-1", "1e999", "nan", "1_0", "\uff11", "9" * 30, "3/8", "8/3", "500MB", "2GB", "42,7", ",", "none"),
    *("quick", "standard", "heldout", "float32", "cpu", "minilm", "majority", "pocket", "auto", "ray", "local"),
    *("~no-such-user/x", "../x", "/", ".", "a" * 300, "org/name@main", "'", '"', "\\", "%", "@", "=", "--", "é"),
    *("\x1b[2J", "regressed", "incomparable", "baseline.json", "floors.toml", "true", "maybe", " ", "\t"),
)
VALUES = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=4)), min_size=1, max_size=4).map("".join)


def positive(value):
    return 1 <= value <= 10**9


# What holds for the value of an option. The other options promise a text that is not blank.
PROMISES = {
    **dict.fromkeys(("train_size", "eval_size", "epochs", "batch_size", "rounds", "ray_cpus"), positive),
    "max_length": lambda value: 3 <= value <= 10**9,
    "learning_rate": lambda value: 0 < value < math.inf,
    "min_accuracy": lambda value: 0 <= value <= 1,
    "tolerance": lambda value: 0 <= value <= 1,
    "alpha": lambda value: 0 < value < 1,
    "cache_size": lambda value: type(value) is int and value >= 1,
    "seeds": lambda value: bool(value) and all(0 <= seed < 2**32 for seed in value),
    "shard": lambda value: 1 <= value[0] <= value[1],
    "fail_on": lambda value: isinstance(value, tuple),
    **dict.fromkeys(("columns", "labels"), lambda value: len({name.strip() for name in value} - {""}) == 2),
    **dict.fromkeys(
        ("models", "methods", "metrics", "drop_cells", "against"), lambda value: all(name.strip() for name in value)
    ),
}


def refusal_of(name: str, text: str) -> str:
    """Return the sentence with which an option refuses a value, or an empty string if it accepts the value."""
    try:
        value = PARSED[name].parse(text)
    except argparse.ArgumentTypeError as error:
        return checked_sentence(str(error))
    assert PROMISES.get(name, str.strip)(value)
    return ""


@pytest.mark.parametrize("name", PARSED)
@FUZZ
@given(value=VALUES)
def test_a_damaged_value_is_parsed_or_refused(name, value):
    refusal_of(name, value)


@pytest.mark.parametrize("option", [option for option in PARSED.values() if option.default], ids=lambda o: o.name)
def test_a_default_is_parsed(option):
    assert refusal_of(option.name, option.default) == ""


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("train_size", "9" * 5000, "is not a whole number of at least 1"),
        ("rounds", "9" * 18, "is more than 1,000,000,000"),
        ("alpha", "\uff10.5", "is not a number"),
        ("max_length", "\x1e5", ""),  # white space for str.strip(), but not for int()
    ],
)
def test_what_broke_a_parser_is_refused(name, value, part):
    assert part in refusal_of(name, value)
