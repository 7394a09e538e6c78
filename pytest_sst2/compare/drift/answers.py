"""Compare the answers of two classifiers to the evaluation rows, and name the first step that differs for them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.drift.optimizer_steps import since_step
from pytest_sst2.compare.drift.prediction import threshold_causes
from pytest_sst2.compare.drift.probe_logits import (
    ANSWER_TOLERANCE,
    both_logits,
    log_odds_formula,
    logits_text,
    same_logits_after_training,
    same_probabilities,
)
from pytest_sst2.compare.drift.row_patterns import moved_rows, row_pattern
from pytest_sst2.compare.drift.rows import evaluation_rows, same_trained_weights, same_training_inputs
from pytest_sst2.compare.drift.similarity import correlation
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.packing import PROBABILITY_STEP
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import plural

# Losses this close, relatively, are equal.
_SAME_LOSS = 1e-4
# Below this correlation the predictions are the opposite: the classifier has learned swapped labels.
OPPOSITE_CORRELATION = -0.7
# Two trainings that only rounding distinguishes give predictions of at least this correlation.
PREDICTIONS_CORRELATION = 0.9
# Up to this tolerance of the rows' embeddings, equal ones are called so. Embeddings that depend on the batch have more.
_COMPARABLE = 0.02
_THE_REST = "from the same tokens and embeddings, as far as recorded"


def same_answers(before: Record, after: Record) -> bool:
    """Return whether no evaluation row has another answer, or a probability that moved."""
    return before.predictions == after.predictions and not _moved_probabilities(before, after).any()


def same_numbers(before: Record, after: Record) -> bool:
    """Return whether the probe sentences' logits are equal, up to rounding."""
    old, new = before.fingerprint, after.fingerprint
    return old is not None and new is not None and np.allclose(*both_logits(old, new), rtol=1e-5, atol=1e-5)


def answer_causes(
    before: Record, after: Record, *, unexplained: bool, frozen: bool, rearranged: bool = False
) -> Iterator[Cause]:
    """Yield the differences between the answers.

    Both records have a fingerprint, and the same evaluation rows in the same order. ``unexplained`` is whether all
    earlier steps of the chain agree, ``frozen`` whether nothing was trained in steps, and ``rearranged`` whether the
    same function is stored or padded otherwise, which changes the dropout masks of a training.
    """
    yield from threshold_causes(before, after)
    old, new = before.fingerprint, after.fingerprint
    assert old is not None and new is not None  # noqa: S101, PT018 - drift_causes has checked both
    logits = both_logits(old, new)
    if correlation(*logits) < OPPOSITE_CORRELATION:
        yield Cause("the classifier gives the opposite answers, as if labels or classes were swapped", "predictions")
        return
    same_classifier = frozen or same_trained_weights(old, new)
    moved = _moved_probabilities(before, after)
    if (
        rearranged
        and moved.any()
        and not same_classifier
        and correlation(*map(_log_odds, (before, after))) >= PREDICTIONS_CORRELATION
    ):
        yield Cause(
            "weights, inputs or attention are arranged otherwise, but the fixed batch has the same logits and loss, "
            f"and gradients of the same length; the trained classifiers differ{_since(old, new)} "
            f"({logits_text(*logits)})",
            "training",
            rank=Rank.NOTE,
        )
        return
    if unexplained and not same_classifier and same_logits_after_training(*logits):
        # Training in steps amplifies rounding, so only answers that another classifier cannot give are told.
        pattern = _order(before, after, moved)
        is_other = bool(pattern) or correlation(*map(_log_odds, (before, after))) < PREDICTIONS_CORRELATION
        if is_other or moved.any():
            yield _moved_only(before, after, moved, pattern, rank=Rank.DIFFERS if is_other else Rank.NOTE)
        return
    if not unexplained and not moved.any():
        return
    if unexplained and not same_classifier:
        yield Cause(
            "the same rows, tokens, weights and settings were recorded, but the trained classifiers differ"
            f"{_since(old, new)} ({logits_text(*logits)}){_epoch_losses(before, after)}{_not_in(old, new)}",
            "training",
        )
    elif moved.any() and (unexplained or same_classifier):
        yield _by_row(
            before, after, moved, same_logits=same_probabilities(*logits), unexplained=unexplained, frozen=frozen
        )
    elif unexplained and not same_probabilities(*logits):
        yield Cause(
            f"the classifier answers the probe sentences differently ({logits_text(*logits)}), but no evaluation row",
            "predictions",
        )


def _moved_probabilities(before: Record, after: Record) -> np.ndarray:
    """Return whether each evaluation row has another probability or answer, bool, of shape (n,)."""
    if len(before.probabilities) != len(after.probabilities):
        return np.zeros(0, dtype=bool)
    one, other = np.asarray(before.probabilities), np.asarray(after.probabilities)
    return moved_rows(one, other, ANSWER_TOLERANCE)


def _probabilities(count: int) -> str:
    return "1 probability" if count == 1 else f"{count:,} probabilities"


