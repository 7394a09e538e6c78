"""Test models without a transformer: found, downloaded, verified, measured by the probes, refused by fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.word_vectors import vocabulary_of
from tests.methods.test_methods import make_job
from tests.support.hub_clients import hub_of_this_process
from tests.support.model_folders import edit_json, in_folder, locate, on_hub, pickle_weights, refusal_of, sha256
from tests.support.tiny_models import LETTERS, SPECIAL_TOKENS, WORDS, write_word_vectors

TINY_VOCABULARY = {*SPECIAL_TOKENS, *WORDS, *LETTERS}
KINDS = ("StaticEmbedding", "WordEmbeddings", "BoW", "model2vec")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(kind: str, tmp_path: Path) -> Path:
    return write_word_vectors(tmp_path / "model", kind)


def weights_of(folder: Path, kind: str) -> Path:
    name = "config.json" if kind == "BoW" else "model.safetensors"
    return folder / ("" if kind == "model2vec" else f"0_{kind}") / name


def test_it_is_located_by_its_weights_and_embeds_sentences(kind: str, model: Path) -> None:
    located = locate(in_folder(model))
    assert located.weights.sha256 == sha256(weights_of(model, kind))
    assert (located.transformer, located.encoders) == (None, [])
    rows = ModelLoader().sentence_encoder(in_folder(model)).encode(["good film", "good good film", "bad"])
    assert np.linalg.norm(rows[0] - rows[2]) > 0.1


def test_a_probe_measures_it_and_records_what_can_be_observed(kind: str, model: Path) -> None:
    method = "torch-probe" if kind == "StaticEmbedding" else "linear-probe"
    job = make_job(model)
    trained = train(next(spec for spec in METHODS if spec.name == method), job)
    assert np.isfinite(trained.predict(job.evaluation.sentences)).all()
    fingerprint = job.recorder.fingerprint(job.train, job.evaluation, trained.predict)
    assert fingerprint.encoder is not None
    assert fingerprint.encoder.dimensions == (len(TINY_VOCABULARY) if kind == "BoW" else 8)
    assert (fingerprint.tokens is None) == (kind == "BoW")
    assert (fingerprint.encoder.effective_dtype == "") == (kind == "BoW")
    if fingerprint.tokens is not None:
        assert fingerprint.tokens.vocabulary >= len(TINY_VOCABULARY)
        assert max(fingerprint.tokens.lengths) > 1
        assert fingerprint.tokens.pieces
    assert trained.settings["max_seq_length"] == (1_000_000 if kind == "WordEmbeddings" else None)
    json.dumps(trained.settings, allow_nan=False)


def test_fine_tuning_is_refused_with_the_methods_that_work(kind: str, model: Path) -> None:
    message = refusal_of(in_folder(model), ModelLoader.sequence_classifier)
    assert refusal_of(in_folder(model), ModelLoader.tokenizer) == message
    module = "StaticEmbedding" if kind == "model2vec" else kind
    assert f"its first module is a {module}, so it has no transformer to fine-tune" in message
    assert "--methods=linear-probe,torch-probe" in message


def test_it_is_downloaded_with_the_files_that_are_read_and_no_others(kind: str, model: Path, tmp_path: Path) -> None:
    (model / "onnx").mkdir()
    for name in ("README.md", "model.onnx", "onnx/model.onnx", "onnx/tokenizer.json", "checkpoint.json"):
        (model / name).write_text("{}")
    local = locate(in_folder(model))
    with hub_of_this_process(tmp_path / "cache") as server:
        server.add("org/mine", model)
        located = locate(on_hub())
        assert (located.weights.source, located.weights.sha256) == ("hub", local.weights.sha256)
        files = {path.relative_to(located.folder).as_posix() for path in located.folder.rglob("*") if path.is_file()}
        assert files == set(local.contents)
        server.requests.clear()
        assert locate(on_hub()).weights.source == "cache"
        assert server.requests == []


def test_a_copy_in_the_cache_without_its_vocabulary_is_completed(kind: str, model: Path, tmp_path: Path) -> None:
    with hub_of_this_process(tmp_path / "cache") as server:
        server.add("org/mine", model)
        folder = locate(on_hub()).folder
        names = {"StaticEmbedding": "tokenizer.json", "model2vec": "tokenizer.json", "BoW": "config.json"}
        vocabulary = weights_of(folder, kind).with_name(names.get(kind, "wordembedding_config.json"))
        vocabulary.unlink()
        assert locate(on_hub()).weights.source == "hub"
        assert vocabulary.is_file()


@pytest.mark.parametrize("kind", ["WordEmbeddings"], indirect=True)
def test_pickled_vectors_are_converted(kind: str, model: Path) -> None:
    before = locate(in_folder(model))
    pickle_weights(weights_of(model, kind).parent)
    located = locate(in_folder(model))
    assert "converted from pytorch_model.bin" in located.note
    assert located.folder != before.folder
    assert ModelLoader().sentence_encoder(in_folder(model)).encode("good film").shape == (8,)


@pytest.mark.parametrize("kind", ["WordEmbeddings", "model2vec"], indirect=True)
def test_the_vectors_have_the_dtype_that_is_asked_for(kind: str, model: Path) -> None:
    encoder = ModelLoader().sentence_encoder(in_folder(model), dtype="bfloat16")
    assert {str(parameter.dtype) for parameter in encoder.parameters()} == {"torch.bfloat16"}


def test_a_missing_vocabulary_and_a_missing_table_are_named(tmp_path: Path) -> None:
    folder = write_word_vectors(tmp_path / "one", "StaticEmbedding")
    (folder / "0_StaticEmbedding" / "tokenizer.json").unlink()
    assert "its StaticEmbedding in" in refusal_of(in_folder(folder))
    assert "has no tokenizer.json" in refusal_of(in_folder(folder))
    folder = write_word_vectors(tmp_path / "other", "WordEmbeddings")
    weights_of(folder, "WordEmbeddings").unlink()
    assert "0_WordEmbeddings has no (or not all) weights" in refusal_of(in_folder(folder))


@pytest.mark.parametrize("kind", ["StaticEmbedding", "WordEmbeddings"])
def test_a_vocabulary_with_more_words_than_vectors_is_refused(kind: str, tmp_path: Path) -> None:
    """sentence-transformers would fail at the first sentence with such a word."""
    folder = write_word_vectors(tmp_path / "model", kind, words=70)
    message = refusal_of(in_folder(folder), ModelLoader.sentence_encoder)
    assert "but the model has vectors for 70" in message


def test_its_tokenizer_must_be_one_that_loads_no_other_files(tmp_path: Path) -> None:
    folder = write_word_vectors(tmp_path / "model", "WordEmbeddings")
    config = folder / "0_WordEmbeddings" / "wordembedding_config.json"
    edit_json(config, tokenizer_class="sentence_transformers.SentenceTransformer")
    assert "names the class 'sentence_transformers.SentenceTransformer'" in refusal_of(in_folder(folder))


def test_a_vocabulary_is_a_list_of_words_or_maps_them_to_ids() -> None:
    class Listed:
        def get_vocab(self) -> list[str]:
            return ["good", "bad"]

    class Mapped:
        def get_vocab(self) -> dict[str, int]:
            return {"bad": 1, "good": 0}

    assert vocabulary_of(Listed()) == vocabulary_of(Mapped()) == {0: "good", 1: "bad"}
    assert vocabulary_of(object()) == {}
