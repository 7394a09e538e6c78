"""Compare how two classifiers predict: twice alike, from which tokens, and at which threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.results.fingerprint import REPEAT_TOLERANCE, SAME_TOKEN_IDS, Fingerprint
from pytest_sst2.results.packing import PROBABILITY_STEP, unpacked_digests, unpacked_floats
from pytest_sst2.results.probe_sentences import numbers_of
from pytest_sst2.results.record import Record

# From this fraction of predictions on the wrong side of one half, they are called the opposite.
_OPPOSITE_FRACTION = 0.9


def repeat_causes(old: Fingerprint, new: Fingerprint) -> Iterator[Cause]:
    """Yield a cause if only the later classifier gives different probabilities when it predicts twice."""
    if new.repeat_max_diff > REPEAT_TOLERANCE >= old.repeat_max_diff:
        yield Cause(
            f"predicting twice gives different probabilities (up to {new.repeat_max_diff:.2g} apart): dropout is on "
            "while predicting, or something else is random",
            "predictions",
            before=f"{old.repeat_max_diff:.2g}",
            after=f"{new.repeat_max_diff:.2g}",
        )


def prediction_token_causes(old: Fingerprint, new: Fingerprint) -> Iterator[Cause]:
    """Yield a cause if the classifier predicts from other tokens, although the tokenizer is the same."""
    before, after = map(_prediction_token_ids, (old, new))
    if not before or not after:
        return
    fewer, more = sorted((after, before), key=len)
    if count := (Counter(fewer) - Counter(more)).total():
        total = len(fewer)
        yield Cause(
            f"when predicting, the model reads other tokens for {count} of {total} probe sentences, although the "
            "tokenizer gives the same ones",
            "predictions",
            "tokens",
            rows=count,
        )


def _prediction_token_ids(side: Fingerprint) -> list[bytes]:
    if side.prediction_token_ids != SAME_TOKEN_IDS:
        return unpacked_digests(side.prediction_token_ids)
    ids = unpacked_digests(side.tokens.ids) if side.tokens else []
    return [ids[number] for number in numbers_of(len(unpacked_floats(side.logits)))] if ids else []


def threshold_causes(before: Record, after: Record) -> Iterator[Cause]:
    """Yield a cause if only the later predictions do not follow from their probabilities at one half."""
    new = _wrong_side_count(after)
    if not new or _wrong_side_count(before):
        return
    probabilities, predictions = np.asarray(after.probabilities), np.asarray(after.predictions)
    highest = max(probabilities[predictions == 0], default=0.0)
    lowest = min(probabilities[predictions == 1], default=1.0)
    count = f"{new:,} of {after.total:,} predictions do not follow from their probabilities at a threshold of 0.5"
    if highest <= lowest + PROBABILITY_STEP:
        opposite = "predictions are the opposite, or " if new == after.total else ""
        count += f": {opposite}the threshold is between {highest:.2f} and {lowest:.2f}"
    elif new > _OPPOSITE_FRACTION * after.total:
        count += ": predictions are the opposite"
    yield Cause(count, "predictions", "threshold", rows=new)


def _wrong_side_count(record: Record) -> int:
    """Return how many predictions are on the wrong side of one half, by more than the rounding of a packed file."""
    probabilities, predictions = np.asarray(record.probabilities), np.asarray(record.predictions)
    return int((np.where(predictions == 1, 0.5 - probabilities, probabilities - 0.5) > PROBABILITY_STEP).sum())
