"""Test the exact text of a comparison for a terminal, and its JSON."""

# ruff: noqa: E501 - exact lines

from __future__ import annotations

import dataclasses
import json
import re

import pytest

from pytest_sst2.compare.cell_times import PhaseTimeChange
from pytest_sst2.compare.comparison import CellComparison, Comparison
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.peak_memory import PeakMemoryChange
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.report.comparison_text import HEADERS, comparison_headline, comparison_json, comparison_lines, row
from pytest_sst2.results.environment_diff import EnvironmentChange
from pytest_sst2.results.record import Interval
from tests.support import ROOT

CHANGE = AccuracyChange(
    before=0.8364,
    after=0.8125,
    delta=-0.0239,
    interval=Interval(-0.035, -0.0126),
    p_value=0.00004,
    losses=30,
    gains=9,
    examples=872,
    seeds=1,
    test="exact McNemar",
)
SAME = dataclasses.replace(CHANGE, after=0.8364, delta=0.0, interval=Interval(-0.01, 0.0125), p_value=1.0, seeds=5)
SLOWER = SpeedAndMemoryChange(
    (PhaseTimeChange("encode", 2.0, 3.2, 1.6, 0.3, "slower"), PhaseTimeChange("all", 3.0, 4.2, 1.4, 0.25, "undecided")),
    PeakMemoryChange(800 * 2**20, 1200 * 2**20, "more"),
    ("measured in one round, so changes of less than ±25 % cannot be detected",),
)
FASTER = SpeedAndMemoryChange(
    (PhaseTimeChange("all", 2.0, 1.0, 0.5, 0.1, "faster"),),
    None,
    ("measured in one round, so changes of less than ±25 % cannot be detected",),
)
DRIFT = (Cause("max_seq_length 5, was 256", "settings", where="max_seq_length", before="256", after="5"),)
REGRESSED = CellComparison(
    "minilm", "linear-probe", (42,), "regressed", (), CHANGE, 0.00008, 0.0126, DRIFT, SLOWER, notes=("one seed",)
)
UNCHANGED = CellComparison("albert", "fine-tune", (1, 2, 3, 4, 5), "unchanged", (), SAME, 1.0, None, DRIFT, FASTER)
INCOMPARABLE = CellComparison(None, "tfidf", (7,), "incomparable", ("seed 7, was 42",))
ENVIRONMENT = (EnvironmentChange("torch", "2.4", "2.5"), EnvironmentChange("OMP_NUM_THREADS", None, "2"))


def comparison(*cells: CellComparison, environment: tuple[EnvironmentChange, ...] = ()) -> Comparison:
    return Comparison("main", "this run", "2026-08-01T12:00:00+00:00", 0.005, 0.01, cells, environment, (), ())


WHOLE = dataclasses.replace(
    comparison(REGRESSED, UNCHANGED, INCOMPARABLE, environment=ENVIRONMENT),
    only_before=("albert × tfidf",),
    only_after=("mpnet × fine-tune",),
)


