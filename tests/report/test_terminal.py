"""Test the exact text of the summary at the end of a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.report.results_table import cell_rows
from pytest_sst2.report.terminal import summary_lines, table
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import DatasetInfo, Epoch, Failure, Interval, Latency, Phase, Record, Round
from tests.support import record_factory

PACKAGES = {"torch": "2.13.0", "transformers": "5.23.0", "sentence-transformers": "6.2.0", "scikit-learn": "1.9.1"}
ENVIRONMENT = dataclasses.replace(
    record_factory.ENVIRONMENT,
    python="3.11.7",
    platform="Linux x86_64",
    packages=PACKAGES,
    device_name="cpu",
    cpu_model="A CPU",
    blas="openblas 0.3.30",
    variables={},
)
PHASES = (Phase("load", 0.5), Phase("encode", 4.125, 2000), Phase("fit", 0.25, 2000), Phase("predict", 2.0, 872))


def rounds(*phases: Phase, device_peak_bytes: int | None = None) -> tuple[Round, ...]:
    return (Round(7.0, phases, 0.004, 1000 * 2**20, 100 * 2**20, device_peak_bytes),)


def make_record(**changes: Any) -> Record:
    recipe = build_recipe("quick")
    record = record_factory.make_record(
        accuracy=0.8125,
        accuracy_interval=Interval(0.78501, 0.83711),
        correct=13,
        total=16,
        majority_accuracy=0.5,
        dataset=DatasetInfo(
            "sst2", "hub", "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb", "validation", 2000, 872, "d" * 64
        ),
        recipe=recipe,
        recipe_label=recipe.label,
        environment=ENVIRONMENT,
        weights=None,
        settings={},
        fingerprint=None,
        labels=(1,) * 13 + (0,) * 3,
        predictions=(1,) * 16,
        probabilities=(0.9,) * 16,
        rounds=rounds(*PHASES),
        latency=Latency(0.0123, 0.02, 50),
        epochs=(),
        metrics={},
        floor=None,
        warnings=(),
    )
    return dataclasses.replace(record, **changes)


TFIDF = {"cell": "tfidf-seed42", "model": None, "method": "tfidf", "accuracy": 0.75}
FAILURE = Failure("nope-linear-probe-seed42", "nope", "linear-probe", 42, "does not exist")


def records() -> list[Record]:
    return [
        make_record(model="bert-tiny", accuracy=0.625, floor=Floor(0.7, "by hand")),
        make_record(**TFIDF, rounds=rounds(Phase("fit", 0.1), Phase("predict", 0.0))),
        make_record(floor=Floor(0.8, "by hand")),
        make_record(
            cell="minilm-torch-probe-seed42",
            method="torch-probe",
            rounds=rounds(Phase("encode", 0.01, 2000, cached=True), *PHASES[2:]),
        ),
    ]


def test_at_160_columns_the_table_is_complete_grouped_by_method_with_the_best_model_first() -> None:
    assert table(cell_rows(records(), [FAILURE]), 160).split("\n") == [
        "cell                      seeds  accuracy   floor  seconds  train s  encode s  predict s  p50 ms  peak MB  verdict",
        "------------------------  -----  --------  ------  -------  -------  --------  ---------  ------  -------  -----------",
        "minilm × linear-probe     42       0.8125  0.8000     6.38     0.25      4.12       2.00    12.3    1,000  pass",
        "bert-tiny × linear-probe  42       0.6250  0.7000     6.38     0.25      4.12       2.00    12.3    1,000  BELOW FLOOR",
        "nope × linear-probe       42            –       –        –        –         –          –       –        –  FAILED",
        "tfidf                     42       0.7500       –     0.10     0.10         –       0.00    12.3    1,000  no floor",
        "minilm × torch-probe      42       0.8125       –   cached     0.25    cached       2.00    12.3    1,000  no floor",
    ]


def test_80_columns_keep_accuracy_floor_seconds_memory_and_verdict() -> None:
    assert table(cell_rows(records(), [FAILURE]), 80).split("\n") == [
        "cell                      seeds  accuracy   floor  seconds  peak MB  verdict",
        "------------------------  -----  --------  ------  -------  -------  -----------",
        "minilm × linear-probe     42       0.8125  0.8000     6.38    1,000  pass",
        "bert-tiny × linear-probe  42       0.6250  0.7000     6.38    1,000  BELOW FLOOR",
        "nope × linear-probe       42            –       –        –        –  FAILED",
        "tfidf                     42       0.7500       –     0.10    1,000  no floor",
        "minilm × torch-probe      42       0.8125       –   cached    1,000  no floor",
        "(no room at 80 columns for: p50 ms, predict s, encode s, train s)",
    ]


@pytest.mark.parametrize("width", [52, 60, 80, 100, 120, 140])
def test_a_long_model_name_does_not_exceed_the_width_of_the_terminal(width: int) -> None:
    named = [make_record(model="an-organisation/a-model-with-a-very-long-name@revision"), *records()]
    *lines, _ = table(cell_rows(named, [FAILURE]), width).split("\n")
    assert max(map(len, lines)) <= max(width, 62)
    for header in ("accuracy", "floor", "seconds", "peak MB", "verdict"):
        assert header in lines[0]


def test_without_a_limit_the_table_is_complete() -> None:
    assert table(cell_rows(records())) == table(cell_rows(records()), 1000)


def test_gpu_memory_is_next_to_that_of_the_process() -> None:
    record = make_record(rounds=rounds(*PHASES, device_peak_bytes=500 * 2**20))
    assert "1,000 + 500 GPU" in table(cell_rows([record]))


def test_seeds_are_one_row_with_mean_and_standard_deviation_and_then_one_by_one_in_their_order() -> None:
    seeds = {7: 0.8125, 1: 0.75, 3: 0.875, 2: 0.8125}
    made = [make_record(seed=seed, accuracy=accuracy, floor=Floor(0.8, "by hand")) for seed, accuracy in seeds.items()]
    failure = Failure("minilm-linear-probe-seed9", "minilm", "linear-probe", 9, "out of memory")
    lines = summary_lines(made, [], [], [], 100)
    assert lines[4].split("  ")[:3] == ["minilm × linear-probe", "4 seeds", "0.8125 ± 0.0510"]
    assert lines[4].endswith("1 of 4 BELOW FLOOR")
    assert lines[6] == "minilm × linear-probe: seed 7 0.8125, seed 1 0.7500, seed 3 0.8750, seed 2 0.8125"
    lines = summary_lines(made, [failure], [], [], 100)
    assert lines[4].endswith("1 of 5 FAILED")
    assert lines[6].endswith("seed 2 0.8125, seed 9 –")


def test_verbose_shows_the_learning_curve_of_each_seed() -> None:
    curve = (Epoch(1, 0.69, 0.6931, 0.5), Epoch(2, 0.4, 0.51, 0.75))
    made = [make_record(epochs=curve), make_record()]
    shown = summary_lines(made, [], [], [], 60, verbose=True)
    start = shown.index("cell         epoch  training loss  evaluation loss  accuracy")
    assert shown[start + 2 : start + 5] == [
        "minilm × l…      1         0.6900           0.6931    0.5000",
        "minilm × l…      2         0.4000           0.5100    0.7500",
        "",
    ]
    assert "training loss" not in "".join(summary_lines(made, [], [], [], 60))
    assert "training loss" not in "".join(summary_lines([make_record()], [], [], [], 60, verbose=True))


def test_a_floor_of_zero_asks_for_nothing() -> None:
    (row,) = cell_rows([make_record(floor=Floor(0.0, "given by --sst2-min-accuracy"))])
    assert (row.floor, row.verdict) == (None, "no floor")
