"""Test the exact text of a comparison for a terminal, its JSON, and its JUnit properties."""

# ruff: noqa: E501 - exact lines

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
from pytest_sst2.report.junit import run_properties
from tests.support.comparisons import CHANGE, DRIFT, INCOMPARABLE, REGRESSED, SLOWER, UNDECIDED, WHOLE, comparison


def test_at_160_columns_the_headline_comes_first_and_each_sentence_once() -> None:
    assert comparison_lines(WHOLE, ("regressed", "incomparable"), 160) == [
        "FAILS: minilm × linear-probe −2.39 points (at worst −4.1): pooling cls, was mean; and 1 more cell",
        "Do not merge yet: 1 of 3 cells got worse beyond chance, by more than the 1 point that may be lost; for 1 of 3 cells the data cannot tell whether more than 1 point was lost; 1 of 3 cells cannot be compared; 1 of 3 cells is slower; 1 of 3 cells needs more memory; 1 cell of the baseline was not run. This would decide albert × fine-tune: 8 seeds (about 6 min).",
        "main (saved 2026-08-01, 12 days earlier, commit 0123456ab) → this run (commit fedcba987 with uncommitted changes); at worst: the lower 99 % confidence bound of Δ; up to 1 point may be lost",
        "",
        "cell                   seeds    verdict       before → after   Δ points  at worst  time              memory",
        "---------------------  -------  ------------  ---------------  --------  --------  ----------------  -----------",
        "minilm × linear-probe  42       REGRESSED     0.8364 → 0.8125     −2.39     −4.10  1.40 × undecided  1.50 × more",
        "albert × fine-tune     5 seeds  undecided     0.8364 → 0.8314     −0.50     −1.90  0.50 × faster     –",
        "tfidf                  7        INCOMPARABLE  –                       –         –  –                 –",
        "",
        "missing: not measured this time: albert × tfidf",
        "incomparable: seed 7, was 42 (tfidf)",
        "drift: pooling cls, was mean (minilm × linear-probe, albert × fine-tune)",
        "to decide: 8 seeds (about 6 min) (albert × fine-tune)",
        "slower: encode 1.60 × (2.00 s → 3.20 s, noise ±30 %) (minilm × linear-probe)",
        "more-memory: peak memory 1.50 × what it was (800 MB → 1,200 MB) (minilm × linear-probe)",
        "faster: all phases 0.50 × (2.00 s → 1.00 s, noise ±10 %) (albert × fine-tune)",
        "note: one seed (minilm × linear-probe)",
        "note: measured in one round, so changes of less than ±25 % cannot be detected (minilm × linear-probe, albert × fine-tune)",
        "note: nothing to compare with for mpnet × fine-tune",
        "",
        "what changed in the environment:",
        "                 before  after",
        "---------------  ------  -----",
        "torch            2.4     2.5",
        "OMP_NUM_THREADS  –       2",
    ]


def test_80_columns_keep_what_decides_and_name_what_was_left_out() -> None:
    assert comparison_lines(WHOLE, ("regressed", "incomparable"), 80)[4:10] == [
        "cell                   verdict       before → after   Δ points  at worst",
        "---------------------  ------------  ---------------  --------  --------",
        "minilm × linear-probe  REGRESSED     0.8364 → 0.8125     −2.39     −4.10",
        "albert × fine-tune     undecided     0.8364 → 0.8314     −0.50     −1.90",
        "tfidf                  INCOMPARABLE  –                       –         –",
        "(no room at 80 columns for: seeds, memory, time)",
    ]


def test_a_sentence_about_all_cells_says_so() -> None:
    lines = comparison_lines(comparison(REGRESSED, UNDECIDED), ("regressed",))
    assert f"drift: {DRIFT[0]} (all cells)" in lines
    assert f"drift: {DRIFT[0]} (minilm × linear-probe)" in comparison_lines(comparison(REGRESSED), ())


def test_up_to_three_seeds_are_listed() -> None:
    three = dataclasses.replace(UNDECIDED, seeds=(1, 2, 3))
    assert any(" 1,2,3 " in line for line in comparison_lines(comparison(three), ()))
    assert any(" 5 seeds " in line for line in comparison_lines(comparison(UNDECIDED), ()))


