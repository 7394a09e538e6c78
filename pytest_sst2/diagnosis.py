"""Warnings a reader of a number needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.records import Interval
from pytest_sst2.splits import Examples

# A share of cut sentences up to this is the tail of any data set.
_TRUNCATED_SHARE = 0.01
# Fewer examples leave an accuracy of 80 % uncertain by more than 3.5 points (95 % interval).
_FEW_EXAMPLES = 500
# What arithmetic in reduced precision may move a probability by when one batch is run twice.
_PASSES_DIFFER = 1e-3


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


def overlap_warnings(train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Say how many evaluation sentences also stand, word for word, among the training sentences."""
    known = {sentence.strip() for sentence in train.sentences}
    shared = sum(sentence.strip() in known for sentence in evaluation.sentences)
    if not shared:
        return ()
    return (f"{shared:,} of {len(evaluation):,} evaluation sentences are also training sentences",)


def truncation_warnings(tokenizer: Any, limit: int, train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Say when more than one sentence in a hundred lost words to the longest input.

    Args:
        tokenizer: A transformers tokenizer; of any other nothing is said.
        limit: Longest input in tokens, special ones included.
        train: The training rows.
        evaluation: The evaluation rows.
    """
    found = []
    for name, rows in (("training", train), ("evaluation", evaluation)):
        # No tokenizer makes more tokens than there are bytes, besides the special ones at both ends.
        suspects = [sentence for sentence in rows.sentences if len(sentence.encode()) + 2 > limit]
        if not suspects or not hasattr(tokenizer, "convert_ids_to_tokens"):
            continue
        whole = tokenizer(suspects, truncation=False, verbose=False)["input_ids"]
        share = sum(len(ids) > limit for ids in whole) / len(rows)
        if share > _TRUNCATED_SHARE:
            found.append(f"{share:.0%} of the {name} sentences were cut to {limit} tokens")
    return tuple(found)


def disagreement_warnings(rounds: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Say when rounds of one cell, same seed and all, predicted differently: the run is not reproducible."""
    different = [int((other != rounds[0]).sum()) for other in rounds[1:]]
    if not any(different):
        return ()
    return (f"not reproducible: rounds of the same seed differ in up to {max(different)} predictions",)


def passes_warnings(second_pass: float) -> tuple[str, ...]:
    """Say when one trained classifier, asked twice, gives different answers."""
    if second_pass <= _PASSES_DIFFER:
        return ()
    return (
        f"asked twice, the same classifier gives probabilities up to {second_pass:.2g} apart: dropout is on, or "
        "something else in it is random",
    )


def evidence_warnings(seeds: int, examples: int) -> tuple[str, ...]:
    """Say when a number rests on little."""
    thin = [*(["one seed"] if seeds == 1 else []), *([f"{examples:,} examples"] if examples < _FEW_EXAMPLES else [])]
    return (f"thin evidence: {' and '.join(thin)}",) if thin else ()


def company_warnings(workers: int) -> tuple[str, ...]:
    """Say when other xdist workers were busy beside this one: its times are not those of a machine to itself."""
    return (f"timed beside {workers - 1} other pytest-xdist workers",) if workers > 1 else ()
