"""How many sentences lose words to the longest input."""

from __future__ import annotations

from typing import Any

from pytest_sst2.data.splits import Examples

# A share of cut sentences up to this is the tail of any data set.
_TRUNCATED_SHARE = 0.01


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
