"""Records of cells with fixed predictions, with numbers worked by hand."""

from __future__ import annotations

import gc
import math
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.config.specs import Cell, MethodSpec
from pytest_sst2.data.splits import Examples, Splits
from pytest_sst2.methods import majority
from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.majority import majority_accuracy
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.floors import Floor, FloorKey
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.probe_sentences import probe_sentences
from pytest_sst2.results.record import DatasetInfo, Epoch, Placement, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.runner import cell_runner
from pytest_sst2.runner.cell_runner import CellRunner, Shared, wilson_interval
from pytest_sst2.utils.errors import Sst2Error

# The warning of every record with one seed and these ten sentences.
THIN = "thin evidence: one seed and 10 examples"
SENTENCES = [f"sentence number {number}" for number in range(10)]
LABELS = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0])


def splits() -> Splits:
    info = DatasetInfo("tiny", "folder", "sha256:0", "validation", 4, 10, "d" * 64)
    return Splits(Examples(["a", "b", "c", "d"], np.array([1, 1, 1, 0])), Examples(SENTENCES, LABELS), info)


def make_runner(
    train: Callable[[Job], Any],
    environment: Any,
    metric_names: Sequence[str] = (),
    name: str = "fixed",
    placement: Placement | None = None,
) -> CellRunner:
    cell = Cell(None, MethodSpec(name, train, needs_model=False), 42)
    where = placement or Placement()
    shared = Shared(build_recipe("quick"), ModelLoader("cpu"), where, metric_names)
    return CellRunner(cell, splits(), environment, shared)


def answering(values: Sequence[float]) -> Callable[[Job], Any]:
    """Return a method whose classifier returns a fixed probability for each of the ten sentences."""
    by_sentence = {**dict.fromkeys(probe_sentences(), 0.75), **dict(zip(SENTENCES, values, strict=True))}

    def train(job: Job) -> Any:
        with job.clock.phase("fit", examples=len(job.train)):
            pass
        return lambda sentences: np.array([by_sentence[sentence] for sentence in sentences])

    return train


def no_floor(key: FloorKey) -> Floor | None:
    return None


@pytest.fixture(scope="module")
def environment() -> Any:
    from pytest_sst2.instruments.environment import collect_environment

    return collect_environment("cpu")


def measure(runner: CellRunner, floor_for: Callable[[FloorKey], Floor | None] = no_floor) -> Record:
    runner.prepare_round()
    runner.run_round()
    return runner.record(floor_for)