def test_seeds_that_were_not_run_are_counted_and_named() -> None:
    left_out = {UNDECIDED.name: (2, 3)}
    partial = dataclasses.replace(comparison(UNDECIDED), only_before=("tfidf",), seeds_only_before=left_out)
    lines = comparison_lines(partial, ("missing",))
    assert lines[0] == "FAILS: tfidf, albert × fine-tune with seeds 2, 3 were not run, and the baseline has them"
    assert (
        "1 cell of the baseline was not run; 2 seeds of the baseline were not run. This would decide albert × fine-tune:"
        in lines[1]
    )
    assert f"missing: not measured this time: seeds 2, 3 ({UNDECIDED.name})" in lines
    assert json.loads(comparison_json(partial, ()))["seeds_only_before"] == {UNDECIDED.name: [2, 3]}


def test_without_a_cell_there_is_no_table() -> None:
    nothing = dataclasses.replace(comparison(), only_before=("tfidf",), saved="")
    lines = comparison_lines(nothing, ())
    assert lines[0] == "CANNOT COMPARE: the two have no cell in common"
    assert lines[2].startswith("main → this run; ")
    assert "missing: not measured this time: tfidf" in lines
    assert not [line for line in lines if line.startswith(("cell", "---"))]


def test_an_identical_cell_has_no_bound_because_it_is_the_same_classifier() -> None:
    same = dataclasses.replace(CHANGE, after=CHANGE.before, delta=-0.00001, at_worst=-0.0133)
    cell = dataclasses.replace(REGRESSED, verdict="identical", accuracy=same, causes=())
    line = next(line for line in comparison_lines(comparison(cell), ()) if line.startswith("minilm"))
    assert re.split(r"\s{2,}", line)[3:6] == ["0.8364 → 0.8364", "0.00", "–"]


def test_json_has_every_number_the_flags_of_each_cell_and_the_exit_status() -> None:
    data = json.loads(comparison_json(WHOLE, ("regressed", "incomparable")))
    assert (data["before"], data["after"], data["saved"]) == ("main", "this run", "2026-08-01T12:00:00+00:00")
    assert (data["tolerance"], data["alpha"]) == (0.01, 0.01)
    assert (data["fail_on"], data["exit_status"]) == (["incomparable", "regressed"], 1)
    assert data["headline"].startswith("FAILS: minilm × linear-probe −2.39 points")
    assert data["advice"].startswith("Do not merge yet: ")
    first, second, third = data["cells"]
    assert [cell["name"] for cell in data["cells"]] == ["minilm × linear-probe", "albert × fine-tune", "tfidf"]
    assert first["flags"] == ["drifted", "more-memory", "regressed", "slower"]
    assert first["accuracy"] == dataclasses.asdict(CHANGE)
    assert first["causes"][0]["sentence"] == DRIFT[0].sentence
    assert first["speed_and_memory"]["phases"][0] == dataclasses.asdict(SLOWER.phases[0])
    assert first["speed_and_memory"]["memory"]["state"] == "more"
    assert second["would_decide"] == "8 seeds (about 6 min)"
    assert (third["model"], third["accuracy"], third["reasons"]) == (None, None, ["seed 7, was 42"])
    assert data["environment"][1] == {"name": "OMP_NUM_THREADS", "before": None, "after": "2"}
    assert (data["only_before"], data["only_after"]) == (["albert × tfidf"], ["mpnet × fine-tune"])
    assert comparison_json(WHOLE, ()).endswith("}")


def test_junit_properties_have_the_headline_and_a_line_per_cell() -> None:
    assert run_properties(WHOLE, ("FAILS: ...", "Do not merge yet"))[2:] == [
        ("sst2_verdict minilm × linear-probe", "regressed, at worst −4.10 points"),
        ("sst2_verdict albert × fine-tune", "undecided, at worst −1.90 points"),
        ("sst2_verdict tfidf", "incomparable"),
    ]


@pytest.mark.parametrize("cells", [[REGRESSED, INCOMPARABLE], [INCOMPARABLE, REGRESSED]])
def test_the_cells_that_decide_come_first(cells: list) -> None:
    lines = comparison_lines(comparison(*cells), ())
    verdicts = [line for line in lines if "REGRESSED" in line or "INCOMPARABLE" in line]
    assert [line.split("  ")[0] for line in verdicts] == ["minilm × linear-probe", "tfidf"]