def _by_row(
    before: Record, after: Record, moved: np.ndarray, *, same_logits: bool, unexplained: bool, frozen: bool
) -> Cause:
    """Return the cause that divides the moved rows by the first step that differs for them."""
    old, new = before.fingerprint, after.fingerprint
    assert old is not None and new is not None  # noqa: S101, PT018 - as in answer_causes
    changed = np.asarray(before.predictions) != np.asarray(after.predictions)
    subject, chosen = (
        (f"{plural(int(changed.sum()), 'answer')} changed", changed)
        if changed.any()
        else (f"no answer changed, but {_probabilities(int(moved.sum()))} moved by more than {ANSWER_TOLERANCE}", moved)
    )
    rows = evaluation_rows(old, new)
    count = int(chosen.sum())
    rank = Rank.DIFFERS if unexplained else Rank.NOTE
    if rows is None or len(rows.other_tokens) != len(chosen) or not (frozen or same_trained_weights(old, new)):
        if pattern := _order(before, after, moved):
            subject += f" ({pattern})"
        if unexplained and (formula := log_odds_formula(*both_logits(old, new))):
            subject += f"; the probe sentences' log-odds are {formula}"
        elif unexplained:
            subject += ", and no other recorded step differs"
        return Cause(subject, "predictions", rows=count, rank=rank)
    tokens = int((chosen & rows.other_tokens).sum())
    embeddings = int((chosen & ~rows.other_tokens & rows.other_embeddings).sum())
    rest = count - tokens - embeddings
    parts = [
        (number, what)
        for number, what in (
            (tokens, "with other tokens"),
            (embeddings, "with other embeddings from the same tokens"),
            (rest, _THE_REST if rows.tolerance <= _COMPARABLE else "from the same tokens"),
        )
        if number
    ]
    if len(parts) == 1:
        sentence = f"{subject}, {'all ' if count > 1 else ''}{parts[0][1]}"
    else:
        sentence = f"{subject}: {', '.join(f'{number:,} {what}' for number, what in parts)}"
    if rest == count and unexplained:
        sentence += _after_the_embeddings(before, after, moved, same_logits=same_logits)
    return Cause(sentence, "predictions", rows=count, rank=rank)


def _after_the_embeddings(before: Record, after: Record, moved: np.ndarray, *, same_logits: bool) -> str:
    """Return what is known about answers that differ although tokens and embeddings are the same."""
    old, new = before.fingerprint, after.fingerprint
    assert old is not None and new is not None  # noqa: S101, PT018 - as in answer_causes
    if pattern := _order(before, after, moved):
        return f" ({pattern})"
    if formula := log_odds_formula(*both_logits(old, new)):
        return f"; the probe sentences' log-odds are {formula}"
    if same_logits:
        return "; the probe sentences are answered as before, so only the answers to evaluation rows differ"
    if same_trained_weights(old, new):
        known = "the trained weights are the same, so its predicting differs"
    elif same_training_inputs(old, new):
        known = "the classifier was fitted to the same embeddings and labels, so its fit or its predicting differs"
    else:
        known = "the classifier differs"
    return f"; {known} ({logits_text(*both_logits(old, new))})"


def _order(before: Record, after: Record, moved: np.ndarray) -> str:
    """Return the shift, permutation or stretch of rows that the moved probabilities have; empty if none is found."""
    if not moved.any():
        return ""
    one, other = np.asarray(before.probabilities), np.asarray(after.probabilities)
    pattern = row_pattern(one, other, 2 * PROBABILITY_STEP)
    return "" if pattern.startswith("the first is") else pattern


def _moved_only(before: Record, after: Record, moved: np.ndarray, pattern: str, *, rank: Rank) -> Cause:
    """Return the cause for answers that moved although the probe sentences are answered as before."""
    if rank is Rank.NOTE:
        count = int(moved.sum())
        changed = sum(one != other for one, other in zip(before.predictions, after.predictions, strict=True))
        return Cause(
            f"no recorded step differs, but {_probabilities(count)} moved by more than {ANSWER_TOLERANCE} and "
            f"{plural(changed, 'answer')} changed: a training amplifies rounding, or differs in a way not recorded",
            "predictions",
            rows=int(moved.sum()),
            rank=rank,
        )
    return Cause(
        "the classifier answers the probe sentences as before, but its answers to the evaluation rows differ "
        f"({int(moved.sum()):,} of {after.total:,}{f'; {pattern}' if pattern else ''})",
        "predictions",
        rows=int(moved.sum()),
        rank=rank,
    )


def _log_odds(record: Record) -> np.ndarray:
    clipped = np.clip(np.asarray(record.probabilities), PROBABILITY_STEP, 1 - PROBABILITY_STEP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _since(old: Fingerprint, new: Fingerprint) -> str:
    """Return whether the first batch shows a difference between two trainings; empty if its loss was not recorded."""
    one, other = (side.training.first_loss if side.training else None for side in (old, new))
    if one is None or other is None:
        return ""
    if math.isclose(one, other, rel_tol=_SAME_LOSS):
        if step := since_step(old.training, new.training):
            return f", {step}" if step.startswith("although") else f" {step}"
        return ", although the loss of the first batch is the same"
    return f" from the first batch on (loss {other:.5g}, was {one:.5g}), as with other dropout masks"


def _not_in(old: Fingerprint, new: Fingerprint) -> str:
    """Return which parts of the training agree on both sides, as a clause; empty if they were not measured."""
    measured = all(side.training and side.training.fixed_batch and side.training.watched for side in (old, new))
    same = "the fixed batch's loss and gradients do not differ, clipping and updates follow their rules as before"
    return f"; {same}" if measured else ""


def _epoch_losses(before: Record, after: Record) -> str:
    """Return the loss of the last epoch of both sides; empty without epochs."""
    if not before.epochs or not after.epochs:
        return ""
    return f"; loss of the last epoch {after.epochs[-1].train_loss:.3g}, was {before.epochs[-1].train_loss:.3g}"
