"""Build tiny models with random weights. They work like real ones, but their accuracy means nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
GOOD = ["good", "great", "funny", "warm", "clever", "charming", "moving"]
BAD = ["bad", "awful", "dull", "tedious", "lifeless", "clumsy"]
WORDS = [*GOOD, *BAD, "a", "the", "film", "movie", "story", "is", "and", "not", ".", ","]
LETTERS = [letter for char in "abcdefghijklmnopqrstuvwxyz" for letter in (char, f"##{char}")]


def sentences_and_labels(count: int) -> tuple[list[str], list[int]]:
    """Return ``count`` distinct simple sentences, alternately negative and positive, and their labels."""
    sentences, labels = [], []
    for number in range(count):
        label = number % 2
        word = (GOOD if label else BAD)[number // 2 % 6]
        tail = "".join(chr(97 + int(digit)) for digit in str(number))
        sentences.append(f"the {tail} film is {word} and {word} .")
        labels.append(label)
    return sentences, labels


def write_tokenizer(folder: Path) -> None:
    """Write an uncased WordPiece tokenizer with a vocabulary of less than a hundred tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL_TOKENS, *WORDS, *LETTERS]) + "\n", encoding="utf-8")
    config = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 64}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def write_fast_tokenizer(folder: Path, **config: Any) -> Path:
    """Write a ``PreTrainedTokenizerFast`` with the same words; return the folder.

    It adds no special tokens, and has no padding token and no maximum length unless the config sets them.
    """
    tokenizer = word_piece_tokenizer((folder / "vocab.txt").read_text().split())
    tokenizer.save(str(folder / "tokenizer.json"))
    content = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "eos_token": "[SEP]", **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def word_piece_tokenizer(words: Iterable[str]) -> Any:
    """Return a ``tokenizers.Tokenizer`` of these words without special tokens around a sentence."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def write_encoder(folder: Path, architecture: str = "bert", *, seed: int = 0, **overrides: Any) -> Path:
    """Write a two-layer encoder with 32 dimensions and its tokenizer, as ``save_pretrained`` does."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes: dict[str, Any] = {
        "bert": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
        "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
        "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 2, "eos_token_id": 3},
        "roberta": {
            **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
            "type_vocab_size": 1,
        },
    }[architecture]
    vocabulary = len(SPECIAL_TOKENS) + len(WORDS) + len(LETTERS)
    defaults = {"vocab_size": vocabulary, "max_position_embeddings": 64}
    config = AutoConfig.for_model(architecture, **{**defaults, **sizes, **overrides})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def add_sentence_modules(folder: Path, *, pooling: str = "mean", normalize: bool = True, dimensions: int = 32) -> Path:
    """Add sentence-transformers modules to an encoder's folder."""
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    if normalize:
        modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})
        (folder / "2_Normalize").mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir(exist_ok=True)
    config = {
        "word_embedding_dimension": dimensions,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}), encoding="utf-8")
    return folder


def write_word_vectors(folder: Path, kind: str, *, words: int = 0, seed: int = 0) -> Path:
    """Write a sentence encoder without transformer in the layout of ``save_pretrained``; return its folder.

    Args:
        folder: A new folder.
        kind: ``StaticEmbedding``, ``WordEmbeddings``, ``BoW``, or ``model2vec``: a StaticEmbedding in the root, under
            the name and with the config that model2vec gives it.
        words: Number of vectors; 0 for one per word of the vocabulary.
        seed: Of the vectors.
    """
    module = "StaticEmbedding" if kind == "model2vec" else kind
    place = "." if kind == "model2vec" else f"0_{kind}"
    last = {"WordEmbeddings": "Pooling", "model2vec": "Normalize"}.get(kind)
    entries = [(place, module), *([(f"1_{last}", last)] if last else [])]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{name}"}
        for number, (path, name) in enumerate(entries)
    ]
    for path, _ in entries:
        (folder / path).mkdir(parents=True, exist_ok=True)
    _write_json(folder / "modules.json", modules)
    vocabulary = [*SPECIAL_TOKENS, *WORDS, *LETTERS]
    if kind == "BoW":
        settings = {"vocab": vocabulary, "word_weights": {"good": 2.0}, "unknown_word_weight": 1}
        _write_json(folder / place / "config.json", {**settings, "cumulative_term_frequency": True})
        return folder
    _write_vectors(folder / place, kind, words or len(vocabulary), seed)
    if kind == "WordEmbeddings":
        tokenizer = "sentence_transformers.models.tokenizer.WhitespaceTokenizer.WhitespaceTokenizer"
        settings = {"tokenizer_class": tokenizer, "update_embeddings": False, "max_seq_length": 1_000_000}
        _write_json(folder / place / "wordembedding_config.json", settings)
        settings = {"vocab": vocabulary, "stop_words": ["the"], "do_lower_case": False}
        _write_json(folder / place / "whitespacetokenizer_config.json", settings)
        _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8})
        return folder
    _write_json(folder / place / "tokenizer.json", json.loads(word_piece_tokenizer(vocabulary).to_str()))
    if kind == "model2vec":
        settings = {"model_type": "model2vec", "architectures": ["StaticModel"], "tokenizer_name": "org/base"}
        _write_json(folder / "config.json", {**settings, "normalize": True})
    return folder


def _write_vectors(place: Path, kind: str, words: int, seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    key = {"StaticEmbedding": "embedding.weight", "WordEmbeddings": "emb_layer.weight"}.get(kind, "embeddings")
    vectors = torch.randn(words, 8, generator=torch.Generator().manual_seed(seed))
    save_file({key: vectors}, place / "model.safetensors")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
