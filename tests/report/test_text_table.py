"""Test the layout of a table for the width of a terminal."""

from __future__ import annotations

from pytest_sst2.report.text_table import fit_table, left_out_line

HEADERS = ("name", "number", "aside")
ROWS = [("long-model-name", "1", "x" * 10), ("b", "23", "")]


def test_a_table_that_fits_is_complete() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=80, right=("number",))
    assert left_out == []
    assert text.split("\n") == [
        "name             number  aside",
        "---------------  ------  ----------",
        "long-model-name       1  xxxxxxxxxx",
        "b                    23",
    ]


def test_columns_are_left_out_in_the_given_order_and_only_as_needed() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=34, left_out_first=("aside", "number"), right=("number",))
    assert left_out == ["aside"]
    assert max(map(len, text.split("\n"))) == 23


def test_a_name_is_truncated_only_if_no_column_can_be_left_out() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=18, left_out_first=("aside",), truncated="name")
    assert left_out == ["aside"]
    assert text.split("\n")[2] == "long-mode…  1"
    assert max(map(len, text.split("\n"))) <= 18


def test_a_name_keeps_eight_characters() -> None:
    text, _ = fit_table(("name",), [("long-model-name",)], width=3, truncated="name")
    assert text.split("\n")[2] == "long-mo…"


def test_without_a_limit_nothing_is_left_out() -> None:
    assert fit_table(HEADERS, ROWS, width=None, left_out_first=HEADERS[1:], truncated="name")[1] == []


def test_the_columns_left_out_are_named_below() -> None:
    assert left_out_line([], 80) == ""
    assert left_out_line(["ex/s", "p50 ms"], 80) == "\n(no room at 80 columns for: ex/s, p50 ms)"
