"""Faults between a sentence and its token ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.faults.harness import ENCODERS, LINEAR, PROBES, TUNE, World, fault
from tests.faults.injecting import around, is_special, tokenizer_loaded, with_json, with_vocabulary


@fault(
    "lower-casing lost",
    ENCODERS,
    "named",
    r"lower-casing",
    replays="token ids from another tokenizer resolution (transformers#45701)",
)
def _case(patch: pytest.MonkeyPatch, world: World) -> None:
    _normaliser(patch, lowercase=False, strip_accents=True)


@fault("accents kept instead of stripped", ENCODERS, "named", r"accents or other scripts.*normalisation of text")
def _accents(patch: pytest.MonkeyPatch, world: World) -> None:
    _normaliser(patch, lowercase=True, strip_accents=False)


def _normaliser(patch: pytest.MonkeyPatch, **options: bool) -> None:
    from tokenizers.normalizers import BertNormalizer

    def change(tokenizer: Any) -> None:
        tokenizer.backend_tokenizer.normalizer = BertNormalizer(**options)

    tokenizer_loaded(patch, change)


@fault("punctuation no longer split from words", ENCODERS, "named", r"token ids differ.*split")
def _whitespace_split(patch: pytest.MonkeyPatch, world: World) -> None:
    from tokenizers.pre_tokenizers import WhitespaceSplit

    def change(tokenizer: Any) -> None:
        tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()

    tokenizer_loaded(patch, change)


@fault("[CLS] dropped", ENCODERS, "named", r"\[CLS\]")
def _no_cls(patch: pytest.MonkeyPatch, world: World) -> None:
    from tokenizers.processors import TemplateProcessing

    def change(tokenizer: Any) -> None:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="$A [SEP]", pair="$A [SEP] $B [SEP]", special_tokens=[("[SEP]", tokenizer.sep_token_id)]
        )

    tokenizer_loaded(patch, change)


@fault("special tokens dropped", ENCODERS, "named", r"\[CLS\]")
def _no_specials(patch: pytest.MonkeyPatch, world: World) -> None:
    from tokenizers.processors import TemplateProcessing

    def change(tokenizer: Any) -> None:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B", special_tokens=[])

    tokenizer_loaded(patch, change)


@fault(
    "another model's tokenizer: as many tokens, in another order",
    ENCODERS,
    "named",
    r"same pieces have other ids",
    replays="token ids from another tokenizer resolution (transformers#45701)",
)
def _permuted(patch: pytest.MonkeyPatch, world: World) -> World:
    def permute(vocabulary: dict[str, int]) -> dict[str, int]:
        plain = [token for token in vocabulary if not is_special(token)]
        ids = np.random.default_rng(7).permutation([vocabulary[token] for token in plain])
        return {**vocabulary, **dict(zip(plain, map(int, ids), strict=True))}

    return with_vocabulary(world, permute)


@fault("another model's tokenizer: fewer tokens", ENCODERS, "named", r"tokenizer has [\d,]+ tokens, had [\d,]+")
def _fewer_tokens(patch: pytest.MonkeyPatch, world: World) -> World:
    def shrink(vocabulary: dict[str, int]) -> dict[str, int]:
        kept = [token for token in vocabulary if is_special(token) or vocabulary[token] % 5]
        return {token: number for number, token in enumerate(kept)}

    return with_vocabulary(world, shrink)


@fault(
    "another model's tokenizer: ids that the encoder has no embedding for", (LINEAR,), "incomparable", "do not belong"
)
def _ids_too_high(patch: pytest.MonkeyPatch, world: World) -> World:
    def shift(vocabulary: dict[str, int]) -> dict[str, int]:
        filler = {f"filler{number}": number for number in range(len(vocabulary))}
        return {**filler, **{token: number + len(filler) for token, number in vocabulary.items()}}

    return with_vocabulary(world, shift)


@fault("another model's tokenizer: pads with another token", (LINEAR,), "incomparable", r"pads with token \d+, not 0")
def _other_padding(patch: pytest.MonkeyPatch, world: World) -> World:
    def move(vocabulary: dict[str, int]) -> dict[str, int]:
        kept = [token for token in vocabulary if is_special(token) or vocabulary[token] % 5]
        kept.remove("[PAD]")
        return {token: number for number, token in enumerate([kept[0], "[PAD]", *kept[1:]])}

    return with_vocabulary(world, move)


@fault("sentences cut to 5 tokens by the encoder", PROBES, "named", r"cut to 5 tokens, were \d+")
def _cut_encoder(patch: pytest.MonkeyPatch, world: World) -> World:
    return with_json(world, "sentence_bert_config.json", lambda config: config.update(max_seq_length=5))


@fault("sentences cut to 5 tokens when fine-tuning", (TUNE,), "named", r"cut to 5 tokens, were \d+")
def _cut_fine_tuning(patch: pytest.MonkeyPatch, world: World) -> World:
    return with_json(world, "tokenizer_config.json", lambda config: config.update(model_max_length=5))


@fault("training sentences alone cut to 5 tokens", (TUNE,), "named", r"given other attention_mask, input_ids")
def _cut_training(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import DataCollatorWithPadding

    def wrapper(original: Any, self: Any, rows: Any) -> Any:
        for row in rows:
            for name in ("input_ids", "token_type_ids", "attention_mask"):
                if name in row:
                    row[name] = row[name][:5]
        return original(self, rows)

    around(patch, DataCollatorWithPadding, "__call__", wrapper)


@fault(
    "sentences alone cut to 5 tokens when predicting",
    (TUNE,),
    "named",
    r"when predicting, the model reads other tokens for \d+ of",
)
def _cut_predicting(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods.sequence_classifier import SequenceClassifier

    def wrapper(original: Any, self: Any, sentences: Any) -> Any:
        kept, self.max_length = self.max_length, 5
        try:
            return original(self, sentences)
        finally:
            self.max_length = kept

    around(patch, SequenceClassifier, "__call__", wrapper)


@fault("long sentences cut at the other end", ENCODERS, "named", r"token ids differ.*(cut|end)")
def _cut_left(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer.truncation_side = "left"

    tokenizer_loaded(patch, change)


@fault("padded on the other side", (LINEAR,), "named", r"depend on .*other sentences.*padding")
def _pad_left(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(tokenizer: Any) -> None:
        tokenizer.padding_side = "left"

    tokenizer_loaded(patch, change)


@fault(
    "a prompt put before every sentence by the model's config",
    (LINEAR,),
    "named",
    r"sentence begins with “\[CLS\] film ,”",
)
def _prompt(patch: pytest.MonkeyPatch, world: World) -> World:
    prompts = {"prompts": {"query": "film , "}, "default_prompt_name": "query"}
    return with_json(world, "config_sentence_transformers.json", lambda config: config.update(prompts))


@fault(
    "a prefix put before every sentence when fine-tuning", (TUNE,), "named", r"sentence begins with “\[CLS\] film ,”"
)
def _prefix(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods.sequence_classifier import SequenceClassifier

    def wrapper(original: Any, self: Any, sentences: Any, **options: Any) -> Any:
        return original(self, [f"film , {sentence}" for sentence in sentences], **options)

    around(patch, SequenceClassifier, "tokenize", wrapper)