def test_a_frozen_clock_loses_neither_the_cell_nor_its_times(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # As freezegun does: it replaces the functions in ``time``, and in every module that has one as an attribute.
    others = [module for name, module in sys.modules.items() if not name.startswith("_pytest")]
    for name in ("time", "perf_counter", "monotonic"):
        real, frozen = getattr(time, name), lambda: 1.0
        for module in others:
            if getattr(module, name, None) is real:
                monkeypatch.setattr(module, name, frozen)
    record = measure(make_runner(answering([0.9] * 10), environment))
    (round_,) = record.rounds
    assert round_.seconds > 0
    assert round_.machine_seconds
    assert record.latency.p50_seconds > 0


def test_a_clock_that_does_not_advance_leaves_the_machine_speed_unmeasured(
    environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cell_runner, "machine_seconds", lambda *_: 0.0)
    (round_,) = measure(make_runner(answering([0.9] * 10), environment)).rounds
    assert (round_.machine_seconds, round_.machine_spread) == (None, 0.0)


def test_a_record_holds_the_arithmetic(environment: Any) -> None:
    # Right: five of six positives, three of four negatives (0.5 is negative, so right for the last one).
    values = [0.9, 0.8, 0.7, 0.6, 0.51, 0.2, 0.1, 0.2, 0.8, 0.5]
    record = measure(make_runner(answering(values), environment, ["precision", "recall"]))
    assert (record.correct, record.total, record.accuracy) == (8, 10, 0.8)
    assert list(record.predictions) == [1, 1, 1, 1, 1, 0, 0, 0, 1, 0]
    assert list(record.probabilities) == values
    assert record.majority_accuracy == 0.6
    assert record.metrics == pytest.approx({"precision": 5 / 6, "recall": 5 / 6})
    assert [phase.name for phase in record.phases] == ["fit", "predict"]
    assert record.phases[1].examples == 10
    assert record.latency.samples == 10
    assert record.peak_bytes > 50 * 2**20
    assert record.device_peak_bytes is None
    assert record.weights is None
    assert list(record.labels) == LABELS.tolist()
    assert record.warnings == (
        "no better than always answering the more frequent class: the 95 % interval starts at 0.490; always giving "
        "that answer scores 0.600",
        THIN,
    )


def test_the_cost_of_a_round_excludes_fingerprints(environment: Any) -> None:
    def train(job: Job) -> Any:
        with job.clock.phase("fit", examples=4):
            time.sleep(0.01)
        with job.clock.phase("fingerprint"):
            time.sleep(0.5)
        time.sleep(0.05)
        return lambda sentences: np.full(len(sentences), 0.9)

    record = measure(make_runner(train, environment))
    (cost,) = record.rounds
    assert [phase.name for phase in cost.phases] == ["fit", "predict"]
    assert 0.06 <= cost.seconds < 0.5  # fit, predict, and time outside any phase
    assert cost.machine_seconds is not None
    assert 0 < cost.machine_seconds < 1
    assert cost.peak_growth_bytes is not None
    assert cost.peak_growth_bytes >= 0


def test_the_fingerprint_is_taken_of_the_rows_and_of_the_classifier(environment: Any) -> None:
    runner = make_runner(answering([0.9] * 10), environment)
    fingerprint = measure(runner).fingerprint
    assert fingerprint is not None
    assert (fingerprint.train.count, fingerprint.evaluation.count) == (4, 10)
    assert (fingerprint.tokens, fingerprint.encoder, fingerprint.training) == (None, None, None)
    assert fingerprint.repeat_max_diff == 0.0
    # The log-odds of three in four are log 3.
    assert unpacked_floats(fingerprint.logits) == pytest.approx([math.log(3)] * 16)


def test_the_learning_curve_ends_with_what_the_classifier_reached(environment: Any) -> None:
    first = Epoch(1, 0.7, 0.6, 0.5)
    runner = make_runner(lambda _job: Trained(answering([0.9] * 10)(_job), {}, [first], 0.25), environment)
    record = measure(runner)
    last = record.epochs[-1]
    assert record.epochs[:-1] == (first,)
    assert (last.number, last.train_loss, last.eval_accuracy) == (2, 0.25, record.accuracy)
    right, wrong = record.correct, record.total - record.correct
    assert last.eval_loss == pytest.approx(-(right * math.log(0.9) + wrong * math.log(0.1)) / record.total, abs=1e-6)


def test_only_the_first_round_takes_fingerprints(environment: Any) -> None:
    enabled: list[bool] = []

    def train(job: Job) -> Any:
        enabled.append(job.recorder.enabled)
        return lambda sentences: np.full(len(sentences), 0.9)

    runner = make_runner(train, environment)
    for _ in range(3):
        runner.prepare_round()
        runner.run_round()
    assert enabled == [True, False, False]
    assert len(runner.record(no_floor).rounds) == 3


def test_a_random_classifier_causes_a_warning(environment: Any) -> None:
    draws = np.random.default_rng(0)
    runner = make_runner(lambda job: lambda sentences: draws.uniform(0.6, 0.7, len(sentences)), environment)
    record = measure(runner)
    assert record.fingerprint is not None
    assert 0.01 < record.fingerprint.repeat_max_diff < 0.1
    assert [warning for warning in record.warnings if warning.startswith("predicting twice")]


def test_a_record_survives_the_way_through_json(environment: Any) -> None:
    record = measure(make_runner(answering([0.25] * 5 + [0.75] * 5), environment))
    assert record_from_json(record.to_json()).to_json() == record.to_json()


def test_the_floor_is_looked_up_for_this_very_cell(environment: Any) -> None:
    keys: list[FloorKey] = []

    def floor_for(key: FloorKey) -> Floor:
        keys.append(key)
        return Floor(0.9, "by hand")

    record = measure(make_runner(answering([0.9] * 10), environment), floor_for)
    assert keys == [FloorKey("tiny", "quick", "", "fixed")]
    assert record.accuracy == 0.6
    assert not record.reaches_floor


def test_an_accuracy_equal_to_its_floor_reaches_it(environment: Any) -> None:
    record = measure(make_runner(answering([0.9] * 10), environment), lambda key: Floor(0.6, "by hand"))
    assert record.reaches_floor


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        (np.full(9, 0.5), "array of shape (9,) for 10 sentences"),
        (np.full((10, 2), 0.5), "array of shape (10, 2) for 10 sentences"),
        (None, "NoneType for 10 sentences"),
        (["good"] * 10, "list for 10 sentences"),
        (np.array([np.nan] + [0.5] * 9), "1 invalid probabilities for 10 sentences"),
        (np.array([1.5, -0.1] + [0.5] * 8), "2 invalid probabilities for 10 sentences"),
    ],
)
def test_invalid_probabilities_are_refused(answer: Any, fragment: str, environment: Any) -> None:
    runner = make_runner(lambda job: lambda sentences: answer, environment)
    with pytest.raises(Sst2Error) as caught:
        runner.run_round()
    assert fragment in str(caught.value)
    assert "'fixed'" in str(caught.value)


