"""Cells of one run against one another, in every report: one answer, the same numbers, no hostile name at work."""

from __future__ import annotations

import csv
import io
import json

import pytest

from pytest_sst2.compare.within_run import WithinRun, compare_within
from pytest_sst2.report.csv_export import csv_text
from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.summary import Report, make_report
from pytest_sst2.report.within_run_text import within_run_json, within_run_lines
from pytest_sst2.results.file import Results
from tests.support.injection_checks import wrong_in_page
from tests.support.record_factory import probe
from tests.support.run_factory import SCRIPT

GOOD = [index % 5 != 0 for index in range(400)]
BAD = [right and index % 10 != 1 for index, right in enumerate(GOOD)]
ONE_LESS = [right and index != 1 for index, right in enumerate(GOOD)]


def within(*others: tuple[str, list[bool]]) -> tuple[Results, WithinRun]:
    records = [probe(GOOD, model="a"), *(probe(right, model=name) for name, right in others)]
    results = Results(records, [], origin="this run")
    return results, compare_within(results, ["a"], tolerance=0.01, alpha=0.01, option="--pair")


def report(*others: tuple[str, list[bool]]) -> Report:
    results, comparison = within(*others)
    return make_report(results, within=comparison)


@pytest.mark.parametrize(
    ("right", "sentence"),
    [
        (GOOD, "b × linear-probe answers every sentence as a × linear-probe does"),
        (BAD, "b × linear-probe is worse than a × linear-probe: −10.00 points (at best −7.03)"),
        (
            ONE_LESS,
            "the data cannot tell whether b × linear-probe is more than 1 point worse than a × linear-probe: "
            "−0.25 points (−1.79 to +1.09)",
        ),
    ],
)
def test_one_pair_is_answered_in_the_first_line(right: list[bool], sentence: str) -> None:
    lines = within_run_lines(within(("b", right))[1])
    assert lines[0] == sentence
    assert "at worst and at best: the 99 % confidence bounds of Δ; up to 1 point may be lost" in lines[1]


def test_several_pairs_are_counted_and_have_a_row_each() -> None:
    lines = within_run_lines(within(("b", BAD), ("c", GOOD), ("d", BAD))[1])
    assert lines[0] == "3 pairs: 2 regressed, 1 identical"
    assert lines[3:8] == [
        "cell              against           seeds  verdict    against → cell   Δ points  at worst  at best",
        "----------------  ----------------  -----  ---------  ---------------  --------  --------  -------",
        "b × linear-probe  a × linear-probe  42     REGRESSED  0.8000 → 0.7000    −10.00    −14.04    −7.03",
        "d × linear-probe  a × linear-probe  42     REGRESSED  0.8000 → 0.7000    −10.00    −14.04    −7.03",
        "c × linear-probe  a × linear-probe  42     identical  0.8000 → 0.8000      0.00         –        –",
    ]


def test_a_narrow_terminal_keeps_the_verdict_and_the_bound() -> None:
    lines = within_run_lines(within(("b", BAD))[1], 80)
    assert all(len(line) <= 80 for line in lines[3:6])
    assert "REGRESSED" in lines[5]
    assert "−14.04" in lines[5]


def test_json_has_the_pairs_with_their_flags() -> None:
    comparison = within(("b", BAD))[1]
    data = json.loads(within_run_json(comparison, ("regressed",)))
    assert (data["exit_status"], data["headline"]) == (1, within_run_lines(comparison)[0])
    (cell,) = data["cells"]
    assert (cell["name"], cell["against"], cell["verdict"]) == ("b × linear-probe", "a × linear-probe", "regressed")
    assert cell["flags"] == ["regressed"]


def test_csv_has_the_pair_in_the_row_of_its_cell() -> None:
    first, second = csv.DictReader(io.StringIO(csv_text(report(("b", BAD))), newline=""))
    assert (first["cell"], first["against"], first["against_delta"]) == ("a × linear-probe", "", "")
    assert (second["against"], second["against_verdict"], second["against_delta"]) == (
        "a × linear-probe",
        "regressed",
        "-0.1",
    )


def test_markdown_and_page_show_the_table_with_any_name() -> None:
    shown = report(("b", BAD), (SCRIPT, BAD))
    text = markdown(shown)
    assert "**Within the run: 2 pairs: 2 regressed**" in text
    assert "| b × linear-probe" in text
    page = html_text(shown, [])
    assert '<section id="within">' in page
    assert wrong_in_page(page, html_text(report(("b", BAD), ("c", BAD)), [])) == []
    assert SCRIPT not in page + text


def test_without_a_question_no_report_mentions_it() -> None:
    shown = make_report(Results([probe(GOOD)], []))
    assert "within" not in (markdown(shown) + html_text(shown, [])).lower()
    assert "against" not in csv_text(shown)


def test_without_a_baseline_the_answer_is_the_headline_and_comes_before_the_results() -> None:
    shown = report(("b", BAD))
    answer = "b × linear-probe is worse than a × linear-probe: −10.00 points (at best −7.03)"
    assert (shown.headline, shown.advice) == (f"MEASURED: {answer}", "2 cells, each reaches its floor.")
    page = html_text(shown, [])
    assert page.index('<section id="within">') < page.index('<section id="results">')
    assert 'aria-label="b × linear-probe: −10.00 points, at worst' in page
