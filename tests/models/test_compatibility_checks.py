"""Test the checks of a loaded model: its tokenizer, its positions, and its answer to one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from pytest_sst2.models.loader import ModelLoader
from tests.support import tiny_models
from tests.support.model_folders import (
    EMBEDDINGS,
    another_vocabulary,
    edit_json,
    in_folder,
    locate,
    refusal_of,
    write_roberta,
)


@pytest.mark.parametrize("length", [-4, 0, 2, "many"])
def test_a_tokenizer_limited_to_too_few_tokens_is_refused(sentence: Path, length: object) -> None:
    edit_json(sentence / "tokenizer_config.json", model_max_length=length)
    assert f"allows {length!r} tokens (model_max_length)" in refusal_of(in_folder(sentence))


def test_a_panic_in_the_tokenizer_is_an_error(sentence: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(sentence)).save_pretrained(str(sentence))
    edit_json(sentence / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    content = json.loads((sentence / "tokenizer.json").read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[GONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    (sentence / "tokenizer.json").write_text(json.dumps(content))
    assert "its tokenizer could not be used (PanicException: " in refusal_of(in_folder(sentence))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"layer_norm_eps": float("nan")}, "returns NaN or infinity for a sentence"),
        ({"chunk_size_feed_forward": 10**12}, "its encoder could not be used (ValueError: "),
    ],
)
def test_a_config_with_invalid_arithmetic_is_refused(sentence: Path, setting: dict[str, Any], message: str) -> None:
    edit_json(sentence / "config.json", **setting)
    assert message in refusal_of(in_folder(sentence))


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_refused(plain: Path) -> None:
    another_vocabulary(plain, tokens=200)
    message = refusal_of(in_folder(plain))
    parts = [f"tokenizer in {plain} has 200 tokens", "and ids up to 199", f"for {EMBEDDINGS}.", "belong together"]
    assert [part for part in parts if part not in message] == []


def test_a_word_without_an_embedding_is_refused_even_if_no_probe_sentence_has_it(plain: Path) -> None:
    with (plain / "vocab.txt").open("a") as file:
        file.write("celluloid\n")
    assert f"and ids up to {EMBEDDINGS}, but" in refusal_of(in_folder(plain))


def test_an_unused_special_token_without_an_embedding_is_accepted(plain: Path) -> None:
    tokenizer = ModelLoader().tokenizer(in_folder(plain))
    tokenizer.add_special_tokens({"additional_special_tokens": ["[NEVER]", "[NOR THIS]"]})
    tokenizer.save_pretrained(plain)
    loader, spec = ModelLoader(), in_folder(plain)
    assert loader.locate(spec).weights.sha256
    assert loader.tokenizer(spec).convert_tokens_to_ids("[NOR THIS]") >= EMBEDDINGS


def test_a_tokenizer_of_another_size_that_pads_with_another_token_is_refused(plain: Path) -> None:
    another_vocabulary(plain, tokens=60, pad=4)
    assert "has 60 tokens and pads with token 4, not 0" in refusal_of(in_folder(plain))


@pytest.mark.parametrize(("tokens", "pad"), [(60, 0), (EMBEDDINGS, 4)], ids=["fewer tokens", "another padding"])
def test_fewer_tokens_only_or_another_padding_only_is_accepted(plain: Path, tokens: int, pad: int) -> None:
    another_vocabulary(plain, tokens=tokens, pad=pad)
    assert len(ModelLoader().tokenizer(in_folder(plain))) == tokens


@pytest.mark.parametrize(("pad_id", "token"), [(0, "[PAD]"), (None, "[SEP]")])
def test_a_tokenizer_without_a_padding_token_is_refused_with_a_remedy(
    plain: Path, pad_id: int | None, token: str
) -> None:
    edit_json(plain / "config.json", pad_token_id=pad_id)
    tiny_models.write_fast_tokenizer(plain, model_max_length=64)
    message = refusal_of(in_folder(plain))
    assert f"the tokenizer in {plain} has no padding token" in message
    assert f"tokenizer.pad_token = {'tokenizer.eos_token' if pad_id is None else repr(token)}, and save it" in message
    edit_json(plain / "tokenizer_config.json", pad_token=token)
    assert locate(in_folder(plain)).weights.sha256


def test_an_encoder_with_too_few_positions_is_refused(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "short", positions=3)
    message = refusal_of(in_folder(folder))
    assert f"the encoder in {folder} has positions for 2 tokens" in message


def test_an_encoder_with_fewer_positions_than_a_long_sentence_has_tokens_is_accepted(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "short", positions=6)
    assert locate(in_folder(folder)).weights.sha256


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["Transformer"], "(KeyError: 'sentence_embedding'). Its modules in"),
        (["Pooling", "Transformer"], "are Pooling, Transformer; it needs a Transformer, followed by"),
    ],
)
def test_modules_without_a_sentence_embedding_are_refused(sentence: Path, names: list[str], part: str) -> None:
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [
        {"idx": number, "name": str(number), "path": paths[name], "type": f"sentence_transformers.models.{name}"}
        for number, name in enumerate(names)
    ]
    (sentence / "modules.json").write_text(json.dumps(modules))
    message = refusal_of(in_folder(sentence), ModelLoader.sentence_encoder)
    assert "its sentence encoder could not be used" in message
    assert part in message


@pytest.mark.usefixtures("has_routers")
def test_a_router_without_a_default_route_is_told_to_set_one(sentence: Path) -> None:
    routes = {"a": ["a_0_Transformer", "a_1_Pooling"]}
    modules = {"a_0_Transformer": "Transformer", "a_1_Pooling": "Pooling"}
    types = {place: f"sentence_transformers.models.{name}" for place, name in modules.items()}
    encoder = sentence / "a_0_Transformer"
    encoder.mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"):
        (sentence / name).rename(encoder / name)
    (sentence / "1_Pooling").rename(sentence / "a_1_Pooling")
    modules_json = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}]
    (sentence / "modules.json").write_text(json.dumps(modules_json))
    config = sentence / "router_config.json"
    parameters = {"default_route": None, "allow_empty_key": False}
    config.write_text(json.dumps({"types": types, "structure": routes, "parameters": parameters}))
    assert "has no default_route. Set it" in refusal_of(in_folder(sentence), ModelLoader.sentence_encoder)
    edit_json(config, parameters={"default_route": "a"})
    assert ModelLoader().sentence_encoder(in_folder(sentence)).encode("good").shape == (32,)


def test_a_processor_of_more_than_text_is_named(sentence: Path) -> None:
    from sentence_transformers import SentenceTransformer

    processor = {"processor_class": "WhisperProcessor", "feature_extractor_type": "WhisperFeatureExtractor"}
    edit_json(sentence / "preprocessor_config.json", **processor)
    encoder = SentenceTransformer(str(sentence))
    if not hasattr(encoder[0], "processor"):
        pytest.skip("this release of sentence-transformers reads no processor")
    message = refusal_of(in_folder(sentence), ModelLoader.sentence_encoder)
    assert "pass through a WhisperProcessor. Remove processor_config.json" in message
    (sentence / "preprocessor_config.json").unlink()
    assert ModelLoader().sentence_encoder(in_folder(sentence)).encode("good").shape == (32,)


def test_the_embedding_is_checked_once_per_loader(sentence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers import SentenceTransformer

    calls: list[object] = []
    real = SentenceTransformer.encode
    monkeypatch.setattr(
        SentenceTransformer, "encode", lambda self, *args, **options: calls.append(args) or real(self, *args, **options)
    )
    loader = ModelLoader()
    for _ in range(3):
        loader.sentence_encoder(in_folder(sentence))
    assert len(calls) == 1


def test_the_checks_of_a_model_leave_no_tensor_that_training_cannot_use(plain: Path) -> None:
    kept: list[Any] = []
    with register_module_forward_hook(lambda _module, _inputs, output: kept.append(output)):
        ModelLoader().sequence_classifier(in_folder(plain))
    tensors = [output for output in kept if isinstance(output, torch.Tensor)]
    assert tensors
    assert not any(tensor.is_inference() for tensor in tensors)
