"""Faults of the data and of the predictions."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pytest_sst2.data.splits import Examples, Splits
from tests.faults.harness import LINEAR, MAJORITY, TUNE, WORDS, World, fault
from tests.faults.injecting import around, evaluation_rows, flipped, taken, train_rows, with_splits


@fault("all training labels flipped", (LINEAR, TUNE, WORDS), "incomparable", r"training labels: (\d+) of \1 sentences")
def _train_labels(patch: pytest.MonkeyPatch, world: World) -> None:
    train_rows(patch, lambda rows: flipped(rows, 1.0))


@fault("all evaluation labels flipped", (LINEAR, MAJORITY), "incomparable", r"evaluation labels: (\d+) of \1 sentences")
def _evaluation_labels(patch: pytest.MonkeyPatch, world: World) -> None:
    evaluation_rows(patch, lambda rows: flipped(rows, 1.0))


@fault("2 % of the training labels flipped", (LINEAR, TUNE), "incomparable", r"training labels: \d+ of \d+ sentences")
def _few_labels(patch: pytest.MonkeyPatch, world: World) -> None:
    train_rows(patch, lambda rows: flipped(rows, 0.02))


@fault("training rows shuffled otherwise", (LINEAR, TUNE), "incomparable", r"training order: the same rows")
def _train_order(patch: pytest.MonkeyPatch, world: World) -> None:
    train_rows(patch, lambda rows: taken(rows, np.random.default_rng(7).permutation(len(rows))))


@fault("duplicate rows in validation", (LINEAR,), "incomparable", r"evaluation sentences: \d+ rows, \d+ distinct, were")
def _duplicates(patch: pytest.MonkeyPatch, world: World) -> None:
    evaluation_rows(patch, lambda rows: taken(rows, np.arange(len(rows)) // 2 * 2))


@fault("other training rows", (LINEAR,), "incomparable", r"training sentences: .*not the same")
def _other_rows(patch: pytest.MonkeyPatch, world: World) -> None:
    train_rows(patch, lambda rows: Examples([f"{text} indeed" for text in rows.sentences], rows.labels))


@fault("another seed", (LINEAR, TUNE), "incomparable", r"seed 43, was 42")
def _seed(patch: pytest.MonkeyPatch, world: World) -> World:
    return world.with_recipe(seeds=(43,))


@fault("another recipe value", (TUNE,), "incomparable", r"recipe epochs \d+, was \d+")
def _recipe(patch: pytest.MonkeyPatch, world: World) -> World:
    return world.with_recipe(epochs=world.recipe.epochs + 1)


@fault("other data", (LINEAR,), "incomparable", r"data other, was ")
def _data(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(splits: Splits) -> Splits:
        rows = Examples([f"{text} too" for text in splits.evaluation.sentences], splits.evaluation.labels)
        return dataclasses.replace(splits, evaluation=rows, info=dataclasses.replace(splits.info, name="other"))

    with_splits(patch, change)


@fault("predictions inverted", (LINEAR, MAJORITY), "regressed", r"predictions.*opposite")
def _inverted(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.runner.measured_round import MeasuredRound

    patch.setattr(MeasuredRound, "predictions", property(lambda self: (self.probabilities <= 0.5).astype(np.int64)))


@fault("probability of the other class taken", (LINEAR, TUNE), "regressed", r"opposite")
def _other_class(patch: pytest.MonkeyPatch, world: World) -> None:
    from sklearn.linear_model import LogisticRegression

    from pytest_sst2.methods.sequence_classifier import SequenceClassifier

    around(patch, LogisticRegression, "predict_proba", lambda original, *args: original(*args)[:, ::-1])
    around(patch, SequenceClassifier, "__call__", lambda original, *args: 1 - original(*args))


@fault("threshold moved to 0.7", (LINEAR, TUNE), "named", r"threshold is between 0\.[567]\d and")
def _threshold(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.runner.measured_round import MeasuredRound

    patch.setattr(MeasuredRound, "predictions", property(lambda self: (self.probabilities > 0.7).astype(np.int64)))


@fault(
    "answers mixed up on the way from the classifier", (LINEAR, WORDS), "regressed", r"answers changed.*7 places before"
)
def _mixed_up(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.runner.cell_runner import CellRunner

    def mixed(original: Any, self: Any, predict: Any) -> Any:
        checked = original(self, predict)
        return lambda rows: np.roll(checked(rows), 7) if len(rows) == len(self.splits.evaluation) else checked(rows)

    around(patch, CellRunner, "_checked", mixed)


@fault("spaces at the ends of the training sentences", (LINEAR,), "incomparable", r"with other spaces, case or accents")
def _spaces(patch: pytest.MonkeyPatch, world: World) -> None:
    train_rows(patch, lambda rows: Examples([f"{text} " for text in rows.sentences], rows.labels))
