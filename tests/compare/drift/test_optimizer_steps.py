"""What the steps of a training show: clipping, updates, learning rates, and where two trainings part."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_sst2.compare.drift.optimizer_steps import since_step
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.record import Record
from pytest_sst2.results.training_steps import TrainingSteps, kept_steps
from tests.support.record_factory import make_record, with_fingerprint
from tests.support.sentences_of_causes import drift_sentences

STEPS = 8
KEPT = len(kept_steps(STEPS))
PLAIN = TrainingSteps(
    trace=packed_floats([0.7, 4.0, 1.0] * KEPT),
    rates=packed_floats([1e-3] * 2 * KEPT),
    group_sizes=(90, 10),
    rule="AdamW",
)


def trained(watched: TrainingSteps = PLAIN, **changes: Any) -> Record:
    """Return a record of eight steps with a clipping norm of 1."""
    base = make_record(settings={"max_grad_norm": 1.0})
    return with_fingerprint(base, training={"steps": STEPS, "watched": watched, **changes})


def test_kept_steps_begin_with_the_first_four_and_end_with_the_last() -> None:
    assert kept_steps(0) == ()
    assert kept_steps(3) == (1, 2, 3)
    assert kept_steps(8) == (1, 2, 3, 4, 6, 8)
    assert kept_steps(2000)[-1] == 2000
    assert len(kept_steps(2000)) < 22


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, None),
        (
            {"trace": packed_floats([0.7, 4.0, 4.0] * KEPT)},
            "gradients are not clipped: at step 1 the optimiser is given",
        ),
        (
            {"trace": packed_floats([0.7, 4.0, 2.0] * KEPT)},
            "at step 1 the optimiser is given a gradient of norm 2; clipp",
        ),
        ({"trace": packed_floats([0.7, 4.0, 0.9] * KEPT), "group_sizes": (80, 10)}, None),
        ({"skipped": 3}, "the optimiser made a step in 5 of 8 training steps, made one in each"),
        (
            {"deviating": 2, "first_deviating": 5, "deviation": "scaled 3"},
            "in 2 of 8 steps, first in step 5, the weights do not move as AdamW states: the update is 3 × what",
        ),
        (
            {"deviating": 8, "first_deviating": 1, "deviation": "scaled 1"},
            "in 8 of 8 steps, first in step 1, the weights do not move as AdamW states: the update is not exactly the",
        ),
        (
            {"deviating": 1, "first_deviating": 5, "deviation": "future word"},
            "in 1 of 8 steps, first in step 5, the weigh",
        ),
        (
            {"outside": 1, "first_outside": 9, "outside_change": "rounded bfloat16"},
            "something other than the optimiser changes the weights (after the last step): they are rounded to",
        ),
        (
            {"rates": packed_floats([1e-3] * (2 * KEPT - 1) + [1e-4])},
            "the learning rate of parameter group 2 of 2 (10 weights) is 0.0001 at step 8, was 0.001",
        ),
        ({"rates": packed_floats([1e-3] * 3 * KEPT), "group_sizes": (50, 10, 40)}, None),
        (
            {"rates": packed_floats([1e-4] * KEPT + [1e-3] * 2 * KEPT), "group_sizes": (50, 10, 40)},
            "the learning rate of 50 of 100 weights is 0.0001 at step 1, was 0.001",
        ),
    ],
)
def test_each_departure_has_its_sentence(changes: dict[str, Any], sentence: str | None) -> None:
    causes = drift_sentences(trained(), trained(dataclasses.replace(PLAIN, **changes)))
    assert len(causes) == (sentence is not None)
    assert sentence is None or causes[0].startswith(sentence)


def test_what_both_sides_do_is_no_change() -> None:
    wrong = dataclasses.replace(PLAIN, deviating=2, first_deviating=5, deviation="scaled 3", outside=1, first_outside=2)
    assert drift_sentences(trained(wrong), trained(wrong)) == ()


def test_rows_of_later_epochs_in_another_order_are_a_cause() -> None:
    before, after = (trained(dataclasses.replace(PLAIN, later_order=digest)) for digest in ("aa", "bb"))
    (sentence,) = drift_sentences(before, after)
    assert sentence.startswith("from epoch 2 on, the optimiser was given other rows, or the rows in another order")


def test_the_first_step_with_another_loss_is_named() -> None:
    def of(losses: list[float], norm: float = 4.0) -> TrainingFingerprint:
        trace = packed_floats([value for loss in losses for value in (loss, norm, 1.0)])
        return TrainingFingerprint(steps=STEPS, watched=dataclasses.replace(PLAIN, trace=trace))

    before, after = of([0.7] * KEPT), of([0.7, 0.7, 0.7, 0.7, 0.6, 0.5])
    assert since_step(before, after) == (
        "from step 6 of training on, whose loss is 0.6, was 0.7; up to step 4 it is equal"
    )
    assert since_step(before, of([0.7] * KEPT, norm=5.0)) == (
        "from step 1 of training on, whose loss is equal, but whose gradient has norm 5, was 4"
    )
    assert since_step(before, before) == "although the losses of the recorded steps are equal"
