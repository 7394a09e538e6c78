"""Test that only verdict words are coloured."""

from __future__ import annotations

import pytest

from pytest_sst2.report.ansi import Colour, ansi, coloured


def marked(text: str, colour: Colour) -> str:
    return f"<{colour}>{text}</>"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FAILS: 1 of 3 regressed", "<red>FAILS</>: 1 of 3 regressed"),
        ("HOLDS: 3 of 3 identical", "<green>HOLDS</>: 3 of 3 identical"),
        ("CANNOT COMPARE: no cell", "<yellow>CANNOT COMPARE</>: no cell"),
        ("linear-probe  minilm  0.81  pass", "linear-probe  minilm  0.81  <green>pass</>"),
        ("tfidf  –  0.41  BELOW FLOOR", "tfidf  –  0.41  <red>BELOW FLOOR</>"),
        ("minilm × tfidf  42  REGRESSED  0.84  0.79", "minilm × tfidf  42  <red>REGRESSED</>  0.84  0.79"),
        ("warning: few rows", "<yellow>warning</>: few rows"),
        ("ERROR: not saved", "<red>ERROR</>: not saved"),
    ],
)
def test_verdict_words_have_their_colour(line: str, expected: str) -> None:
    assert coloured(line, marked) == expected


@pytest.mark.parametrize("line", ["it must pass here", "a warning for you", "FAILSAFE: a model", "improvedly  x"])
def test_words_in_a_sentence_have_no_colour(line: str) -> None:
    assert coloured(line, marked) == line


def test_the_escape_sequence_is_closed() -> None:
    assert ansi("pass", "green") == "\x1b[32mpass\x1b[0m"
