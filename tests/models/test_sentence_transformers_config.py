"""Test which settings of a sentence encoder are allowed and which are refused."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.sentence_transformers_config import refuse_external_vocabulary
from pytest_sst2.utils.errors import Sst2Error
from tests.models.test_safety import refusal
from tests.support.model_folders import edit_json
from tests.support.tiny_models import write_encoder

SETTINGS = "sentence_bert_config.json"


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def encoder_of(folder: Path) -> Any:
    return ModelLoader().sentence_encoder(ModelSpec("mine", folder=folder))


@pytest.mark.parametrize(
    ("key", "argument", "value"),
    [
        ("model_args", "variant", "evil"),
        ("model_kwargs", "transformers_weights", "evil.safetensors"),
        ("model_args", "subfolder", "other"),
        ("model_kwargs", "quantization_config", {"load_in_8bit": True}),
        ("config_args", "num_hidden_layers", 1),
        ("config_kwargs", "num_hidden_layers", 10**6),
        ("tokenizer_args", "vocab_file", "/elsewhere/vocab.txt"),
        ("processor_kwargs", "tokenizer_file", "/elsewhere/tokenizer.json"),
    ],
)
def test_arguments_that_load_another_model_are_refused(model: Path, key: str, argument: str, value: object) -> None:
    edit_json(model / SETTINGS, **{key: {argument: value}})
    message = refusal(model)
    assert f"{model / SETTINGS} sets {key}.{argument} to " in message
    assert f"Allowed in {key} are " in message


@pytest.mark.parametrize("name", ["sentence_roberta_config.json", "sentence_xlm-roberta_config.json"])
def test_such_arguments_in_files_with_older_names_are_refused(model: Path, name: str) -> None:
    (model / SETTINGS).rename(model / name)
    edit_json(model / name, config_args={"num_hidden_layers": 1})
    assert f"{name} sets config_args.num_hidden_layers to 1" in refusal(model)


def test_such_arguments_of_a_transformer_in_a_router_are_refused(model: Path) -> None:
    within = model / "R" / "query_T"
    shutil.copytree(model, within, ignore=shutil.ignore_patterns("R", "modules.json"))
    types = {"query_T": "sentence_transformers.models.Transformer"}
    edit_json(model / "R" / "router_config.json", types=types, structure={"query": ["query_T"]}, parameters={})
    modules = [{"idx": 0, "name": "0", "path": "R", "type": "sentence_transformers.models.Router"}]
    (model / "modules.json").write_text(json.dumps(modules))
    edit_json(within / SETTINGS, model_args={"variant": "evil"})
    assert f"{within / SETTINGS} sets model_args.variant" in refusal(model)


@pytest.mark.parametrize("value", ["a", ["num_hidden_layers"], 1])
def test_arguments_that_are_not_an_object_are_refused(model: Path, value: object) -> None:
    edit_json(model / SETTINGS, config_args=value)
    assert "sets config_args to " in refusal(model)


def test_a_tokenizer_from_elsewhere_is_refused(model: Path) -> None:
    edit_json(model / SETTINGS, tokenizer_name_or_path="/elsewhere")
    assert "sets tokenizer_name_or_path to '/elsewhere'" in refusal(model)


@pytest.mark.parametrize("method", ["init_weights", "push_to_hub", "train", ["forward"], None])
def test_other_methods_of_the_model_are_refused(model: Path, method: object) -> None:
    params = {"method": method, "method_output_name": "last_hidden_state"}
    edit_json(model / SETTINGS, modality_config={"text": params}, module_output_name="token_embeddings")
    assert "sets method to " in refusal(model)


@pytest.mark.parametrize("task", ["any-to-any", "retrieval", ["fill-mask"], 1])
def test_an_unknown_task_is_refused(model: Path, task: object) -> None:
    edit_json(model / SETTINGS, transformer_task=task)
    assert "sets transformer_task to " in refusal(model)


def test_the_head_of_a_task_must_be_in_the_weights(model: Path) -> None:
    from transformers import AutoModelForMaskedLM

    edit_json(model / SETTINGS, transformer_task="fill-mask")
    message = refusal(model)
    assert "lacks" in message
    assert "cls.predictions" in message
    AutoModelForMaskedLM.from_pretrained(model).save_pretrained(model)
    assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256


def test_a_missing_pooler_is_refused_if_the_embedding_uses_it(model: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(model / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if "pooler" not in key}
    save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
    assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
    params = {"method": "forward", "method_output_name": "pooler_output"}
    edit_json(model / SETTINGS, modality_config={"text": params}, module_output_name="sentence_embedding")
    assert "lacks 2 of the encoder's" in refusal(model)


@pytest.mark.parametrize("length", [0, -5, 2, "many", True, []])
def test_a_length_of_too_few_tokens_is_refused(model: Path, length: object) -> None:
    edit_json(model / SETTINGS, max_seq_length=length)
    assert "(max_seq_length); at least 3 are needed" in refusal(model)


def test_such_a_length_in_an_argument_is_refused(model: Path) -> None:
    edit_json(model / SETTINGS, tokenizer_args={"model_max_length": 0})
    assert "allows 0 tokens (model_max_length)" in refusal(model)


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder", 1])
def test_another_model_type_can_be_fine_tuned_only(model: Path, kind: object) -> None:
    (model / "config_sentence_transformers.json").write_text(json.dumps({"model_type": kind}), encoding="utf-8")
    with pytest.raises(Sst2Error, match=f"is {kind!r}, but the probes need a SentenceTransformer"):
        encoder_of(model)
    assert ModelLoader().sequence_classifier(ModelSpec("mine", folder=model)).num_labels == 2


@pytest.mark.parametrize("content", [{}, {"model_type": "SentenceTransformer"}, {"model_type": None}])
def test_the_model_type_of_a_sentence_encoder_is_accepted(model: Path, content: dict[str, object]) -> None:
    (model / "config_sentence_transformers.json").write_text(json.dumps(content), encoding="utf-8")
    assert encoder_of(model).encode("good").shape == (32,)


@pytest.mark.parametrize("text", ["[]", "1", "{"])
def test_settings_that_are_not_an_object_are_an_error(model: Path, text: str) -> None:
    (model / SETTINGS).write_text(text)
    assert SETTINGS in refusal(model)


WRITTEN_BY_LIBRARIES = [
    {"max_seq_length": 32, "do_lower_case": False},
    {"max_seq_length": None, "do_lower_case": True},
    {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
        "processing_kwargs": {"text": {"max_length": 16}},
        "unpad_inputs": False,
    },
]
WRITTEN_BY_PEOPLE: list[dict[str, Any]] = [
    {"model_args": {}, "tokenizer_args": {}},
    {"model_args": {"torch_dtype": "float16", "add_pooling_layer": False, "trust_remote_code": True}},
    {"model_kwargs": {"attn_implementation": "eager"}, "config_kwargs": {"output_hidden_states": True}},
    {"tokenizer_args": {"padding_side": "right", "model_max_length": 20}},
]


@pytest.mark.parametrize("settings", [*WRITTEN_BY_LIBRARIES, *WRITTEN_BY_PEOPLE], ids=str)
def test_common_settings_are_accepted(model: Path, settings: dict[str, Any]) -> None:
    import torch
    from sentence_transformers.models import Transformer

    if {"transformer_task", "model_kwargs"} & set(settings) - set(inspect.signature(Transformer).parameters):
        pytest.skip("this release of sentence-transformers has no such setting")
    (model / SETTINGS).write_text(json.dumps(settings))
    encoder = encoder_of(model)
    assert encoder.encode(["good film"]).shape == (1, 32)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.float32}


def test_a_model_saved_by_sentence_transformers_is_accepted(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(str(write_encoder(tmp_path / "plain"))).save(str(tmp_path / "saved"))
    assert encoder_of(tmp_path / "saved").encode(["good film"]).shape == (1, 32)


class TestVocabulary:
    @pytest.fixture
    def elsewhere(self, model: Path, tmp_path: Path) -> Path:
        return Path(shutil.copy(model / "vocab.txt", tmp_path / "vocab.txt"))

    @pytest.mark.parametrize("key", ["vocab", "vocab_file", "tokenizer_file", "merges_file", "another_file"])
    def test_a_vocabulary_outside_the_folder_is_refused(self, model: Path, elsewhere: Path, key: str) -> None:
        edit_json(model / "tokenizer_config.json", **{key: str(elsewhere)})
        assert f"sets {key} to " in refusal(model)

    @pytest.mark.parametrize("value", ["/nowhere/vocab.txt", None, "a\0b", "x" * 5000])
    def test_a_path_that_does_not_exist_is_accepted(self, model: Path, value: object) -> None:
        edit_json(model / "tokenizer_config.json", vocab_file=value, tokenizer_file=value)
        refuse_external_vocabulary("mine", model)

    @pytest.mark.parametrize("key", ["vocab", "vocab_file"])
    def test_a_vocabulary_in_the_working_folder_is_refused(
        self, model: Path, elsewhere: Path, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(elsewhere.parent)
        edit_json(model / "tokenizer_config.json", **{key: elsewhere.name})
        assert f"sets {key} to 'vocab.txt'" in refusal(model)

    def test_origins_and_tokens_are_not_paths(
        self, model: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(elsewhere.parent)
        elsewhere.rename("[MASK]")
        edit_json(
            model / "tokenizer_config.json", mask_token="[MASK]", special_tokens_map_file=str(Path("[MASK]").resolve())
        )
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256

    def test_a_vocabulary_in_the_folder_is_accepted(self, model: Path) -> None:
        edit_json(model / "tokenizer_config.json", vocab_file=str(model / "vocab.txt"))
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
