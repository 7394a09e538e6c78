"""Test the causes of a changed optimisation, first step or prediction, each alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.training import (
    FIRST_GRADIENT_TOLERANCE,
    FIRST_LOSS_TOLERANCE,
    FIRST_UPDATE_TOLERANCE,
)
from pytest_sst2.results.fingerprint import CONVERGED_GRADIENT, REPEAT_TOLERANCE, TrainingFingerprint
from pytest_sst2.results.packing import packed_floats, unpacked_floats
from pytest_sst2.results.record import Record
from tests.support.record_factory import make_record, token_digests, with_fingerprint
from tests.support.sentences_of_causes import drift_sentences

BASE = make_record()
TRAINING = BASE.fingerprint.training
LOGITS = np.array(unpacked_floats(BASE.fingerprint.logits))


def trained(base: Record = BASE, **changes: Any) -> Record:
    return with_fingerprint(base, training=changes)


def with_settings(record: Record, **changes: Any) -> Record:
    return dataclasses.replace(record, settings={**record.settings, **changes})


def cause(after: Record, before: Record = BASE) -> str:
    (only,) = drift_sentences(before, after)
    return only


class TestOptimiser:
    def test_another_optimiser_or_option_is_named(self) -> None:
        options = {**TRAINING.optimizer, "optimizer": "SGD"}
        assert cause(trained(optimizer=options)) == "the optimiser is SGD, was AdamW"
        options = {**TRAINING.optimizer, "betas": "(0.9, 0.95)", "new": "5"}
        assert cause(trained(optimizer=options)) == "the optimiser's betas (0.9, 0.95), was (0.9, 0.999)"

    def test_an_option_that_a_setting_explains_is_not_a_second_cause(self) -> None:
        before = with_settings(BASE, adam_beta2=0.999, weight_decay=0.0)
        after = with_settings(BASE, adam_beta2=0.95, weight_decay=0.1)
        options = {"optimizer": "AdamW", "betas": "(0.9, 0.95)", "weight_decay": "0.1"}
        causes = drift_sentences(before, trained(after, optimizer=options))
        assert causes == ("adam_beta2 0.95, was 0.999", "weight_decay 0.1, was 0")

    def test_another_learning_rate_or_schedule(self) -> None:
        highest = cause(trained(learning_rate=2e-4, mean_learning_rate=1e-4))
        assert highest == "the optimiser's highest learning rate is 0.0002, was 0.0001"
        assert cause(trained(mean_learning_rate=1e-4)) == (
            "the optimiser's learning rate is 0.0001 on average, was 5e-05, with the same highest rate: another "
            "schedule"
        )
        assert drift_sentences(BASE, trained(learning_rate=1.00001e-4)) == ()
        before, after = with_settings(BASE, learning_rate=1e-4), with_settings(BASE, learning_rate=2e-4)
        assert cause(trained(after, learning_rate=2e-4), before) == "learning_rate 0.0002, was 0.0001"

    def test_another_number_of_steps(self) -> None:
        assert cause(trained(steps=1_600)) == "1,600 training steps, were 32"

    def test_iterations_of_a_solver_are_not_training_steps(self) -> None:
        frozen = TrainingFingerprint(steps=20, last_gradient=1e-5)
        before, after = (with_fingerprint(training=dataclasses.replace(frozen, steps=steps)) for steps in (20, 25))
        assert drift_sentences(before, after) == ()

    @pytest.mark.parametrize(("gradient", "is_cause"), [(CONVERGED_GRADIENT, False), (2e-3, True)])
    def test_a_solver_that_stopped_before_its_minimum(self, gradient: float, is_cause: bool) -> None:
        before = with_fingerprint(training=TrainingFingerprint(steps=20, last_gradient=1e-5))
        after = with_fingerprint(training=TrainingFingerprint(steps=5, last_gradient=gradient))
        causes = drift_sentences(before, after)
        assert bool(causes) is is_cause
        assert not is_cause or (
            "not at the minimum of its objective (gradient 2.0e-03, was 1.0e-05; 5 iterations, were 20): stopped before"
            in causes[0]
        )

    def test_parts_that_are_no_longer_trained_are_frozen(self) -> None:
        assert cause(trained(trained=("classifier",))) == (
            "the training no longer changes 3 parts of the encoder (embeddings, layer 0, layer 1)"
        )
        assert cause(BASE, trained(trained=("classifier", "layer 1"))).startswith(
            "the training now changes 2 parts of the encoder (embeddings, layer 0)"
        )


class TestTrainingRows:
    def test_other_rows_of_tokens_than_the_tokenizer_made(self) -> None:
        assert "given other rows of tokens in its first pass" in cause(trained(order="9999:8888"))
        # Another tokenizer or another number of steps is a cause of its own.
        other = with_fingerprint(trained(order="9999:8888"), tokens={"ids": token_digests(3)})
        assert "token ids differ" in cause(other)
        assert cause(trained(order="9999:8888", steps=64)) == "64 training steps, were 32"

    def test_other_tokens_or_labels_in_the_first_batch(self) -> None:
        assert "other tokens in its first batch" in cause(trained(first_batch="9999:cdcd"))
        assert "other labels with its first batch" in cause(trained(first_batch="abab:9999"))
        for unknown in ("", "abab:"):
            assert drift_sentences(BASE, trained(first_batch=unknown)) == ()


class TestFirstStep:
    @pytest.mark.parametrize(("factor", "is_cause"), [(1.0, False), (0.9, False), (1.1, True)])
    def test_loss_gradient_and_update_may_change_as_much_as_with_dropout(self, factor: float, is_cause: bool) -> None:
        for name, tolerance, words in (
            ("first_loss", FIRST_LOSS_TOLERANCE, "loss of the first batch "),
            ("first_gradient_norm", FIRST_GRADIENT_TOLERANCE, "gradient of the first batch "),
            ("first_update", FIRST_UPDATE_TOLERANCE, "the first step moves the weights "),
        ):
            moved = getattr(TRAINING, name) * (1 + factor * tolerance * (1 - 1e-9))
            causes = drift_sentences(BASE, trained(**{name: moved}))
            assert [sentence.startswith(words) for sentence in causes] == ([True] if is_cause else [])

    def test_another_first_loss_explains_the_gradient(self) -> None:
        sentence = cause(trained(first_loss=2.8, first_gradient_norm=10.0, first_update=1e-3))
        assert sentence.startswith("loss of the first batch 2.8, was 0.7 (4.00 ×), from the same rows and weights")

    def test_another_learning_rate_explains_the_size_of_the_first_step(self) -> None:
        causes = drift_sentences(BASE, trained(first_update=2e-4, learning_rate=2e-4))
        assert causes == ("the optimiser's highest learning rate is 0.0002, was 0.0001",)

    def test_unmeasured_values_are_not_compared(self) -> None:
        empty = {"first_loss": None, "first_gradient_norm": None, "first_update": None, "learning_rate": None}
        assert drift_sentences(BASE, trained(**empty)) == ()
        assert drift_sentences(BASE, with_fingerprint(training=None)) == ()


class TestPredictions:
    @pytest.mark.parametrize(("change", "is_cause"), [(REPEAT_TOLERANCE, False), (0.0011, True)])
    def test_a_classifier_with_other_probabilities_when_it_predicts_again(self, change: float, is_cause: bool) -> None:
        causes = drift_sentences(BASE, with_fingerprint(repeat_max_diff=change))
        assert bool(causes) is is_cause
        assert not is_cause or causes[0].startswith("predicting twice gives different probabilities (up to")
        assert drift_sentences(with_fingerprint(repeat_max_diff=0.5), with_fingerprint(repeat_max_diff=0.6)) == ()

    def test_other_tokens_when_predicting_than_when_training(self) -> None:
        sentence = cause(with_fingerprint(prediction_token_ids=token_digests(3, 4)))
        assert sentence.startswith("when predicting, the model reads other tokens for 2 of 64 probe sentences")
        assert drift_sentences(
            with_fingerprint(prediction_token_ids="same"), with_fingerprint(prediction_token_ids=token_digests(3, 4))
        ) == (sentence,)
        for unchanged in ("", "same"):
            assert drift_sentences(BASE, with_fingerprint(prediction_token_ids=unchanged)) == ()

    def test_opposite_predictions_are_a_cause_next_to_earlier_ones(self) -> None:
        turned = with_fingerprint(logits=packed_floats((-LOGITS).tolist()))
        assert cause(turned) == "the classifier gives the opposite answers, as if labels or classes were swapped"
        assert len(drift_sentences(BASE, trained(turned, steps=64))) == 2

    @pytest.mark.parametrize(("noise", "is_cause"), [(0.1, False), (0.5, True)])
    def test_another_classifier_is_described_by_its_cosine_and_losses(self, noise: float, is_cause: bool) -> None:
        # Orthogonal to the logits and as long.
        other = np.random.default_rng(0).normal(size=64)
        other -= LOGITS * (other @ LOGITS) / (LOGITS @ LOGITS)
        other *= np.linalg.norm(LOGITS) / np.linalg.norm(other)
        epochs = (dataclasses.replace(BASE.epochs[0], train_loss=0.65),)
        after = with_fingerprint(logits=packed_floats((LOGITS + noise * other).tolist()))
        causes = drift_sentences(BASE, dataclasses.replace(after, epochs=epochs))
        # cos = 1 / sqrt(1 + noise²): 0.995 and 0.894.
        assert bool(causes) is is_cause
        assert not is_cause or causes[0].endswith(
            "(cosine of the probe sentences' logits 0.8944, their scale 1.12 ×); loss of the last epoch 0.65, was 0.6"
        )

    def test_the_same_classifier_with_other_predictions_for_the_evaluation_rows(self) -> None:
        before = dataclasses.replace(BASE, probabilities=(0.9, 0.1, 0.8, 0.7), predictions=(1, 0, 1, 1))
        after = dataclasses.replace(BASE, probabilities=(0.1, 0.9, 0.8, 0.7), predictions=(0, 1, 1, 1))
        assert "its answers to the evaluation rows differ (2 of 4; the values of 2 rows are in another order)" in cause(
            after, before
        )

    @pytest.mark.parametrize(
        ("probabilities", "predictions", "words"),
        [
            ((0.9, 0.1, 0.8, 0.51), (1, 0, 1, 0), "1 of 4 predictions do not follow from their probabilities at a "
             "threshold of 0.5: the threshold is between 0.51 and 0.80"),
            ((0.9, 0.1, 0.8, 0.7), (0, 1, 0, 0), "4 of 4 predictions do not follow from their probabilities at a "
             "threshold of 0.5: predictions are the opposite"),
            ((0.9, 0.1, 0.8, 0.7), (1, 1, 0, 1), "2 of 4 predictions do not follow from their probabilities at a "
             "threshold of 0.5"),
        ],
    )  # fmt: skip
    def test_predictions_that_do_not_follow_from_their_probabilities(
        self, probabilities: tuple[float, ...], predictions: tuple[int, ...], words: str
    ) -> None:
        followed = tuple(int(p > 0.5) for p in probabilities)
        before = dataclasses.replace(BASE, probabilities=probabilities, predictions=followed)
        after = dataclasses.replace(before, predictions=predictions)
        assert cause(after, before) == words
        # If the earlier record has the same property, it is no drift.
        assert drift_sentences(after, after) == ()

    def test_a_probability_that_packing_moved_across_one_half_is_ignored(self) -> None:
        probabilities = (0.9, 0.1, 0.8, 0.4999)
        before = dataclasses.replace(BASE, probabilities=(0.9, 0.1, 0.8, 0.5001))
        assert drift_sentences(before, dataclasses.replace(before, probabilities=probabilities)) == ()
