"""Model folders that carry bug 2: an encoder beside a tokenizer that is not its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.models.locate import locate_files

# Where BERT's vocabulary has its words, commonest first; before them are unused rows and single signs.
FIRST_WORD = 1996
VOCABULARY = 30_522
_SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
_BYTES = 256
_TOKENIZER_FILES = ("tokenizer*", "vocab*", "special_tokens*")


def write_own(folder: Path) -> None:
    """Write all-MiniLM-L6-v2 as it is, so that the two folders differ in the tokenizer alone."""
    shutil.copytree(_minilm(), folder)


def write_foreign(folder: Path, sentences: Sequence[str]) -> None:
    """Write all-MiniLM-L6-v2's weights with a byte-level BPE tokenizer trained on ``sentences``.

    Its ids are all within MiniLM's vocabulary and it pads with the same one, so that nothing but the words is wrong.
    Its pieces begin where BERT's words begin, the commonest first on both sides: common pieces are looked up as common
    words, as RoBERTa looked up TinyBERT's.
    """
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    trained = _byte_pairs(sentences)
    vocabulary: dict[str, int] = trained["model"]["vocab"]
    moved = {piece: _moved(number) for piece, number in vocabulary.items()}
    unused = {f"<unused{number}>": number for number in range(len(_SPECIAL), FIRST_WORD - _BYTES)}
    trained["model"]["vocab"] = moved | unused
    tokenizer = Tokenizer.from_str(json.dumps(trained))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(name, _SPECIAL.index(name)) for name in ("<s>", "</s>")]
    )
    shutil.copytree(_minilm(), folder, ignore=shutil.ignore_patterns(*_TOKENIZER_FILES))
    names = dict(zip(("pad_token", "cls_token", "sep_token", "unk_token", "mask_token"), _SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names).save_pretrained(folder)


def _byte_pairs(sentences: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return a trained byte-level BPE tokenizer as JSON: special tokens first, then bytes, then pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106 - a token of another kind
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - FIRST_WORD + _BYTES + len(_SPECIAL),
        special_tokens=list(_SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    plain: dict[str, dict[str, dict[str, int]]] = json.loads(tokenizer.to_str())
    return plain


def _moved(number: int) -> int:
    return number if number < len(_SPECIAL) else number - len(_SPECIAL) + FIRST_WORD - _BYTES


def write_roberta_shape(folder: Path) -> None:
    """Write a narrow RoBERTa of random weights, with RoBERTa-base's table of tokens, and BERT's tokenizer beside it.

    Nothing of it is ever trained: it is there to be refused.
    """
    import torch
    from transformers import RobertaConfig, RobertaModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = RobertaConfig(
        vocab_size=50_265,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        max_position_embeddings=514,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        RobertaModel(config).save_pretrained(folder)
    for pattern in _TOKENIZER_FILES:
        for file in _minilm().glob(pattern):
            shutil.copy(file, folder)


def _minilm() -> Path:
    spec = next(each for each in CATALOG if each.name == "minilm")
    return locate_files(spec, trust_remote_code=False).folder
