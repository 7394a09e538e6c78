"""Warnings that a reader of an accuracy needs."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np

from pytest_sst2.data.splits import Examples
from pytest_sst2.results.fingerprint import REPEAT_TOLERANCE
from pytest_sst2.results.record import Environment, Interval

# With fewer examples the 95% interval of an accuracy of 80% is wider than ±3.5 points.
_FEW_EXAMPLES = 500
_CHANCE = 0.5
# Rounding in bfloat16 moves embeddings by about one percent.
_BATCH_SENSITIVITY = 0.1
# Warn about overlapping phrases above this share of the evaluation sentences.
_OVERLAP_SHARE = 0.01
_SHORTEST_PHRASE = 3


def collapse_warnings(
    method: str, predictions: np.ndarray, accuracy_interval: Interval, majority_accuracy: float
) -> tuple[str, ...]:
    """Warn if the evaluation has one class only, or a trained classifier predicts one, or is not better than chance."""
    if majority_accuracy == 1:
        return ("all evaluation rows have the same label, so the accuracy says nothing about the other class",)
    if method == "majority":
        return ()
    if len(np.unique(predictions)) == 1:
        return (f"collapsed: every prediction is {'positive' if predictions[0] else 'negative'}",)
    if accuracy_interval.high < _CHANCE:
        return (
            f"worse than chance: the 95 % interval ends at {accuracy_interval.high:.3f}. The two classes may be "
            "swapped, in the checkpoint or in the data",
        )
    if accuracy_interval.low <= majority_accuracy:
        return (
            f"no better than always answering the more frequent class: the 95 % interval starts at "
            f"{accuracy_interval.low:.3f}; always giving that answer scores {majority_accuracy:.3f}",
        )
    return ()


@functools.lru_cache(maxsize=16)  # because the cells of a run share their rows
def overlap_warnings(train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Warn about evaluation sentences that are training sentences, or that contain one or are part of one.

    SST-2's training rows are phrases of longer sentences, so up to 1% of the second kind causes no warning. Phrases
    of fewer than three words are ignored.
    """
    known = {" ".join(sentence.split()) for sentence in train.sentences}
    evaluated = [" ".join(sentence.split()) for sentence in evaluation.sentences]
    same = sum(sentence in known for sentence in evaluated)
    warnings = [f"{same:,} of {len(evaluated):,} evaluation sentences are also training sentences"] if same else []
    distinct = set(evaluated)
    containing = {sentence for sentence, _ in _with_phrase_of(distinct, known)}
    contained = {phrase for _, phrase in _with_phrase_of(known, distinct - containing)}
    share = sum(sentence in containing or sentence in contained for sentence in evaluated) / len(evaluated)
    if share > _OVERLAP_SHARE:
        warnings.append(f"{share:.0%} of the evaluation sentences contain, or are part of, a training sentence")
    return tuple(warnings)


def _with_phrase_of(sentences: Iterable[str], phrases: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield (sentence, phrase) for every phrase found in a sentence.

    The phrases are indexed by their first three words, so each position of a sentence is visited once.
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
                if (phrase := " ".join(words[start : start + length])) in phrases:
                    yield sentence, phrase


def irreproducibility_warnings(rounds: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Warn if rounds of one cell, with the same seed, predict differently."""
    different = [int((other != rounds[0]).sum()) for other in rounds[1:]]
    if not any(different):
        return ()
    return (f"not reproducible: rounds of the same seed differ in up to {max(different)} predictions",)


def randomness_warnings(repeat_max_diff: float) -> tuple[str, ...]:
    """Warn if a trained classifier predicts different probabilities the second time."""
    if repeat_max_diff <= REPEAT_TOLERANCE:
        return ()
    return (
        f"predicting twice gives probabilities up to {repeat_max_diff:.2g} apart: dropout is on, or something else in "
        "the classifier is random",
    )


def padding_warnings(batch_sensitivity: float) -> tuple[str, ...]:
    """Warn if a sentence's embedding depends on the sentences in its batch, as a share of the mean length."""
    if batch_sensitivity <= _BATCH_SENSITIVITY:
        return ()
    return (
        f"embeddings depend on the other sentences of a batch, by up to {batch_sensitivity:.0%}: padding changes them, "
        "for example on the left of a model with absolute positions (padding_side in tokenizer_config.json)",
    )


def halving_warnings(parts: int) -> tuple[str, ...]:
    """Warn if batches were divided into parts because the accelerator ran out of memory."""
    if parts == 1:
        return ()
    return (
        f"the first attempt ran out of memory; the second divided each batch into {parts} parts and added up their "
        "gradients. The times are those of the second attempt",
    )


def sample_size_warnings(seeds: int, examples: int, *, is_random: bool) -> tuple[str, ...]:
    """Warn about a single seed of a random training, and about few examples.

    Args:
        seeds: Number of seeds of the run.
        examples: Number of evaluation rows.
        is_random: Whether another seed trains another classifier from the same rows.
    """
    thin = ["one seed"] if is_random and seeds == 1 else []
    thin += [f"{examples:,} examples"] if examples < _FEW_EXAMPLES else []
    return (f"thin evidence: {' and '.join(thin)}",) if thin else ()


def concurrency_warnings(workers: int) -> tuple[str, ...]:
    """Warn if other workers used the same cores, which makes the times longer."""
    if not workers:
        return ()
    others = "one other worker" if workers == 1 else f"{workers} other workers"
    return (f"timed next to {others}; --sst2-exclusive times cells alone",)


def environment_warnings(first: Environment, start: Environment, end: Environment) -> tuple[str, ...]:
    """Warn if threads, precision or determinism changed since the first cell of the run, or while this cell ran.

    Args:
        first: Environment of the first cell.
        start: Environment in which this cell started, which its record has.
        end: Environment in which it ended.
    """
    since = [
        f"{name.replace('_', ' ')} {getattr(now, name)}, was {getattr(before, name)} {when}"
        for before, now, when in ((first, start, "in the first cell"), (start, end, "when this cell started"))
        for name in ("threads", "matmul_precision", "deterministic")
        if getattr(now, name) != getattr(before, name)
    ]
    return (f"the environment changed within the run: {'; '.join(since)}",) if since else ()


def nondeterminism_warnings(device: str, *, deterministic: bool) -> tuple[str, ...]:
    """Warn if the same cell may give other numbers when it is measured again in the same environment.

    Args:
        device: Device of the cell.
        deterministic: Whether PyTorch uses deterministic algorithms only.
    """
    if device == "cpu" or deterministic:
        return ()
    return (
        f"not promised to repeat: on {device} PyTorch adds numbers in no fixed order, so the same run may give other "
        "last digits and a few other predictions",
    )
