"""Warnings about sentences that the model does not read as they are: truncated, or with unknown words."""

from __future__ import annotations

from typing import Any

from pytest_sst2.data.splits import Examples

# Every data set has a few long sentences, so a smaller share is not worth a warning.
_TRUNCATED_SHARE = 0.01
# Names and other alphabets give a few unknown tokens with every vocabulary of words.
_UNKNOWN_SHARE = 0.02
_SAMPLE = 1_000


def truncation_warnings(
    tokenizer: Any, limit: int, train: Examples | None, evaluation: Examples, prompt: str = ""
) -> tuple[str, ...]:
    """Warn if a transformers tokenizer truncates over 1% of the rows to ``limit`` tokens, special tokens included.

    ``train`` is None if the model reads no training rows. ``prompt`` is the text that the encoder puts before each
    sentence.
    """
    warnings = []
    for name, rows in (("training", train), ("evaluation", evaluation)):
        if rows is None:
            continue
        # A tokenizer makes at most one token per byte, and a special token at either end.
        suspects = [prompt + sentence for sentence in rows.sentences if len((prompt + sentence).encode()) + 2 > limit]
        if not suspects or not hasattr(tokenizer, "convert_ids_to_tokens"):
            continue
        whole = tokenizer(suspects, truncation=False, verbose=False)["input_ids"]
        share = sum(len(ids) > limit for ids in whole) / len(rows)
        if share > _TRUNCATED_SHARE:
            warnings.append(f"{share:.0%} of the {name} sentences were cut to {limit} tokens")
    return tuple(warnings)


def unknown_token_warnings(tokenizer: Any, evaluation: Examples) -> tuple[str, ...]:
    """Warn if over 2% of the tokens in the first evaluation sentences are the tokenizer's unknown token.

    The usual cause is a tokenizer that keeps capitals or accents, with a vocabulary that has none.
    """
    unknown = getattr(tokenizer, "unk_token_id", None)
    if unknown is None or not hasattr(tokenizer, "convert_ids_to_tokens"):
        return ()
    sample = list(evaluation.sentences[:_SAMPLE])
    ids = tokenizer(sample, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    tokens = [token for sentence in ids for token in sentence]
    share = sum(token == unknown for token in tokens) / max(1, len(tokens))
    if share <= _UNKNOWN_SHARE:
        return ()
    return (
        f"{share:.0%} of the tokens of the evaluation sentences are unknown to the tokenizer ({tokenizer.unk_token}): "
        "its settings, such as do_lower_case, do not fit its vocabulary, or the sentences are in another language",
    )
