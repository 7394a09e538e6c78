"""Test the CSV: plain numbers for scripts, and no formula that a spreadsheet would run."""

from __future__ import annotations

import csv
import io

import pytest

from pytest_sst2.report.csv_export import csv_text
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure
from tests.support.record_factory import BARE, answered, make_record
from tests.support.run_factory import SCRIPT, compared, later


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_record_is_a_row_of_plain_numbers_with_units_in_the_headers() -> None:
    (row,) = rows(csv_text(make_report(Results([make_record()], []))))
    assert (row["cell"], row["seeds"], row["accuracy"], row["floor"]) == ("minilm × linear-probe", "42", "0.75", "0.7")
    assert (row["train_seconds"], row["encode_seconds"], row["peak_bytes"]) == ("0.25", "2.0", "400000000")
    assert (row["latency_p50_seconds"], row["floor_verdict"], row["error"]) == ("0.004", "pass", "")
    assert "verdict" not in row


def test_missing_values_are_empty_cells() -> None:
    (row,) = rows(csv_text(make_report(Results([make_record(**BARE)], []))))
    assert (row["model"], row["floor"], row["train_seconds"], row["floor_verdict"]) == ("", "", "", "no floor")


def test_cached_phases_have_no_seconds() -> None:
    record = make_record(rounds=make_record().rounds[1:])
    (row,) = rows(csv_text(make_report(Results([record], []))))
    assert (row["encode_seconds"], row["train_seconds"], row["cached_phases"]) == ("", "0.25", "encode")


def test_a_cell_without_a_number_is_a_row_with_its_error() -> None:
    row = next(row for row in rows(csv_text(make_report(later()))) if row["model"] == "albert")
    assert (row["cell"], row["seeds"], row["floor_verdict"]) == ("albert × fine-tune", "", "FAILED")
    assert row["error"] == f"seed 42: could not be had: {SCRIPT}"


def test_seeds_are_one_row_with_their_mean_spread_and_accuracies_in_their_order() -> None:
    made = [answered([True] * right + [False] * (10 - right), seed=seed) for seed, right in ((2, 8), (1, 6))]
    (row,) = rows(csv_text(make_report(Results(made, []))))
    assert (row["seeds"], row["accuracy"], row["accuracy_sd"], row["accuracy_of_seeds"]) == (
        "2 1",
        "0.7",
        "0.141421",
        "0.8 0.6",
    )


def test_the_comparison_is_in_the_row_of_its_cell() -> None:
    gained, probe, tuned, failed = rows(csv_text(make_report(later(), compared())))
    assert [row["verdict"] for row in (probe, gained, tuned, failed)] == ["regressed", "undecided", "identical", ""]
    assert (probe["before"], probe["after"], probe["delta"]) == ("0.9", "0.7", "-0.2")
    assert float(probe["at_worst"]) < -0.2 < float(probe["at_best"]) < 0
    assert (tuned["compared_seeds"], tuned["tolerance"], tuned["failed_seeds"]) == ("1 2", "0.01", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠", " =", "\u3000="])
def test_a_text_like_a_formula_gets_an_apostrophe(start: str) -> None:
    failure = Failure("a", f"{start}HYPERLINK()", f"{start}cmd", 1, f"{start}1+1")
    (row,) = rows(csv_text(make_report(Results([], [failure]))))
    assert [row[name][: len(start) + 1] for name in ("model", "method")] == [f"'{start}"] * 2


def test_a_formula_after_another_cell_separator_gets_an_apostrophe() -> None:
    failure = Failure("a", "a;=1+1", "b\t@SUM(1)", 1, "c\r\n-1; d - e; x=1")
    (row,) = rows(csv_text(make_report(Results([], [failure]))))
    assert [row[name] for name in ("model", "method")] == ["a;'=1+1", "b\t'@SUM(1)"]
    assert row["error"] == "seed 1: c\n'-1; d - e; x=1"


def test_a_negative_number_stays_a_number() -> None:
    assert rows(csv_text(make_report(later(), compared())))[1]["delta"] == "-0.2"


def test_lines_end_with_crlf() -> None:
    text = csv_text(make_report(Results([make_record()], [])))
    assert text.count("\r\n") == text.count("\n") == 2