FINDINGS = [
    "missing: not measured this time: albert × tfidf",
    "incomparable: seed 7, was 42 (tfidf)",
    "drift: max_seq_length 5, was 256 (minilm × linear-probe, albert × fine-tune)",
    "slower: encode 1.60 × what it was in units of the machine's speed (2.00 s → 3.20 s; noise ±30 %) (minilm × linear-probe)",
    "more-memory: peak memory 1.50 × what it was (800 MB → 1,200 MB) (minilm × linear-probe)",
    "faster: all phases together 0.50 × what it was in units of the machine's speed (2.00 s → 1.00 s; noise ±10 %) (albert × fine-tune)",
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


def test_at_160_columns_the_headline_comes_first_and_each_sentence_once() -> None:
    assert comparison_lines(WHOLE, ("regressed", "incomparable"), 160)[:24] == [
        "FAILS: 1 of 3 regressed, 1 of 3 incomparable, 1 of 3 slower, 1 of 3 more-memory, 2 of 3 drifted; 1 cell of the baseline was not run",
        "main (saved 2026-08-01T12:00:00+00:00) → this run; regressed means more than 0.5 points lost and p ≤ 0.01 after Holm's correction",
        "",
        "cell                   seeds    verdict       before   after  Δ points  95 % interval   p (Holm)  could detect  time          peak MB",
        "---------------------  -------  ------------  ------  ------  --------  --------------  --------  ------------  ------------  -----------",
        "minilm × linear-probe  42       REGRESSED     0.8364  0.8125     −2.39  −3.50 to −1.26   <0.0001          −1.3  1.40 × ±25 %  800 → 1,200",
        "albert × fine-tune     5 seeds  unchanged     0.8364  0.8364      0.00  −1.00 to +1.25    1.0000       no drop  0.50 × ±10 %  –",
        "tfidf                  7        INCOMPARABLE       –       –         –  –                      –             –  –             –",
        "",
        *FINDINGS,
    ]


def test_at_80_columns_the_least_important_columns_are_left_out_and_named() -> None:
    assert comparison_lines(WHOLE, ("regressed", "incomparable"), 80)[3:10] == [
        "cell                   verdict        after  Δ points  95 % interval   p (Holm)",
        "---------------------  ------------  ------  --------  --------------  --------",
        "minilm × linear-probe  REGRESSED     0.8125     −2.39  −3.50 to −1.26   <0.0001",
        "albert × fine-tune     unchanged     0.8364      0.00  −1.00 to +1.25    1.0000",
        "tfidf                  INCOMPARABLE       –         –  –                      –",
        "(no room at 80 columns for: peak MB, could detect, seeds, time, before)",
        "",
    ]


def test_a_sentence_about_all_cells_says_so() -> None:
    lines = comparison_lines(comparison(REGRESSED, UNCHANGED), ("regressed",))
    assert "drift: max_seq_length 5, was 256 (all cells)" in lines
    assert "drift: max_seq_length 5, was 256 (minilm × linear-probe)" in comparison_lines(comparison(REGRESSED), ())


def test_up_to_three_seeds_are_listed() -> None:
    three = dataclasses.replace(UNCHANGED, seeds=(1, 2, 3))
    assert any(" 1,2,3 " in line for line in comparison_lines(comparison(three), ()))
    assert any(" 5 seeds " in line for line in comparison_lines(comparison(UNCHANGED), ()))


@pytest.mark.parametrize(
    ("cells", "fail_on", "expected"),
    [
        ([UNCHANGED], (), "HOLDS: 1 of 1 drifted"),
        ([dataclasses.replace(UNCHANGED, causes=())], ("drifted",), "HOLDS: 1 of 1 unchanged"),
        ([UNCHANGED], ("drifted",), "FAILS: 1 of 1 drifted"),
        ([INCOMPARABLE], ("regressed", "incomparable"), "CANNOT COMPARE: 1 of 1 incomparable"),
        ([INCOMPARABLE], ("regressed",), "HOLDS: 1 of 1 incomparable"),
        ([dataclasses.replace(UNCHANGED, verdict="improved", causes=())], (), "HOLDS: 1 of 1 improved"),
        ([], (), "CANNOT COMPARE: the two have no cell in common"),
    ],
)
def test_the_headline_is_one_sentence(cells: list[CellComparison], fail_on: tuple[str, ...], expected: str) -> None:
    assert comparison_headline(comparison(*cells), fail_on) == expected


@pytest.mark.parametrize(
    ("missing", "fail_on", "expected"),
    [
        (("tfidf",), (), "HOLDS: 1 of 1 unchanged; 1 cell of the baseline was not run"),
        (("tfidf",), ("missing",), "FAILS: 1 of 1 unchanged; 1 cell of the baseline was not run"),
        (("tfidf", "majority"), ("missing",), "FAILS: 1 of 1 unchanged; 2 cells of the baseline were not run"),
    ],
)
def test_cells_that_were_not_run_are_counted(missing: tuple[str, ...], fail_on: tuple[str, ...], expected: str) -> None:
    partial = dataclasses.replace(comparison(dataclasses.replace(UNCHANGED, causes=())), only_before=missing)
    assert comparison_headline(partial, fail_on) == expected


def test_seeds_that_were_not_run_are_counted_and_named() -> None:
    left_out = {UNCHANGED.name: (2, 3)}
    partial = dataclasses.replace(comparison(UNCHANGED), only_before=("tfidf",), seeds_only_before=left_out)
    headline = "FAILS: 1 of 1 drifted; 1 cell of the baseline was not run; 2 seeds of the baseline were not run"
    lines = comparison_lines(partial, ("missing",))
    assert lines[0] == headline
    assert f"missing: not measured this time: seeds 2, 3 ({UNCHANGED.name})" in lines
    assert json.loads(comparison_json(partial, ()))["seeds_only_before"] == {UNCHANGED.name: [2, 3]}


def test_without_a_cell_there_is_no_table() -> None:
    nothing = dataclasses.replace(comparison(), only_before=("tfidf",), saved="")
    lines = comparison_lines(nothing, ())
    assert lines[0] == "CANNOT COMPARE: the two have no cell in common"
    assert lines[1].startswith("main → this run; ")
    assert "missing: not measured this time: tfidf" in lines
    assert not [line for line in lines if line.startswith(("cell", "---"))]


def test_the_detectable_drop_and_a_delta_that_rounds_to_zero() -> None:
    tiny = dataclasses.replace(CHANGE, delta=-0.00001, interval=Interval(-0.00001, 0.00001), p_value=0.5)
    cell = dataclasses.replace(UNCHANGED, accuracy=tiny, adjusted_p=0.04567, detectable=0.0126)
    line = next(line for line in comparison_lines(comparison(cell), ()) if line.startswith("albert"))
    assert re.split(r"\s{2,}", line)[5:9] == ["0.00", "0.00 to 0.00", "0.0457", "−1.3"]


def test_json_has_every_number_the_flags_of_each_cell_and_the_exit_status() -> None:
    data = json.loads(comparison_json(WHOLE, ("regressed", "incomparable")))
    assert (data["before"], data["after"], data["saved"]) == ("main", "this run", "2026-08-01T12:00:00+00:00")
    assert (data["tolerance"], data["alpha"]) == (0.005, 0.01)
    assert (data["fail_on"], data["exit_status"]) == (["incomparable", "regressed"], 1)
    assert data["outcome"].startswith("FAILS: 1 of 3 regressed")
    assert [cell["name"] for cell in data["cells"]] == ["minilm × linear-probe", "albert × fine-tune", "tfidf"]
    first, second, third = data["cells"]
    assert first["flags"] == ["drifted", "more-memory", "regressed", "slower"]
    assert first["accuracy"] == {**dataclasses.asdict(CHANGE), "interval": [-0.035, -0.0126], "error_parts": []}
    assert (first["adjusted_p"], first["detectable"], first["causes"]) == (
        0.00008,
        0.0126,
        [dataclasses.asdict(DRIFT[0])],
    )
    assert first["speed_and_memory"]["phases"][0] == dataclasses.asdict(SLOWER.phases[0])
    assert first["speed_and_memory"]["memory"]["state"] == "more"
    assert second["detectable"] is None
    assert (third["model"], third["accuracy"], third["speed_and_memory"], third["reasons"]) == (
        None,
        None,
        None,
        ["seed 7, was 42"],
    )
    assert data["environment"][1] == {"name": "OMP_NUM_THREADS", "before": None, "after": "2"}
    assert (data["only_before"], data["only_after"]) == (["albert × tfidf"], ["mpnet × fine-tune"])
    assert comparison_json(WHOLE, ()).endswith("}\n")


@pytest.mark.parametrize(
    ("margin", "expected"), [(0.4, "1.33 × ±40 %"), (1.0, "1.33 × ±100 %"), (1.5, "1.33 × ±2.5-fold")]
)
def test_noise_above_one_hundred_percent_is_a_factor(margin: float, expected: str) -> None:
    change = SpeedAndMemoryChange((PhaseTimeChange("all", 1.0, 1.33, 1.33, margin, "undecided"),), None, ())
    assert row(dataclasses.replace(UNCHANGED, speed_and_memory=change))[HEADERS.index("time")] == expected
    verdict = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    assert "`1.33 × ±2.5-fold`" in verdict
