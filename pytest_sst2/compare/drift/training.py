"""Compare trainings: the optimisation, the first step, and the predictions of the trained classifier."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from pytest_sst2.compare.drift.encoder import autocast_text
from pytest_sst2.compare.drift.similarity import correlation, cosine
from pytest_sst2.results.fingerprint import CONVERGED_GRADIENT, REPEAT_TOLERANCE, Fingerprint, TrainingFingerprint
from pytest_sst2.results.packing import unpacked_digests, unpacked_floats
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import shorten

# Loss, gradient and step of the first batch change by a few percent with other dropout masks.
FIRST_LOSS_TOLERANCE = 0.05
FIRST_GRADIENT_TOLERANCE = 0.5
FIRST_UPDATE_TOLERANCE = 0.5
# Smallest cosine between the logits of two equal classifiers. Another thread count gives 0.999 for a classifier trained
# in steps, another solver 0.9999 for a logistic regression.
LOGITS_COSINE = 0.98
REGRESSION_COSINE = 0.999
# Below this correlation the predictions are the opposite: the classifier has learned swapped labels.
OPPOSITE_CORRELATION = -0.7
# Predictions for the evaluation rows may differ more than those for the probe sentences, but not by this much.
PREDICTIONS_CORRELATION = 0.9
# Packed files store probabilities in steps of 1/4095.
_PROBABILITY_STEP = 1 / 4095
# The settings of parameters of the optimiser that have another name.
_SETTINGS = {"betas": "adam_beta", "eps": "epsilon"}
# Numbers this close, relatively, are equal.
_ROUNDING = 1e-4
# From this fraction of predictions on the wrong side of one half, they are called the opposite.
_OPPOSITE_FRACTION = 0.9


def training_causes(
    old: TrainingFingerprint | None, new: TrainingFingerprint | None, settings: Collection[str]
) -> Iterator[str]:
    """Yield how the optimisation differs, without what the names of the differing settings explain."""
    if old is None or new is None:
        return
    if old.autocast is not None and new.autocast is not None and old.autocast != new.autocast:
        yield f"training computes {autocast_text(new.autocast)}, was {autocast_text(old.autocast)}"
    yield from _optimiser_causes(old, new, settings)
    if old.first_loss is not None and old.steps != new.steps:
        yield f"{new.steps:,} training steps, were {old.steps:,}"
    if old.trained is not None and new.trained is not None and old.trained != new.trained:
        yield from _trained_causes(old.trained, new.trained)
    if (
        old.last_gradient is not None
        and new.last_gradient is not None
        and new.last_gradient > CONVERGED_GRADIENT >= old.last_gradient
        and (not settings or not {"tol", "max_iter"}.isdisjoint(settings))
    ):
        stopped = "stopped before it converged, or " if new.steps <= old.steps else ""
        yield (
            f"the classifier is not at the minimum of its objective (gradient {new.last_gradient:.1e}, was "
            f"{old.last_gradient:.1e}; {new.steps} iterations, were {old.steps}): {stopped}it minimises something else "
            "(other C, rows, weights or scaling)"
        )


def _optimiser_causes(old: TrainingFingerprint, new: TrainingFingerprint, settings: Collection[str]) -> Iterator[str]:
    """Yield how the optimiser differs although the settings do not show it."""
    explained = " ".join(settings)
    for name in new.optimizer:
        known = name in explained or _SETTINGS.get(name, name) in explained
        if name in old.optimizer and old.optimizer[name] != new.optimizer[name] and not known:
            subject = "the optimiser is" if name == "optimizer" else f"the optimiser's {name}"
            yield f"{subject} {new.optimizer[name]}, was {old.optimizer[name]}"
            if name == "optimizer":
                return
    if "learning_rate" in explained:
        return
    if _differ(old.learning_rate, new.learning_rate):
        yield f"the optimiser's highest learning rate is {new.learning_rate:g}, was {old.learning_rate:g}"
    elif (
        old.steps == new.steps
        and _differ(old.mean_learning_rate, new.mean_learning_rate)
        and not any(word in explained for word in ("lr_scheduler", "warmup"))
    ):
        yield (
            f"the optimiser's learning rate is {new.mean_learning_rate:.3g} on average, was "
            f"{old.mean_learning_rate:.3g}, with the same highest rate: another schedule"
        )


def _differ(old: float | None, new: float | None) -> bool:
    return bool(old and new) and not math.isclose(old or 0.0, new or 0.0, rel_tol=_ROUNDING)


def _trained_causes(old: Collection[str], new: Collection[str]) -> Iterator[str]:
    for verb, parts in (
        ("no longer changes", [part for part in old if part not in new]),
        ("now changes", [part for part in new if part not in old]),
    ):
        if parts:
            frozen = ": frozen" if verb == "no longer changes" else ""
            yield f"the training {verb} {len(parts)} parts of the encoder ({shorten(parts, 4)}){frozen}"


def first_step_causes(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> Iterator[str]:
    """Yield how the first steps differ of two trainings with the same rows, weights and settings."""
    if old is None or new is None:
        return
    same = "from the same rows and weights"
    if (loss := _ratio(old.first_loss, new.first_loss)) and abs(loss - 1) > FIRST_LOSS_TOLERANCE:
        yield (
            f"loss of the first batch {new.first_loss:.4g}, was {old.first_loss:.4g} ({loss:.2f} ×), {same}: the loss "
            "is scaled differently (gradient accumulation, label smoothing)"
        )
        return
    gradient = _ratio(old.first_gradient_norm, new.first_gradient_norm)
    if gradient and abs(gradient - 1) > FIRST_GRADIENT_TOLERANCE:
        yield f"gradient of the first batch {gradient:.2f} × what it was, {same} and with the same loss"
    elif (
        (update := _ratio(old.first_update, new.first_update))
        and abs(update - 1) > FIRST_UPDATE_TOLERANCE
        and not _differ(old.learning_rate, new.learning_rate)
    ):
        yield f"the first step moves the weights {update:.2f} × as far as it did, {same} and at the same learning rate"


def _ratio(old: float | None, new: float | None) -> float | None:
    return new / old if old and new else None


def same_rows_in_another_order(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> bool:
    """Return whether two optimisers were given the same rows in different orders."""
    (one, rows), (other, other_rows) = _row_digests(old), _row_digests(new)
    return bool(one and other) and one != other and (rows == other_rows or not (rows and other_rows))


def training_row_causes(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> Iterator[str]:
    """Yield a cause if the optimisers were given different rows, although data and tokenizer are the same."""
    (_, rows), (_, other_rows) = _row_digests(old), _row_digests(new)
    if old is None or new is None or old.steps != new.steps:
        return
    if rows and other_rows and rows != other_rows:
        yield (
            "the optimiser was given other rows of tokens in its first pass, although data and tokenizer are the same: "
            "rows were cut, left out or repeated after tokenization"
        )
        return
    (ids, _, labels), (other_ids, _, other_labels) = (side.first_batch.partition(":") for side in (old, new))
    if ids and other_ids and ids != other_ids:
        yield (
            "the model was given other tokens in its first batch, although data and tokenizer are the same: sentences "
            "are cut or prepared differently"
        )
    elif labels and other_labels and labels != other_labels:
        yield (
            "the model was given other labels with its first batch, although those of the data are the same: labels "
            "were flipped or moved"
        )


def _row_digests(training: TrainingFingerprint | None) -> tuple[str, str]:
    """Return two digests of the rows an optimiser was given, with and without their order; empty if unknown."""
    ordered, _, unordered = ((training.order if training else None) or "").partition(":")
    return ordered, unordered


def repeat_causes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Yield a cause if only the later classifier gives different probabilities when it predicts twice."""
    if new.repeat_max_diff > REPEAT_TOLERANCE >= old.repeat_max_diff:
        yield (
            f"predicting twice gives different probabilities (up to {new.repeat_max_diff:.2g} apart): dropout is on "
            "while predicting, or something else is random"
        )


