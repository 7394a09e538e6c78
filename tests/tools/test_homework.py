"""docs/homework.md: its tables are those of tools/docs/homework.py, filled here from records of the record factory."""

import dataclasses
import re

import pytest

from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.results.file import Results
from tests.support.record_factory import answered, make_record
from tools.docs import homework

PAGE = homework.PAGE.read_text(encoding="utf-8")
RIGHT = {"fine-tune": 180, "linear-probe": 150, "tfidf": 140, "majority": 110}


def made_results() -> dict[str, Results]:
    """Return results in which fine-tuning beats the frozen encoder, unless it reads five tokens."""
    results = {}
    for name, arguments in homework.runs("SST-2", ["minilm"], "42,43").items():
        methods = arguments[arguments.index("--methods") + 1].split(",")
        dataset = dataclasses.replace(make_record().dataset, split="validation" if "validation" in name else "heldout")
        records = []
        for method in methods:
            right = 120 if "five-tokens" in name else RIGHT[method]
            record = answered(
                [row < right for row in range(200)],
                model="minilm" if method in ("fine-tune", "linear-probe") else None,
                method=method,
            )
            interval = wilson_interval(right, 200)
            records.append(dataclasses.replace(record, dataset=dataset, accuracy_interval=interval))
        results[name] = Results(records, [], origin=f"{name}.json")
    return results


TABLES = homework.tables(["minilm"], made_results())


def headers(page: str) -> list[str]:
    return re.findall(r"^(\|.*)\n\| ---", page, re.MULTILINE)


def test_the_page_has_the_blocks_and_columns_that_the_script_writes():
    assert headers(homework.filled(PAGE, TABLES)) == headers(PAGE)
    assert PAGE.count("<!-- end -->") == len(TABLES) + 1  # and the environment


def test_numbers_are_those_of_the_records():
    assert "| minilm, fine-tuned | – | 0.6000 (0.531–0.665) | 0.9000 (0.851–0.934) |" in TABLES["accuracies"]
    assert "| RoBERTa-base, fine-tuned | 0.5518 | not measured | not measured | not measured |" in TABLES["accuracies"]


def test_the_better_way_is_that_of_the_gate():
    published, whole, validation = TABLES["conclusion"].splitlines()[2:]
    assert [row.rsplit("| ", 1)[1] for row in (published, whole, validation)] == [
        "frozen |",
        "fine-tuned |",
        "fine-tuned |",
    ]


def test_a_page_without_a_block_is_refused():
    with pytest.raises(SystemExit, match="0 blocks '<!-- accuracies -->'"):
        homework.filled("# The homework", TABLES)
