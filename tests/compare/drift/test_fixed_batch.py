"""What a fixed batch shows: inputs, dropout, mode, loss and gradients, each named only where it is implied."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.results.packing import packed_floats, packed_text
from pytest_sst2.results.record import Record
from pytest_sst2.results.training_steps import FixedBatch
from tests.support.record_factory import make_record, with_fingerprint

PLAIN = FixedBatch(
    inputs={"attention_mask": "8x20, 90 not 0, aaaa", "labels": "8, 4 not 0, bbbb"},
    loss=0.7,
    cross_entropy=0.7,
    logits=packed_floats([0.1, -0.1] * 8),
    modules=packed_text("embeddings\nlayer.0\nclassifier"),
    gradients=packed_floats([1.0, 0.5, 2.0, -1.0, 3.0, 0.1]),
    dropout={"0.1": 8},
    dropped=0.1,
    activations=100_000,
    masked_losses=(0.71, 0.02),
    logit_gradient=(1.0, 1.0),
)
OTHER_LOGITS = packed_floats([0.3, -0.1] * 8)


def trained(settings: dict[str, Any] | None = None, **changes: Any) -> Record:
    """Return a record with a changed fixed batch."""
    base = make_record(settings={"max_grad_norm": 1.0, **(settings or {})})
    return with_fingerprint(base, training={"fixed_batch": dataclasses.replace(PLAIN, **changes)})


def causes(after: Record) -> tuple[Cause, ...]:
    return drift_causes(trained({name: None for name in after.settings if name != "max_grad_norm"}), after)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"dropout": {}}, "the library's dropout is off in training, made 8 calls at rate 0.1"),
        ({"dropout": {"0.1": 7}}, "in training the library's dropout makes 7 calls at rate 0.1, made 8 calls"),
        ({"dropout": {"0.3": 8}, "dropped": 0.3}, "in training the library's dropout makes 8 calls at rate 0.3, made"),
        ({"dropped": 0.05}, "the library's dropout sets 5.0 % of the activations to zero, was 10.0 %, although its"),
        ({"masked_losses": (0.7, 0.0)}, "the library's dropout no longer changes the loss"),
        ({"mode": "layer.0 0.12"}, "in training mode the model computes something else than in evaluation mode, even"),
        ({"loss": 1.4}, "the loss of the fixed batch is 2 × the cross-entropy of the model's logits, was 1 ×"),
        (
            {"gradients": packed_floats([2.0, 1.0, 4.0, -2.0, 6.0, 0.2])},
            "the gradient of the fixed batch is 2.00 × what it was, from the same inputs, weights and loss",
        ),
        (
            {"gradients": packed_floats([1.1, 0.7, 2.5, -1.0, 3.0, 0.1])},
            "the gradient of the fixed batch differs in 2 of 3 modules, from the same inputs, weights and loss; "
            "backwards from the loss, layer.0 is the first",
        ),
        (
            {"gradients": packed_floats([1.1, 0.7, 2.5, -1.0, 3.3, 0.1]), "logit_gradient": (0.9, 0.95)},
            "the gradient at the logits of the fixed batch is 0.9 × that of the cross-entropy (cosine 0.950), was 1 ×",
        ),
        ({"gradients": packed_floats([0, 0, 2.0, -1.0, 3.0, 0.1])}, "no gradient reaches 1 of 3 modules any more (emb"),
        (
            {"inputs": {**PLAIN.inputs, "attention_mask": "8x20, 160 not 0, cccc"}, "logits": OTHER_LOGITS},
            "in training the model is given other attention_mask for the same sentences: 160 of its values are not",
        ),
        (
            {"inputs": {"labels": PLAIN.inputs["labels"]}, "logits": OTHER_LOGITS},
            "in training the model is no longer g",
        ),
        ({"inputs": {**PLAIN.inputs, "labels": "8, 4 not 0, dddd"}}, "in training the model is given other labels for"),
        ({"logits": OTHER_LOGITS}, "in training, the same inputs and weights give other logits for the fixed batch"),
    ],
)
def test_each_departure_has_one_sentence(changes: dict[str, Any], sentence: str) -> None:
    (cause,) = causes(trained(**changes))
    assert cause.sentence.startswith(sentence)
    assert not cause.is_note


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dropped": 0.102, "masked_losses": (0.69, 0.03)},  # other masks
        {"gradients": packed_floats([1.0001, 0.5, 2.0, -1.0, 3.0, 0.1])},  # another number of threads
        {"inputs": {"labels": PLAIN.inputs["labels"]}},  # an input that is the model's default
    ],
)
def test_harmless_changes_are_no_cause(changes: dict[str, Any]) -> None:
    assert causes(trained(**changes)) == ()


def test_padding_that_moves_no_logit_is_a_note() -> None:
    (cause,) = causes(trained(inputs={**PLAIN.inputs, "attention_mask": "8x24, 90 not 0, cccc"}))
    assert cause.is_note
    assert cause.sentence.endswith("of shape 8x24, was 8x20")


def test_a_setting_mutes_only_what_it_explains() -> None:
    unknown = [cause.where for cause in causes(trained({"ignore_data_skip": True}, loss=1.4))]
    assert unknown == ["loss", "ignore_data_skip"]
    smoothed = [cause.where for cause in causes(trained({"label_smoothing_factor": 0.2}, loss=0.8))]
    assert smoothed == ["label_smoothing_factor"]
