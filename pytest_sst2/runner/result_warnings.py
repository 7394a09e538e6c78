"""Warnings a reader of a number needs."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from pytest_sst2.data.splits import Examples
from pytest_sst2.results.fingerprint import REPEAT_TOLERANCE
from pytest_sst2.results.record import Interval

# Fewer examples leave an accuracy of 80 % uncertain by more than 3.5 points (95 % interval).
_FEW_EXAMPLES = 500
# Evaluation sentences that share a phrase with a training sentence are worth a word from this share on.
_OVERLAP_SHARE = 0.01
_SHORTEST_PHRASE = 3


def collapse_warnings(
    method: str, predictions: np.ndarray, accuracy_interval: Interval, majority_accuracy: float
) -> tuple[str, ...]:
    """Say when a trained classifier gives every sentence the same class, or is not known to beat one that does."""
    if method == "majority":
        return ()
    if len(np.unique(predictions)) == 1:
        return (f"collapsed: every prediction is {'positive' if predictions[0] else 'negative'}",)
    if accuracy_interval.low <= majority_accuracy:
        return (
            f"no better than always answering the commoner class: the 95 % interval reaches down to "
            f"{accuracy_interval.low:.3f}, that answer alone gets {majority_accuracy:.3f}",
        )
    return ()


@functools.lru_cache(maxsize=16)  # the cells of a run share their rows
def overlap_warnings(train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Say how many evaluation sentences the training sentences give away.

    Either word for word, or, where it is more than one in a hundred, because one contains the other: SST-2's training
    rows are phrases cut from longer ones. Phrases of less than three words are passed over.
    """
    known = {" ".join(sentence.split()) for sentence in train.sentences}
    asked = [" ".join(sentence.split()) for sentence in evaluation.sentences]
    same = sum(sentence in known for sentence in asked)
    found = [f"{same:,} of {len(asked):,} evaluation sentences are also training sentences"] if same else []
    distinct = set(asked)
    containing = {sentence for sentence, _ in _with_phrase_of(distinct, known)}
    contained = {phrase for _, phrase in _with_phrase_of(known, distinct - containing)}
    share = sum(sentence in containing or sentence in contained for sentence in asked) / len(asked)
    if share > _OVERLAP_SHARE:
        found.append(f"{share:.0%} of the evaluation sentences contain, or are part of, a training sentence")
    return tuple(found)


def _with_phrase_of(sentences: Iterable[str], phrases: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield each sentence with each of the phrases that is a stretch of its words.

    Every place is looked at once: how long the phrases are that begin with the three words there is known before.
    """
    lengths: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for phrase in phrases:
        words = phrase.split()
        if len(words) >= _SHORTEST_PHRASE:
            lengths[tuple(words[:_SHORTEST_PHRASE])].add(len(words))
    for sentence in sentences:
        words = sentence.split()
        for start in range(len(words) - _SHORTEST_PHRASE + 1):
            for length in lengths.get(tuple(words[start : start + _SHORTEST_PHRASE]), ()):
                if (stretch := " ".join(words[start : start + length])) in phrases:
                    yield sentence, stretch


def disagreement_warnings(rounds: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Say when rounds of one cell, same seed and all, predicted differently: the run is not reproducible."""
    different = [int((other != rounds[0]).sum()) for other in rounds[1:]]
    if not any(different):
        return ()
    return (f"not reproducible: rounds of the same seed differ in up to {max(different)} predictions",)


def passes_warnings(repeat_max_diff: float) -> tuple[str, ...]:
    """Say when one trained classifier, asked twice, gives different answers."""
    if repeat_max_diff <= REPEAT_TOLERANCE:
        return ()
    return (
        f"asked twice, the same classifier gives probabilities up to {repeat_max_diff:.2g} apart: dropout is on, or "
        "something else in it is random",
    )


def halving_warnings(parts: int) -> tuple[str, ...]:
    """Say when batches had to be divided into parts, because whole ones did not fit onto the accelerator."""
    if parts == 1:
        return ()
    return (
        "out of memory at the first attempt, which the times leave out; measured at the second, with batches in "
        f"{parts} parts, whose gradients are added up",
    )


def evidence_warnings(seeds: int, examples: int) -> tuple[str, ...]:
    """Say when a number rests on little."""
    thin = [*(["one seed"] if seeds == 1 else []), *([f"{examples:,} examples"] if examples < _FEW_EXAMPLES else [])]
    return (f"thin evidence: {' and '.join(thin)}",) if thin else ()


def company_warnings(beside: int) -> tuple[str, ...]:
    """Say when other workers were busy on the same cores: the times are not those of a machine to itself."""
    if not beside:
        return ()
    others = "one other worker" if beside == 1 else f"{beside} other workers"
    return (f"timed beside {others}; --sst2-exclusive times cells alone",)


def repetition_warnings(device: str, *, deterministic: bool) -> tuple[str, ...]:
    """Say when the same cell, measured again in the same environment, may give other numbers.

    Args:
        device: What it was measured on.
        deterministic: Whether PyTorch was told to use deterministic algorithms alone.
    """
    if device == "cpu" or deterministic:
        return ()
    return (
        f"not promised to repeat: on {device} PyTorch adds numbers up in no fixed order, so that the same run may give "
        "other last digits, and a few other predictions",
    )
