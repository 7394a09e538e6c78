"""Test the Markdown: its exact text, its length, and that no name breaks it."""

# ruff: noqa: E501 - exact lines

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from pytest_sst2.compare.comparison import compare
from pytest_sst2.report.comparison_text import HEADERS
from pytest_sst2.report.markdown import escaped, markdown
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure
from tests.support.record_factory import make_record
from tests.support.run_factory import SCRIPT, compared, later, of


def rows_of(text: str) -> Iterator[list[str]]:
    """Yield the cells of each table row, split like a Markdown parser does."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_exact_text_of_a_run_without_a_baseline() -> None:
    record = make_record(rounds=[dataclasses.replace(make_record().rounds[0], device_peak_bytes=None)])
    report = make_report(Results([record], [Failure("a-seed1", "a", "tfidf", 1, "no | such file")]))
    assert markdown(report).split("\n") == [
        "❌ **FAILS: no number: a × tfidf**",
        "",
        "Do not merge yet: 1 cell has no number.",
        "",
        "reviews (sha256:0123456789ab) validation n=4, trained on 500 · recipe quick train\\_size=500 · cpu × 2 threads · float32 · Python 3.12.1, torch 2.13.0",
        "",
        "| cell                  | seeds   |   accuracy |   floor |   seconds |   train s |   encode s |   predict s |   p50 ms |   peak MB | verdict   |",
        "|-----------------------|---------|------------|---------|-----------|-----------|------------|-------------|----------|-----------|-----------|",
        "| a × tfidf             | 1       |          – |       – |         – |         – |          – |           – |        – |         – | FAILED    |",
        "| minilm × linear-probe | 42      |     0.7500 |  0.7000 |      2.75 |      0.25 |       2.00 |        0.50 |      4.0 |       381 | pass      |",
        "",
        "- no number: a × tfidf seed 1: no \\| such file",
        "- note: a note",
        "- warning: short: “few” rows (minilm × linear-probe seed 42)",
        "",
        "<details><summary>Training, by epoch</summary>",
        "",
        "| cell                          |   epoch |   training loss |   evaluation loss |   accuracy |",
        "|-------------------------------|---------|-----------------|-------------------|------------|",
        "| minilm × linear-probe seed 42 |       1 |          0.6000 |            0.5000 |     0.7500 |",
        "",
        "</details>",
        "",
        "<details><summary>How to reproduce</summary>",
        "",
        "Install pytest-sst2 from its repository or a wheel. benchmarks is a placeholder, because a results file does not name the tests that measured its cells.",
        "",
        "```sh",
        "python -m pip install torch==2.13.0",
        "OMP_NUM_THREADS=2 pytest benchmarks --models=minilm --methods=linear-probe --sst2-seeds=42 --sst2-data=FOLDER-OF-reviews --sst2-metrics=f1 --sst2-recipe=quick --sst2-train-size=500 --sst2-batch-size=16 --sst2-learning-rate=0.0001",
        "```",
        "",
        "</details>",
        "",
    ]


def test_a_comparison_has_its_headline_a_table_and_the_rest_folded() -> None:
    text = markdown(make_report(later(), compared(), ("regressed",)))
    lines = text.splitlines()
    assert lines[0].startswith(
        "❌ **FAILS: below its floor: minilm × linear-probe 0.7000 instead of 0.9000; no number: albert × fine-tune; minilm × linear-probe −20.00 points (at worst −3"
    )
    assert "; 1 of 3 cells got worse beyond chance, by more than the 1 point that may be lost; " in lines[2]
    header, rule, first, *_ = rows_of(text)
    assert header == list(HEADERS)
    assert not set("".join(rule)) - set("-:")
    assert first[:6] == ["minilm × linear-probe", "42", "REGRESSED", "0.9000 → 0.7000", "−20.00", first[5]]
    # Inside HTML a table needs an empty line before it.
    assert "<details><summary>What changed in the environment</summary>\n\n|" in text
    assert ["torch", "2.13.0", "2.14.0"] in list(rows_of(text))


def test_failures_are_in_the_table_even_if_it_is_truncated() -> None:
    many = [of([True] * 20, model=f"m{number}", cell=f"probe-{number}") for number in range(40)]
    text = markdown(make_report(Results(many, [Failure("z-seed1", "z", "zz-last", 1, "broken")])))
    assert next(row for row in list(rows_of(text))[2:])[0] == "z × zz-last"
    assert "… and 33 more" in text


def test_seeds_are_one_row_and_folded_one_by_one() -> None:
    made = [of([True] * 20, seed=seed) for seed in (5, 3, 4, 1)]
    text = markdown(make_report(Results(made, [])))
    visible, _, folded = text.partition("<details><summary>Every seed</summary>")
    assert [row[:2] for row in rows_of(visible)][2:] == [["minilm × linear-probe", "4 seeds"]]
    assert [row[1] for row in rows_of(folded.partition("</details>")[0])][2:] == ["5", "3", "4", "1"]


@pytest.mark.parametrize("is_compared", [False, True])
def test_two_hundred_cells_with_everything_wrong_stay_under_sixty_lines(is_compared: bool) -> None:
    def run(right: list[bool], version: str) -> Results:
        packages = {f"package-{number}": version for number in range(50)}
        base = make_record()
        environment = dataclasses.replace(base.environment, packages={**packages, "torch": version})
        records = [
            of(right, environment, model=f"model-{number}", warnings=(f"warning {number}",), cell=f"c{number}")
            for number in range(200)
        ]
        return Results(records, [Failure(f"f{number}", "m", "x", number, "why\nnot") for number in range(20)])

    before, after = run([True] * 30, "1"), run([False] * 15 + [True] * 15, "2")
    comparison = compare(before, after, tolerance=0.005, alpha=0.01) if is_compared else None
    text = markdown(make_report(after, comparison, ("regressed",), ["a problem"] * 5))
    seen = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert len(seen.splitlines()) < 60
    assert text.count("<details>") == text.count("</details>")
    assert len(text) < 65_536
    if is_compared:
        assert all(f"| package-{number} " in text for number in range(50))
    # Everything that is wrong is there, partly folded.
    assert all(f"warning {number} (" in text for number in range(200))


def test_only_folded_parts_are_truncated_to_fit_a_comment() -> None:
    record = make_record()
    packages = {f"package-{number}-{'long' * 20}": "1" for number in range(2_000)}
    other = dataclasses.replace(record, environment=dataclasses.replace(record.environment, packages=packages))
    warned = dataclasses.replace(other, warnings=tuple(f"{number} {'@a ' * 150}" for number in range(500)))
    comparison = compare(Results([record], []), Results([warned], []), tolerance=0.005, alpha=0.01)
    text = markdown(make_report(Results([warned], []), comparison, ()))
    assert 40_000 < len(text) < 65_536
    assert len(re.findall("… and [0-9]+ more", text)) == 2


def test_failures_and_causes_come_before_notes_and_warnings() -> None:
    record = make_record(warnings=("thin evidence",))
    other = dataclasses.replace(record, settings={**record.settings, "C": 2.0, "max_iter": 7, "dual": True})
    # A setting that changed no answer would be a note.
    other = dataclasses.replace(other, predictions=(0, 1, 1, 0), correct=0, accuracy=0.0)
    many = [dataclasses.replace(other, model=f"m{number}") for number in range(3)]
    before = [dataclasses.replace(record, model=f"m{number}") for number in range(4)]
    before[0] = dataclasses.replace(before[0], seed=7, cell="m0-seed7")
    comparison = compare(Results(before, []), Results(many, []), tolerance=0.005, alpha=0.01)
    text = markdown(make_report(Results(many, []), comparison, ("drifted",), ["a problem"]))
    words = [line[2:].partition(":")[0] for line in text.splitlines() if line.startswith("- ")]
    assert list(dict.fromkeys(words))[:4] == ["ERROR", "incomparable", "missing", "drift"]
    assert list(dict.fromkeys(words))[-2:] == ["note", "warning"]
    visible, folded = text.split("<details><summary>", 1)
    assert ("- drift: " in visible, "- note: a note" in folded) == (True, True)
    assert folded.startswith(f"{len(words) - 5} more findings</summary>")


def test_names_break_neither_table_nor_page() -> None:
    text = markdown(make_report(later(), compared(), ("regressed",)))
    outside = re.sub(r"```sh.*?```", "", text, flags=re.DOTALL)
    assert "script" in outside
    assert set(re.findall(r"(?<!\\)<[^>]*>", outside)) <= {"<details>", "</details>", "<summary>", "</summary>"}
    assert {len(row) for row in rows_of(outside)} == {len(HEADERS), 11, 5, 3}


def test_a_code_fence_is_longer_than_any_in_its_content() -> None:
    text = markdown(make_report(Results([make_record(model="```sh```")], [])))
    assert "\n````sh\n" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<b>", "\\<b\\>"),
        ("*a* _b_ `c`", "\\*a\\* \\_b\\_ \\`c\\`"),
        ("[a](b)", "\\[a\\](b)"),
        ("two\nlines", "two lines"),
        ("back\\slash", "back\\\\slash"),
        ("&lt;b&gt; & co", "\\&lt;b\\&gt; & co"),
        ("cc @somebody, #12, GH-7", "cc @<!-- -->somebody, #<!-- -->12, GH<!-- -->-7"),
        ("https://a.b or www.a.b", "https:/<!-- -->/a.b or www<!-- -->.a.b"),
        ("org/repo#12 costs $5 :tada:", "org/repo#<!-- -->12 costs \\$5 :<!-- -->tada:"),
        ("me@home.org", "me@<!-- -->home.org"),
        ("org/name@main is no mention", "org/name@main is no mention"),
    ],
)
def test_escaped_text_has_no_markup(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_a_script_in_a_name_is_text() -> None:
    assert escaped(SCRIPT).startswith("\\<script\\>")
