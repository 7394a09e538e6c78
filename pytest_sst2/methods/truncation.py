"""Warnings about sentences that are longer than the longest input."""

from __future__ import annotations

from typing import Any

from pytest_sst2.data.splits import Examples

# Every data set has a few long sentences, so a smaller share is not worth a warning.
_TRUNCATED_SHARE = 0.01


def truncation_warnings(tokenizer: Any, limit: int, train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Warn if a transformers tokenizer truncates over 1% of the rows to ``limit`` tokens, special tokens included."""
    warnings = []
    for name, rows in (("training", train), ("evaluation", evaluation)):
        # A tokenizer makes at most one token per byte, and a special token at either end.
        suspects = [sentence for sentence in rows.sentences if len(sentence.encode()) + 2 > limit]
        if not suspects or not hasattr(tokenizer, "convert_ids_to_tokens"):
            continue
        whole = tokenizer(suspects, truncation=False, verbose=False)["input_ids"]
        share = sum(len(ids) > limit for ids in whole) / len(rows)
        if share > _TRUNCATED_SHARE:
            warnings.append(f"{share:.0%} of the {name} sentences were cut to {limit} tokens")
    return tuple(warnings)