def test_a_collapsed_classifier_is_told_apart_from_the_majority_method(environment: Any) -> None:
    assert measure(make_runner(answering([0.1] * 10), environment)).warnings == (
        "collapsed: every prediction is negative",
        THIN,
    )
    assert measure(make_runner(answering([0.1] * 10), environment, name="majority")).warnings == (THIN,)


def test_training_sentences_among_the_evaluation_sentences_are_counted(environment: Any) -> None:
    runner = make_runner(answering([0.9] * 6 + [0.1] * 4), environment)
    leaked = Examples([*SENTENCES[:2], "c", "d"], np.array([1, 1, 1, 0]))
    runner.splits = Splits(leaked, runner.splits.evaluation, runner.splits.info)
    assert measure(runner).warnings[0] == "2 of 10 evaluation sentences are also training sentences"


def test_concurrent_workers_cause_a_warning(environment: Any) -> None:
    runner = make_runner(answering([0.9] * 6 + [0.1] * 4), environment, placement=Placement("xdist", "here", "gw1", 2))
    assert measure(runner).warnings == (
        THIN,
        "timed next to 2 other workers; --sst2-exclusive times cells alone",
    )


def test_rounds_that_disagree_are_not_hidden(environment: Any) -> None:
    rounds = iter([0.0, 0.6])

    def fickle(job: Job) -> Any:
        shift = next(rounds)
        return lambda sentences: np.array([0.3 + shift * (index < 3) for index in range(len(sentences))])

    runner = make_runner(fickle, environment)
    runner.prepare_round()
    runner.run_round()
    record = measure(runner)
    assert "not reproducible: rounds of the same seed differ in up to 3 predictions" in record.warnings
    assert len(record.rounds) == 2
    assert record.accuracy == 0.4  # the first round's: all negative


def test_the_model_of_a_round_is_freed_before_the_next_trains(environment: Any) -> None:
    alive: list[weakref.ref[Any]] = []
    alive_at_start: list[int] = []

    class Classifier:
        def __call__(self, sentences: Sequence[str]) -> np.ndarray:
            return np.full(len(sentences), 0.9)

    def train(job: Job) -> Trained:
        alive_at_start.append(sum(reference() is not None for reference in alive))
        classifier = Classifier()
        alive.append(weakref.ref(classifier))
        return Trained(classifier)

    runner = make_runner(train, environment)
    for _ in range(3):
        runner.prepare_round()
        runner.run_round()
    assert alive_at_start == [0, 0, 0]
    gc.collect()
    assert [reference() is not None for reference in alive] == [False, False, True]
    assert runner.record(no_floor).accuracy == 0.6


def test_one_seed_is_thin_evidence_only_where_training_may_be_random(environment: Any) -> None:
    def mine(job: Job) -> Trained:
        return majority.train(job)

    assert THIN in measure(make_runner(mine, environment)).warnings
    assert "thin evidence: 10 examples" in measure(make_runner(majority.train, environment)).warnings


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [
        # Wilson: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n) with z = 1.959964, worked for p = 0.8, n = 10:
        # centre (0.8 + 0.192073) / 1.384146 = 0.716740,
        # half width 1.959964 sqrt(0.016 + 0.009604) / 1.384146 = 0.226575
        (8, 10, 0.490165, 0.943315),
        (0, 10, 0.0, 0.277533),
        (10, 10, 0.722467, 1.0),
    ],
)
def test_the_interval_is_wilsons(correct: int, total: int, low: float, high: float) -> None:
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=5e-5)


def test_majority_accuracy_predicts_the_more_common_training_class() -> None:
    assert majority_accuracy(np.array([1, 1, 0]), np.array([1, 0, 0, 0])) == 0.25
    assert majority_accuracy(np.array([1, 0]), np.array([1, 0, 0, 0])) == 0.75
