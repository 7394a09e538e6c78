"""Colour: words of a verdict and nothing else."""

from __future__ import annotations

import pytest

from pytest_sst2.report.ansi import Colour, ansi, coloured


def marked(text: str, colour: Colour) -> str:
    return f"<{colour}>{text}</>"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("FAILS: 1 of 3 regressed", "<red>FAILS</>: 1 of 3 regressed"),
        ("HOLDS: 3 of 3 unchanged", "<green>HOLDS</>: 3 of 3 unchanged"),
        ("CANNOT COMPARE: no cell", "<yellow>CANNOT COMPARE</>: no cell"),
        ("linear-probe  minilm  0.81  pass", "linear-probe  minilm  0.81  <green>pass</>"),
        ("tfidf  –  0.41  BELOW FLOOR", "tfidf  –  0.41  <red>BELOW FLOOR</>"),
        ("minilm × tfidf  42  REGRESSED  0.84  0.79", "minilm × tfidf  42  <red>REGRESSED</>  0.84  0.79"),
        ("warning: few rows", "<yellow>warning</>: few rows"),
        ("ERROR: not saved", "<red>ERROR</>: not saved"),
    ],
)
def test_a_verdict_has_its_colour(line: str, shown: str) -> None:
    assert coloured(line, marked) == shown


@pytest.mark.parametrize("line", ["it must pass here", "a warning for you", "FAILSAFE: a model", "improvedly  x"])
def test_a_word_in_a_sentence_has_none(line: str) -> None:
    assert coloured(line, marked) == line


def test_a_terminal_gets_codes_that_end() -> None:
    assert ansi("pass", "green") == "\x1b[32mpass\x1b[0m"
