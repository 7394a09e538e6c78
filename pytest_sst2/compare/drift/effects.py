"""Rank the causes by what they explain: by their measured effect on the outputs, the answers and the training."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from pytest_sst2.compare.drift.answers import same_answers, same_numbers
from pytest_sst2.compare.drift.common_sentences import common_sentences
from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.drift.fixed_batch import same_course, same_function
from pytest_sst2.compare.drift.modules import same_last_output
from pytest_sst2.compare.drift.weights import weight_changes
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.record import Record

# Differences of the encoder, by the steps of the chain.
_OF_THE_ENCODER = frozenset({"weights", "config", "arithmetic", "modules", "embeddings"})
_LATER = frozenset({"settings", "training", "predictions"})
# Places of causes whose effect is not seen in the probe sentences.
_UNSEEN = re.compile(r"drop|^evaluation row|^training rows")
# The place of the cause that attention has another implementation.
_ATTENTION = "attention"
# Embeddings that differ by some share change the logits of a classifier fitted to them by less than this multiple of
# it. Eleven changes of weights, attention or prompt gave multiples of 0.4 to 2.7 (paraphrase-MiniLM-L3, 192 rows).
_AMPLIFIED = 20.0


def by_effect(
    causes: Sequence[Cause], before: Record, after: Record, without_effect: Collection[str]
) -> Iterator[Cause]:
    """Yield the causes with the rank that their measured effect gives them, in their order.

    Weights, config, arithmetic and settings that moved no output and no answer become notes. If a later step of the
    chain differs too, differences of the encoder that are too small to explain the answers come after it. So do the
    settings ``without_effect``, which explain nothing that was measured of the training.
    """
    noted = [*_with_notes(causes, before, after)]
    yield from _after_later_causes(noted, before.fingerprint, after.fingerprint, without_effect)


def is_rearranged(causes: Sequence[Cause], old: Fingerprint, new: Fingerprint) -> bool:
    """Return whether only the storage of weights, the padding, or the implementation of attention differs.

    The fixed batch then shows that both sides compute the same. Their dropout masks differ all the same, and their
    rounding, so that the trained classifiers differ as with another seed.
    """
    one, other = (side.training.fixed_batch if side.training else None for side in (old, new))
    if one is None or other is None or not same_function(one, other):
        return False
    drift = [cause for cause in causes if not cause.is_note and cause.where != _ATTENTION]
    if not drift:
        return any(cause.where == _ATTENTION or cause.where in other.inputs for cause in causes)
    if {cause.kind for cause in drift} != {"weights"} or old.encoder is None or new.encoder is None:
        return False
    if old.encoder.tensors is None or new.encoder.tensors is None:
        return False
    changes = weight_changes(old.encoder.tensors, new.encoder.tensors)
    return changes is not None and changes.are_rearranged


def _with_notes(causes: Sequence[Cause], before: Record, after: Record) -> Iterator[Cause]:
    kinds = {cause.kind for cause in causes if not cause.is_note}
    stored = kinds <= {"weights", "config", "arithmetic", "settings"} and same_answers(before, after)
    old, new = (record.fingerprint.encoder if record.fingerprint else None for record in (before, after))
    same_output = old is not None and new is not None and same_last_output(old.modules, new.modules)
    unmoved = dict.fromkeys(("weights", "config", "arithmetic"), same_output)
    unmoved["settings"] = same_numbers(before, after)
    for cause in causes:
        yield replace(cause, rank=Rank.NOTE) if stored and unmoved.get(cause.kind) else cause


def _after_later_causes(
    causes: Sequence[Cause], old: Fingerprint | None, new: Fingerprint | None, without_effect: Collection[str]
) -> Iterator[Cause]:
    kinds = {cause.kind for cause in causes if cause.rank is Rank.EXPLAINS}
    is_small = bool(kinds & _LATER) and old is not None and new is not None and _has_small_effect(old, new)
    for cause in causes:
        # The probe sentences show neither the effect of dropout in training nor that of single rows' embeddings.
        is_demoted = is_small and cause.kind in _OF_THE_ENCODER and not _UNSEEN.search(cause.where)
        is_demoted |= "training" in kinds and cause.kind == "settings" and cause.where in without_effect
        yield replace(cause, rank=Rank.DIFFERS) if is_demoted and cause.rank is Rank.EXPLAINS else cause


def _has_small_effect(old: Fingerprint, new: Fingerprint) -> bool:
    """Return whether the encoders differ too little to explain how the answers differ; False if unknown."""
    if old.encoder is None or new.encoder is None or old.fixed_sentences != new.fixed_sentences:
        return False
    one, other = (side.training.fixed_batch if side.training else None for side in (old, new))
    if one is not None and other is not None and not same_course(one, other):
        return False
    # The fixed batch has short sentences only, so the embeddings of all lengths count in any case.
    of_embeddings = _distance(old.encoder.sketch, new.encoder.sketch, values=2)
    return _AMPLIFIED * of_embeddings < _distance(old.logits, new.logits, values=1)


def _distance(one: str, other: str, *, values: int) -> float:
    """Return the relative distance of two packed arrays with some ``values`` for each probe sentence.

    It is infinite if they cannot be compared.
    """
    rows = (np.array(unpacked_floats(text)).reshape(-1, values) for text in (one, other))
    _, first, second = common_sentences(*rows)
    if not first.any():
        return float("inf")
    return float(np.linalg.norm(second - first) / np.linalg.norm(first))
