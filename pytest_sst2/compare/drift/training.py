"""Compare trainings: the rows that the optimiser was given, the optimisation, and the first step."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from pytest_sst2.compare.drift.encoder import autocast_text
from pytest_sst2.results.fingerprint import CONVERGED_GRADIENT, TrainingFingerprint
from pytest_sst2.utils.formatting import plural, shorten

# Loss, gradient and step of the first batch change by a few percent with other dropout masks.
FIRST_LOSS_TOLERANCE = 0.05
FIRST_GRADIENT_TOLERANCE = 0.5
FIRST_UPDATE_TOLERANCE = 0.5
# The settings of parameters of the optimiser that have another name.
_SETTINGS = {"betas": "adam_beta", "eps": "epsilon"}
# Numbers this close, relatively, are equal.
_ROUNDING = 1e-4


def training_causes(
    old: TrainingFingerprint | None, new: TrainingFingerprint | None, settings: Collection[str]
) -> Iterator[str]:
    """Yield the differences between the optimisations that the names of the differing settings do not explain."""
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
            "(other C, intercept, rows, weights or scaling)"
        )


def _optimiser_causes(old: TrainingFingerprint, new: TrainingFingerprint, settings: Collection[str]) -> Iterator[str]:
    """Yield the differences between the optimisers that the settings do not show."""
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
        _optimizer_steps(old) == _optimizer_steps(new)
        and _differ(old.mean_learning_rate, new.mean_learning_rate)
        and not any(word in explained for word in ("lr_scheduler", "warmup"))
    ):
        yield (
            f"the optimiser's learning rate is {new.mean_learning_rate:.3g} on average, was "
            f"{old.mean_learning_rate:.3g}, with the same highest rate: another schedule"
        )


def _optimizer_steps(training: TrainingFingerprint) -> int:
    return training.steps - (training.watched.skipped if training.watched else 0)


def _differ(old: float | None, new: float | None) -> bool:
    return bool(old and new) and not math.isclose(old or 0.0, new or 0.0, rel_tol=_ROUNDING)


def _trained_causes(old: Collection[str], new: Collection[str]) -> Iterator[str]:
    for verb, parts in (
        ("no longer changes", [part for part in old if part not in new]),
        ("now changes", [part for part in new if part not in old]),
    ):
        if parts:
            yield f"the training {verb} {plural(len(parts), 'part')} of the encoder ({shorten(parts, 4)})"


def first_step_causes(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> Iterator[str]:
    """Yield the differences between the first steps of two trainings with the same rows, weights and settings."""
    if old is None or new is None:
        return
    same = "from the same rows and weights"
    if (loss := _ratio(old.first_loss, new.first_loss)) and abs(loss - 1) > FIRST_LOSS_TOLERANCE:
        yield (f"loss of the first batch {new.first_loss:.4g}, was {old.first_loss:.4g} ({loss:.2f} ×), {same}")
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
            "the optimiser was given other rows of tokens in its first pass, although data and tokenizer are the same"
        )
        return
    (ids, _, labels), (other_ids, _, other_labels) = (side.first_batch.partition(":") for side in (old, new))
    if ids and other_ids and ids != other_ids:
        yield ("the model was given other tokens in its first batch, although data and tokenizer are the same")
    elif labels and other_labels and labels != other_labels:
        yield ("the model was given other labels with its first batch, although those of the data are the same")


def _row_digests(training: TrainingFingerprint | None) -> tuple[str, str]:
    """Return two digests of the rows an optimiser was given, with and without their order; empty if unknown."""
    ordered, _, unordered = ((training.order if training else None) or "").partition(":")
    return ordered, unordered
