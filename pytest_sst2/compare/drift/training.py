"""Training drift: the course of a training, the classifier it left, and what became of the classifier's answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator

import numpy as np

from pytest_sst2.compare.drift.similarity import correlation, cosine
from pytest_sst2.results.fingerprint import (
    CONVERGED_GRADIENT,
    REPEAT_TOLERANCE,
    Fingerprint,
    TrainingFingerprint,
)
from pytest_sst2.results.packing import unpacked_digests, unpacked_floats
from pytest_sst2.results.record import Record

# The first batch's loss, gradient and step move by a few percent where dropout draws other masks.
FIRST_LOSS_TOLERANCE = 0.05
FIRST_GRADIENT_TOLERANCE = 0.5
FIRST_UPDATE_TOLERANCE = 0.5
# Below this cosine a trained classifier is another one. Another thread count leaves 0.999 of one trained in steps, and
# another solver 0.9999 of a regression.
LOGITS_COSINE = 0.98
REGRESSION_COSINE = 0.999
# Below this correlation it answers the opposite: it learnt the labels the wrong way round.
OPPOSITE = -0.7
# Answers to the evaluation rows may spread more than those to the fixed sentences, not as much as this.
ANSWERS_CORRELATION = 0.9
# A packed file keeps probabilities to 1/4095.
_PROBABILITY_STEP = 1 / 4095
_RELATIVE = 1e-4


def course_causes(
    old: TrainingFingerprint | None, new: TrainingFingerprint | None, settings: Collection[str]
) -> Iterator[str]:
    """Give what differs in how the optimisation went and is not told by the names of settings that differ."""
    if old is None or new is None:
        return
    if old.autocast is not None and new.autocast is not None and old.autocast != new.autocast:
        yield f"training computes {_cast(new.autocast)}, was {_cast(old.autocast)}"
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
    """Give what the optimiser did otherwise although the settings do not say so."""
    told = " ".join(settings)
    for name in new.optimizer:
        known = name in told or (name == "betas" and "adam_beta" in told) or (name == "eps" and "epsilon" in told)
        if name in old.optimizer and old.optimizer[name] != new.optimizer[name] and not known:
            what = "the optimiser is" if name == "optimizer" else f"the optimiser's {name}"
            yield f"{what} {new.optimizer[name]}, was {old.optimizer[name]}"
            if name == "optimizer":
                return
    if "learning_rate" in told:
        return
    if _differ(old.learning_rate, new.learning_rate):
        yield f"the optimiser's highest learning rate is {new.learning_rate:g}, was {old.learning_rate:g}"
    elif (
        old.steps == new.steps
        and _differ(old.mean_learning_rate, new.mean_learning_rate)
        and not any(word in told for word in ("lr_scheduler", "warmup"))
    ):
        yield (
            f"the optimiser's learning rate is {new.mean_learning_rate:.3g} on average, was "
            f"{old.mean_learning_rate:.3g}, with the same highest: another schedule"
        )


def _cast(autocast: str) -> str:
    return f"under autocast to {autocast}" if autocast else "without autocast"


def _differ(old: float | None, new: float | None) -> bool:
    return bool(old and new) and not math.isclose(old or 0.0, new or 0.0, rel_tol=_RELATIVE)


def _trained_causes(old: Collection[str], new: Collection[str]) -> Iterator[str]:
    for verb, parts in (
        ("no longer changes", [part for part in old if part not in new]),
        ("now changes", [part for part in new if part not in old]),
    ):
        if parts:
            shown = ", ".join(parts[:4]) + (", ..." if len(parts) > 4 else "")
            frozen = ": frozen" if verb == "no longer changes" else ""
            yield f"the training {verb} {len(parts)} parts of the encoder ({shown}){frozen}"


def first_step_causes(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> Iterator[str]:
    """Give what differs in the first step of two trainings that start from the same rows, weights and settings."""
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
    """Tell whether two optimisers were given the same rows in different orders."""
    (one, rows), (other, other_rows) = _rows_given(old), _rows_given(new)
    return bool(one and other) and one != other and (rows == other_rows or not (rows and other_rows))


def rows_causes(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> Iterator[str]:
    """Give whether two optimisers were given different rows, although the data and the tokenizer are the same."""
    (_, rows), (_, other_rows) = _rows_given(old), _rows_given(new)
    if old is None or new is None or old.steps != new.steps:
        return
    if rows and other_rows and rows != other_rows:
        yield (
            "the optimiser was given other rows of tokens in its first pass, though data and tokenizer are the same: "
            "rows are cut, left out or repeated on the way"
        )
        return
    (ids, _, labels), (other_ids, _, other_labels) = (each.first_batch.partition(":") for each in (old, new))
    if ids and other_ids and ids != other_ids:
        yield (
            "the model was given other tokens in its first batch, though data and tokenizer are the same: sentences "
            "are cut or prepared otherwise on the way"
        )
    elif labels and other_labels and labels != other_labels:
        yield (
            "the model was given other labels with its first batch, though those of the data are the same: flipped or "
            "moved on the way"
        )


def _rows_given(course: TrainingFingerprint | None) -> tuple[str, str]:
    """Return digests of the rows an optimiser was given: in their order, and whatever their order; empty if unknown."""
    ordered, _, whatever_order = ((course.order if course else None) or "").partition(":")
    return ordered, whatever_order


def passes_causes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Give whether the trained classifier, asked twice, no longer answers the same."""
    if new.repeat_max_diff > REPEAT_TOLERANCE >= old.repeat_max_diff:
        yield (
            f"asked twice, the same classifier answers differently (probabilities up to {new.repeat_max_diff:.2g} "
            "apart): dropout is on while predicting, or something else is random"
        )


