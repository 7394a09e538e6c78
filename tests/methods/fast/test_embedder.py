"""Embeddings in batches of similar length equal those of ``encode()``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.models.loader import ModelLoader
from tests.support.tiny_models import add_sentence_modules, sentences_and_labels, write_encoder

SENTENCES = [*sentences_and_labels(60)[0], "good", "a very long sentence " * 20, "", "good"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = add_sentence_modules(write_encoder(tmp_path_factory.mktemp("encoder")))
    return ModelLoader("cpu").sentence_encoder(ModelSpec("tiny", folder=folder))


def test_embeddings_are_those_of_the_library_in_the_order_of_the_sentences(encoder: Any) -> None:
    embeddings = Embedder(encoder)(SENTENCES)
    assert embeddings.dtype == np.float32
    assert np.abs(embeddings - encoder.encode(SENTENCES)).max() < 1e-6


def test_a_prompt_that_the_encoder_puts_in_front_is_embedded_too(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Embedder(encoder)(SENTENCES)
    monkeypatch.setattr(encoder, "prompts", {"review": "the film is "})
    monkeypatch.setattr(encoder, "default_prompt_name", "review")
    embeddings = Embedder(encoder)(SENTENCES)
    assert np.abs(embeddings - encoder.encode(SENTENCES)).max() < 1e-6
    assert np.abs(embeddings - plain).max() > 1e-3
    (ids,) = Embedder(encoder).token_ids([SENTENCES[0]]) or [[]]
    assert ids == encoder.tokenizer("the film is " + SENTENCES[0], truncation=True, max_length=32)["input_ids"]


def test_the_tokenizer_alone_is_asked_where_the_encoder_reads_what_it_gives(encoder: Any) -> None:
    embedder = Embedder(encoder)
    assert embedder.token_ids(SENTENCES) == embedder.prepared_ids(SENTENCES)
    assert max(map(len, embedder.token_ids(SENTENCES) or [])) == 32  # the encoder's own limit


def test_an_encoder_that_reads_something_else_is_asked_itself(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = encoder.preprocess

    def without_the_first(sentences: list[str], **options: Any) -> Any:
        return {name: values[:, 1:] for name, values in real(sentences, **options).items() if hasattr(values, "ndim")}

    monkeypatch.setattr(encoder, "preprocess", without_the_first)
    embedder = Embedder(encoder)
    assert embedder.token_ids(["good"]) == [ids[1:] for ids in Embedder(encoder)._tokenized(["good"])]


def test_a_model_that_reads_no_tokens_is_left_to_its_library(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "preprocess", lambda sentences, **_: {"pixels": sentences})
    embedder = Embedder(encoder)
    assert embedder.token_ids(SENTENCES) is None
    batch_sizes: list[int] = []

    def encode(sentences: list[str], **options: Any) -> Any:
        import torch

        batch_sizes.append(options["batch_size"])
        return torch.ones(len(sentences), 2)

    monkeypatch.setattr(encoder, "encode", encode)
    assert embedder(SENTENCES).shape == (64, 2)
    assert batch_sizes == [128]


def test_no_sentences_have_no_embeddings(encoder: Any) -> None:
    assert len(Embedder(encoder)([])) == 0


def test_batches_hold_sentences_of_like_length(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = encoder.preprocess
    padding: list[int] = []

    def preprocess(sentences: list[str], **options: Any) -> Any:
        inputs = real(sentences, **options)
        padding.append(int((inputs["attention_mask"] == 0).sum()))
        return inputs

    embedder = Embedder(encoder)
    assert embedder.token_ids(["good"])
    monkeypatch.setattr(encoder, "preprocess", preprocess)
    embedder(SENTENCES)
    assert len(padding) > 1
    assert max(padding) <= 0.025 * embedder.tokens_per_batch