def prediction_token_causes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Yield a cause if the classifier predicts from other tokens, although the tokenizer is the same."""
    if not old.prediction_token_ids or not new.prediction_token_ids:
        return
    lost = Counter(unpacked_digests(old.prediction_token_ids))
    lost.subtract(unpacked_digests(new.prediction_token_ids))
    if count := sum(number for number in lost.values() if number > 0):
        total = len(unpacked_digests(new.prediction_token_ids))
        yield (
            f"when predicting, the model reads other tokens for {count} of {total} probe sentences, "
            "although it was trained on the same: they are cut or prepared differently"
        )


def prediction_causes(before: Record, after: Record, *, same_training: bool) -> Iterator[str]:
    """Yield how the predictions differ: opposite, from another classifier, with another threshold, or mixed up.

    ``same_training`` is whether all earlier steps of the chain agree. Both records have a fingerprint.
    """
    old, new = before.fingerprint, after.fingerprint
    assert old is not None and new is not None  # noqa: S101, PT018 - drift_causes has checked both
    yield from _threshold_causes(before, after)
    first, second = (np.array(unpacked_floats(side.logits)) for side in (old, new))
    if correlation(first, second) < OPPOSITE_CORRELATION:
        yield "the trained classifier gives the opposite answers: labels or classes are swapped"
        return
    if not same_training:
        return
    similarity = cosine(first, second)
    is_regression = old.training is not None and old.training.first_loss is None
    if similarity < (REGRESSION_COSINE if is_regression else LOGITS_COSINE):
        cosines = f"cosine of the probe sentences' logits {similarity:.3f}"
        yield (
            f"the training went as before, but the answers differ ({cosines}): predicting changed, not training"
            if _is_same_result(old.training, new.training)
            else f"the same up to training, but the trained classifiers differ ({cosines}): "
            f"{'' if old.encoder else 'its features or '}the training itself changed{_epoch_losses(before, after)}"
        )
        return
    one, other = (_log_odds(record) for record in (before, after))
    if one.shape == other.shape and correlation(one, other) < PREDICTIONS_CORRELATION:
        moved = sum(a != b for a, b in zip(before.predictions, after.predictions, strict=True))
        yield (
            f"the classifier answers the probe sentences as before, but its answers to the evaluation rows differ "
            f"({moved:,} of {after.total:,} predictions): rows are mixed up, or these are other sentences"
        )


def _is_same_result(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> bool:
    """Return whether two trainings ended with exactly the same weights, as far as they were recorded."""
    if old is None or new is None:
        return False
    if old.first_loss is not None:
        return bool(old.weights) and old.weights == new.weights
    return old.last_gradient is not None and (old.steps, old.last_gradient) == (new.steps, new.last_gradient)


def _epoch_losses(before: Record, after: Record) -> str:
    """Return where a training in epochs first differs, and its loss in the last epoch; empty without epochs."""
    if not before.epochs or not after.epochs:
        return ""
    old, new = (record.fingerprint.training if record.fingerprint else None for record in (before, after))
    ratio = _ratio(old.first_loss, new.first_loss) if old and new else None
    differs_at_first = ratio is not None and abs(ratio - 1) > _ROUNDING
    first = "from the first batch on, as with other dropout masks" if differs_at_first else "later on"
    losses = f"{after.epochs[-1].train_loss:.3g}, was {before.epochs[-1].train_loss:.3g}"
    return f" {first}; loss of the last epoch {losses}"


def _log_odds(record: Record) -> np.ndarray:
    clipped = np.clip(np.asarray(record.probabilities), _PROBABILITY_STEP, 1 - _PROBABILITY_STEP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _threshold_causes(before: Record, after: Record) -> Iterator[str]:
    """Yield a cause if only the later predictions do not follow from their probabilities at one half."""
    old, new = _wrong_side_count(before), _wrong_side_count(after)
    if not new or old:
        return
    probabilities, predictions = np.asarray(after.probabilities), np.asarray(after.predictions)
    highest = max(probabilities[predictions == 0], default=0.0)
    lowest = min(probabilities[predictions == 1], default=1.0)
    count = f"{new:,} of {after.total:,} predictions do not follow from their probabilities at a threshold of 0.5"
    if highest <= lowest + _PROBABILITY_STEP:
        opposite = "predictions are the opposite, or " if new == after.total else ""
        yield f"{count}: {opposite}the threshold is between {highest:.2f} and {lowest:.2f}"
    elif new > _OPPOSITE_FRACTION * after.total:
        yield f"{count}: predictions are the opposite"
    else:
        yield count


def _wrong_side_count(record: Record) -> int:
    """Return how many predictions are on the wrong side of one half, by more than the rounding of a packed file."""
    probabilities, predictions = np.asarray(record.probabilities), np.asarray(record.predictions)
    return int((np.where(predictions == 1, 0.5 - probabilities, probabilities - 0.5) > _PROBABILITY_STEP).sum())