def asked_causes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Give whether the trained classifier reads other tokens when it is asked, though the tokenizer is the same."""
    if not old.prediction_token_ids or not new.prediction_token_ids:
        return
    lost = Counter(unpacked_digests(old.prediction_token_ids))
    lost.subtract(unpacked_digests(new.prediction_token_ids))
    if count := sum(number for number in lost.values() if number > 0):
        total = len(unpacked_digests(new.prediction_token_ids))
        yield (
            f"when predicting, the model reads other tokens for {count} of {total} fixed sentences, "
            "though it was trained on the same: they are cut or prepared otherwise"
        )


def answer_causes(before: Record, after: Record, *, alike: bool) -> Iterator[str]:
    """Give what became of the answers: opposite ones, another classifier, another threshold, a mix-up.

    Args:
        before: The earlier record, with its fingerprint.
        after: The later one.
        alike: Whether everything before the answers is the same.
    """
    old, new = before.fingerprint, after.fingerprint
    assert old is not None and new is not None  # noqa: S101, PT018 - drift_causes has seen to it
    yield from _decision_causes(before, after)
    first, second = (np.array(unpacked_floats(each.logits)) for each in (old, new))
    if correlation(first, second) < OPPOSITE:
        yield "the trained classifier gives the opposite answers: labels or classes changed places"
        return
    if not alike:
        return
    similarity = cosine(first, second)
    regression = old.training is not None and old.training.first_loss is None
    if similarity < (REGRESSION_COSINE if regression else LOGITS_COSINE):
        cosines = f"cosine of the fixed sentences' logits {similarity:.3f}"
        yield (
            f"the training went as before, but the answers differ ({cosines}): predicting changed, not training"
            if _same_training(old.training, new.training)
            else f"the same up to training, but the trained classifiers differ ({cosines}): {_training_changed(old)}"
            f"{_learning(before, after)}"
        )
        return
    one, other = (_log_odds(each) for each in (before, after))
    if one.shape == other.shape and correlation(one, other) < ANSWERS_CORRELATION:
        moved = sum(a != b for a, b in zip(before.predictions, after.predictions, strict=True))
        yield (
            f"the classifier answers the fixed sentences as before, but its answers to the evaluation rows differ "
            f"({moved:,} of {after.total:,} predictions): mixed up on the way, or other sentences were asked"
        )


def _same_training(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> bool:
    """Tell whether two trainings ended in the same place, to the last bit that was kept of it."""
    if old is None or new is None:
        return False
    if old.first_loss is not None:
        return bool(old.weights) and old.weights == new.weights
    return old.last_gradient is not None and (old.steps, old.last_gradient) == (new.steps, new.last_gradient)


def _training_changed(old: Fingerprint) -> str:
    return "the training itself changed" if old.encoder else "its features or the training itself changed"


def _learning(before: Record, after: Record) -> str:
    """Return from where on a training in epochs went another way, and how well it had learnt its rows at the end."""
    if not before.epochs or not after.epochs:
        return ""
    old, new = (each.fingerprint.training if each.fingerprint else None for each in (before, after))
    first = "from the first batch on, as with other dropout masks" if _first_losses_differ(old, new) else "later on"
    losses = f"{after.epochs[-1].train_loss:.3g}, was {before.epochs[-1].train_loss:.3g}"
    return f" {first}; loss of the last epoch {losses}"


def _first_losses_differ(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> bool:
    ratio = _ratio(old.first_loss, new.first_loss) if old and new else None
    return ratio is not None and abs(ratio - 1) > _RELATIVE


def _log_odds(record: Record) -> np.ndarray:
    clipped = np.clip(np.asarray(record.probabilities), _PROBABILITY_STEP, 1 - _PROBABILITY_STEP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _decision_causes(before: Record, after: Record) -> Iterator[str]:
    """Give whether predictions no longer follow from the probabilities at one half."""
    old, new = _off_half(before), _off_half(after)
    if not new or old:
        return
    probabilities, predictions = np.asarray(after.probabilities), np.asarray(after.predictions)
    highest = max(probabilities[predictions == 0], default=0.0)
    lowest = min(probabilities[predictions == 1], default=1.0)
    count = f"{new:,} of {after.total:,} predictions do not follow from their probabilities at one half"
    if highest <= lowest + _PROBABILITY_STEP:
        opposite = "predictions are the opposite, or " if new == after.total else ""
        yield f"{count}: {opposite}the threshold is between {highest:.2f} and {lowest:.2f}"
    elif new > 0.9 * after.total:
        yield f"{count}: predictions are the opposite"
    else:
        yield count


def _off_half(record: Record) -> int:
    """Return how many predictions are on the wrong side of one half, by more than a packed file may have moved them."""
    probabilities, predictions = np.asarray(record.probabilities), np.asarray(record.predictions)
    return int((np.where(predictions == 1, 0.5 - probabilities, probabilities - 0.5) > _PROBABILITY_STEP).sum())
