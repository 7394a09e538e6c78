"""Hand-made comparisons of one cell each, and one of several cells."""

from __future__ import annotations

import dataclasses

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.cell_times import PhaseTimeChange
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.peak_memory import PeakMemoryChange
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.results.environment_diff import EnvironmentChange

CHANGE = AccuracyChange(
    before=0.8364,
    after=0.8125,
    delta=-0.0239,
    at_worst=-0.041,
    at_best=-0.007,
    p_worse=0.00004,
    p_better=0.9999,
    losses=30,
    gains=9,
    examples=872,
    seeds=1,
    test="exact McNemar",
)
SMALL = dataclasses.replace(CHANGE, after=0.8314, delta=-0.005, at_worst=-0.019, at_best=0.009, seeds=5)
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
DRIFT = (Cause("pooling cls, was mean", "config"),)
REGRESSED = CellComparison(
    "minilm",
    "linear-probe",
    (42,),
    "regressed",
    accuracy=CHANGE,
    adjusted_p=0.00008,
    causes=DRIFT,
    speed_and_memory=SLOWER,
    notes=("one seed",),
)
UNDECIDED = CellComparison(
    "albert",
    "fine-tune",
    (1, 2, 3, 4, 5),
    "undecided",
    accuracy=SMALL,
    adjusted_p=0.4,
    causes=DRIFT,
    speed_and_memory=FASTER,
    would_decide="8 seeds (about 6 min)",
)
HELD = CellComparison(
    "minilm", "torch-probe", (42,), "held", accuracy=dataclasses.replace(SMALL, delta=0.001, at_worst=-0.006)
)
IDENTICAL = CellComparison(None, "majority", (42,), "identical", accuracy=dataclasses.replace(SMALL, delta=0.0))
INCOMPARABLE = CellComparison(None, "tfidf", (7,), "incomparable", ("seed 7, was 42",))
ENVIRONMENT = (EnvironmentChange("torch", "2.4", "2.5"), EnvironmentChange("OMP_NUM_THREADS", None, "2"))


def comparison(*cells: CellComparison, environment: tuple[EnvironmentChange, ...] = ()) -> Comparison:
    return Comparison("main", "this run", "2026-08-01T12:00:00+00:00", 0.01, 0.01, cells, environment, (), ())


WHOLE = dataclasses.replace(
    comparison(REGRESSED, UNDECIDED, INCOMPARABLE, environment=ENVIRONMENT),
    only_before=("albert × tfidf",),
    only_after=("mpnet × fine-tune",),
    age_seconds=12.7 * 86_400,
    commits=("0123456ab", "fedcba987 with uncommitted changes"),
)
