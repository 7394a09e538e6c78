"""Fitting a table to the terminal."""

from __future__ import annotations

from pytest_sst2.report.text_table import fit_table, left_out_line

HEADERS = ("name", "number", "aside")
ROWS = [("long-model-name", "1", "x" * 10), ("b", "23", "")]


def test_a_table_that_has_room_is_shown_whole() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=80, right=("number",))
    assert left_out == []
    assert text.split("\n") == [
        "name             number  aside",
        "---------------  ------  ----------",
        "long-model-name       1  xxxxxxxxxx",
        "b                    23",
    ]


def test_columns_go_in_the_order_given_and_only_as_many_as_must() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=34, left_out_first=("aside", "number"), right=("number",))
    assert left_out == ["aside"]
    assert max(map(len, text.split("\n"))) == 23


def test_a_name_is_cut_only_when_no_column_can_go() -> None:
    text, left_out = fit_table(HEADERS, ROWS, width=18, left_out_first=("aside",), truncated="name")
    assert left_out == ["aside"]
    assert text.split("\n")[2] == "long-mode…  1"
    assert max(map(len, text.split("\n"))) <= 18


def test_a_name_is_never_cut_to_nothing() -> None:
    text, _ = fit_table(("name",), [("long-model-name",)], width=3, truncated="name")
    assert text.split("\n")[2] == "long-mo…"


def test_without_a_limit_nothing_goes() -> None:
    assert fit_table(HEADERS, ROWS, width=None, left_out_first=HEADERS[1:], truncated="name")[1] == []


def test_what_was_left_out_is_said_below() -> None:
    assert left_out_line([], 80) == ""
    assert left_out_line(["ex/s", "p50 ms"], 80) == "\n(no room at 80 columns for: ex/s, p50 ms)"
