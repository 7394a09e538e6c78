"""Test what a user is told about files and folders that look like a model but are something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_sst2.models.not_a_model import wrapped
from tests.support.loopback_hub import LoopbackHub
from tests.support.model_folders import in_folder, locate, on_hub, pickle_weights, refusal_of

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
PAGE = "\n<!DOCTYPE html>\n<html><body>Please log in</body></html>"


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "vocab.txt", "tokenizer_config.json"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [(POINTER, "is a Git LFS pointer, not the file itself. Fetch that: git lfs pull."), (PAGE, "is a web page")],
    ids=["pointer", "page"],
)
def test_a_placeholder_is_named_with_the_next_step(name: str, text: str, sentence: str, plain: Path) -> None:
    if name == "pytorch_model.bin":
        pickle_weights(plain)
    (plain / name).write_text(text)
    assert f"{plain / name} {sentence}" in refusal_of(in_folder(plain))


@pytest.mark.parametrize("text", ["Entry not found", "Invalid username or password.", "<?xml version='1.0'?><Error/>"])
def test_an_error_that_was_saved_as_weights_is_quoted(text: str, plain: Path) -> None:
    (plain / "model.safetensors").write_text(text)
    assert f"contains text in place of data: '{text}'. Download it again." in refusal_of(in_folder(plain)).replace(
        '"', "'"
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("onnx/model.onnx", "ONNX"), ("model-q4.gguf", "GGUF"), ("tf_model.h5", "TensorFlow")],
)
def test_weights_for_another_runtime_are_named(name: str, kind: str, plain: Path) -> None:
    (plain / "model.safetensors").unlink()
    (plain / name).parent.mkdir(exist_ok=True)
    (plain / name).write_bytes(b"\x08\x07")
    assert f"{plain} has weights for {kind} only ({name}), which is not read here." in refusal_of(in_folder(plain))


def test_an_adapter_is_recognised_in_a_folder_and_on_the_hub(plain: Path, server: LoopbackHub) -> None:
    (plain / "config.json").rename(plain / "adapter_config.json")
    server.add("org/mine", plain)
    for spec in (in_folder(plain), on_hub()):
        assert "is an adapter of PEFT (adapter_config.json), not a whole model" in refusal_of(spec)
    assert server.bodies_sent("model.safetensors") == 0


def test_a_folder_with_checkpoints_names_them(plain: Path) -> None:
    assert f"{plain.parent} has no config.json, so it contains no model, but plain in it has one" in refusal_of(
        in_folder(plain.parent)
    )


def test_a_sentence_encoder_without_the_config_of_its_first_module_names_its_class(sentence: Path) -> None:
    modules = json.loads((sentence / "modules.json").read_text())
    first = {**modules[0], "type": "sentence_transformers.models.Transformer"}
    (sentence / "modules.json").write_text(json.dumps([first]))
    (sentence / "config.json").unlink()
    assert "its first module is a Transformer, which cannot be measured without one" in refusal_of(in_folder(sentence))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_forward_module.bert."])
def test_tensors_under_the_name_of_a_wrapper_are_explained(prefix: str, plain: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(plain / "model.safetensors")
    save_file({prefix + key: value for key, value in tensors.items()}, plain / "model.safetensors", {"format": "pt"})
    assert f"begin with {prefix!r}" in refusal_of(in_folder(plain))


def test_tensors_of_wrapped_layers_are_explained(plain: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = {
        key.replace("layer.", "layer._orig_mod."): value
        for key, value in load_file(plain / "model.safetensors").items()
    }
    save_file(tensors, plain / "model.safetensors", {"format": "pt"})
    assert "contain '_orig_mod.', as wrappers" in refusal_of(in_folder(plain))


def test_the_prefix_of_a_head_is_none_of_a_wrapper(plain: Path) -> None:
    assert wrapped(["a.weight", "b.weight"], ["module.a.weight", "c"]) == ""
    assert wrapped([], []) == ""
    config = json.loads((plain / "config.json").read_text())
    assert locate(in_folder(plain)).spec.folder == plain, config
