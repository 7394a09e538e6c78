"""Test that unsafe models are refused, with nothing executed or written."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub.cache import cache_folder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import locate_files
from pytest_sst2.utils.errors import Sst2Error
from tests.support.loopback_hub import LoopbackHub
from tests.support.model_folders import (
    add_dense_module,
    edit_json,
    in_folder,
    locate,
    on_hub,
    pickle_weights,
    refusal_of,
)

WEIGHTS = "model.safetensors"


class Payload:
    """Creates a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.trace,)


# Python's audit events: files opened for writing, programs started, connections opened. A hook cannot be removed.
SIDE_EFFECTS: list[str] = []
WATCHED: list[bool] = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def record_side_effect(event: str, arguments: tuple[Any, ...]) -> None:
    if not WATCHED:
        return
    if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.mkdir"):
        SIDE_EFFECTS.append(f"{event} {arguments!r}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        SIDE_EFFECTS.append(f"write {arguments[0]!r}")


sys.addaudithook(record_side_effect)


@contextlib.contextmanager
def no_side_effects() -> Iterator[None]:
    """Fail if the body writes a file, starts a program or opens a connection."""
    SIDE_EFFECTS.clear()
    WATCHED.append(True)
    try:
        yield
    finally:
        WATCHED.clear()
    assert SIDE_EFFECTS == []


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """Return a path that exists once code of a model has run."""
    return tmp_path / "it-ran"


def refusal(model: Path) -> str:
    """Return the error of a model that is refused, and check that nothing in its folder changes."""
    before = {path: path.lstat().st_mtime_ns for path in model.rglob("*")}
    with no_side_effects(), pytest.raises(Sst2Error) as caught:
        ModelLoader().locate(ModelSpec("mine", folder=model))
    assert {path: path.lstat().st_mtime_ns for path in model.rglob("*")} == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit_header(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = (model / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


def first_tensor(header: dict[str, Any]) -> dict[str, Any]:
    tensor: dict[str, Any] = next(value for key, value in header.items() if key != "__metadata__")
    return tensor


class TestCode:
    @pytest.mark.parametrize("name", [WEIGHTS, "pytorch_model.bin", "1_Pooling/pytorch_model.bin"])
    def test_a_pickle_of_code_is_refused_whatever_its_name(self, model: Path, trace: Path, name: str) -> None:
        if name == "pytorch_model.bin":
            (model / WEIGHTS).unlink()
        (model / name).write_bytes(pickle.dumps(Payload(trace)))
        if name == WEIGHTS:
            assert "save_pretrained()" in refusal(model)
        else:  # a conversion writes into the cache
            assert "not a pickle of tensors" in refusal_of(in_folder(model))
        assert not trace.exists()

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_a_config_that_names_code_in_its_folder_is_refused(self, model: Path, trace: Path, name: str) -> None:
        (model / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).mkdir()\n")
        edit_json(model / name, auto_map={"AutoModel": "theirs.Model", "AutoTokenizer": ["theirs.Tokenizer", None]})
        assert f"auto_map in its {name}" in refusal(model)
        assert not trace.exists()

    @pytest.mark.parametrize("name", ["theirs.Tokenizer", "pathlib.Path", "os.system", "../theirs.Tokenizer"])
    def test_a_class_that_a_tokenizer_config_names_is_not_imported(self, model: Path, trace: Path, name: str) -> None:
        (model / "theirs.py").write_text(
            f"import pathlib\npathlib.Path({str(trace)!r}).mkdir()\nclass Tokenizer: ...\n"
        )
        edit_json(model / "tokenizer_config.json", tokenizer_class=name)
        assert "its tokenizer could not be loaded" in refusal(model)
        assert not trace.exists()

    @pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
    def test_compiled_attention_from_a_repository_is_refused(self, model: Path, key: str) -> None:
        edit_json(model / "config.json", text_config={key: "org/kernel:flash"})
        assert f"org/kernel:flash, the {key.strip('_')} in its config.json" in refusal(model)

    @pytest.mark.parametrize(
        ("name", "settings"),
        [
            ("config.json", {"activation_function": "theirs.Activation"}),
            ("config.json", {"activation_function": "torch.hub.load"}),
            ("wordembedding_config.json", {"tokenizer_class": "pathlib.Path"}),
            ("router_config.json", {"types": {"query_0": "theirs.Encoder"}}),
        ],
    )
    def test_a_class_that_a_modules_config_names_is_not_imported(
        self, model: Path, name: str, settings: dict[str, Any]
    ) -> None:
        edit_json(model / "1_Pooling" / name, **settings)
        message = refusal(model)
        assert f"in its {name}" in message
        assert "--sst2-trust-remote-code" in message

    @pytest.mark.parametrize("name", ["torch.nn.Tanh", "theirs", "sentence_transformersx.Pooling"])
    def test_only_modules_of_sentence_transformers_are_allowed(self, model: Path, name: str) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[1]["type"] = name
        (model / "modules.json").write_text(json.dumps(modules))
        assert f"{name} in its modules.json" in refusal(model)

    def test_classes_of_the_libraries_are_allowed(self, model: Path) -> None:
        edit_json(model / "1_Pooling" / "other_config.json", activation_function="torch.nn.modules.activation.Tanh")
        edit_json(model / "config.json", attn_implementation="eager")
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256


class TestUnverifiedWeights:
    def test_an_adapter_is_refused(self, model: Path) -> None:
        edit_json(model / "adapter_config.json", peft_type="LORA", base_model_name_or_path="org/other")
        message = refusal(model)
        assert "an adapter" in message
        assert "merge_and_unload()" in message

    def test_a_config_that_names_another_weight_file_is_refused(self, model: Path) -> None:
        shutil.copy(model / WEIGHTS, model / "other.safetensors")
        edit_json(model / "config.json", transformers_weights="other.safetensors")
        assert "loads the weights from 'other.safetensors'" in refusal(model)

    def test_of_a_single_file_and_shards_the_loaded_one_is_verified(self, model: Path) -> None:
        import torch

        (model / "shard.safetensors").write_bytes(b"not read")
        (model / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"tensor": "shard.safetensors"}}))
        loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
        assert loader.locate(spec).all_weight_files == [model / WEIGHTS]
        loaded = loader.sentence_encoder(spec).state_dict()
        (model / f"{WEIGHTS}.index.json").unlink()
        alone = ModelLoader().sentence_encoder(spec).state_dict()
        assert all(torch.equal(tensor, alone[key]) for key, tensor in loaded.items())


class TestOutsideTheFolder:
    @pytest.mark.parametrize("named", ["../away/m.safetensors", "..\\away\\m.safetensors", "/etc/passwd", "C:\\m.bin"])
    def test_a_shard_outside_the_folder_is_refused(self, model: Path, named: str) -> None:
        (model / WEIGHTS).unlink()
        (model / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"tensor": named}}))
        assert f"names {named!r}, which is outside the model's folder" in refusal(model)

    @pytest.mark.parametrize("named", ["../away", "/tmp", "1_Pooling/../../away"])
    def test_a_module_outside_the_folder_is_refused(self, model: Path, named: str) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[-1]["path"] = named
        (model / "modules.json").write_text(json.dumps(modules))
        assert "outside the model's folder" in refusal(model)

    @pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt", "1_Pooling/config.json"])
    def test_a_symbolic_link_out_of_the_folder_is_refused(self, model: Path, tmp_path: Path, name: str) -> None:
        away = tmp_path / "away"
        (model / name).rename(away)
        (model / name).symlink_to(away)
        assert f"is a link to {away}, outside the model's folder" in refusal(model)

    def test_links_in_the_folder_and_a_link_to_the_folder_are_followed(self, model: Path, tmp_path: Path) -> None:
        (model / WEIGHTS).rename(model / "blob")
        (model / WEIGHTS).symlink_to("blob")
        (tmp_path / "link").symlink_to(model)
        assert ModelLoader().locate(ModelSpec("mine", folder=tmp_path / "link")).weights.sha256

    def test_links_of_a_snapshot_to_its_blobs_are_followed(self, model: Path, tmp_path: Path) -> None:
        snapshot = tmp_path / "models--org--mine" / "snapshots" / ("a" * 40)
        (snapshot.parent.parent / "blobs").mkdir(parents=True)
        shutil.copytree(model, snapshot)
        (snapshot / WEIGHTS).rename(snapshot.parent.parent / "blobs" / "b1")
        (snapshot / WEIGHTS).symlink_to("../../blobs/b1")
        assert ModelLoader().locate(ModelSpec("mine", folder=snapshot)).weights.sha256


class TestHeaders:
    @pytest.mark.parametrize(
        ("key", "value"),
        [("dtype", "F99"), ("shape", [2**40]), ("data_offsets", [0, 2**60]), ("data_offsets", [8, 4]), ("shape", [-1])],
    )
    def test_a_wrong_safetensors_header_is_refused(self, model: Path, key: str, value: Any) -> None:
        edit_header(model, lambda header: first_tensor(header).update({key: value}))
        assert f"{model / WEIGHTS} is not a valid safetensors file" in refusal(model)

    @pytest.mark.parametrize(
        "damaged",
        [
            lambda content: struct.pack("<Q", 10**11) + content[8:],
            lambda content: content[:-100],
            lambda content: content + b"more",
            lambda content: b"",
            lambda content: struct.pack("<Q", 2) + b"[]",
        ],
        ids=["header of 100 GB", "cut short", "with a tail", "empty", "a list"],
    )
    def test_a_file_that_differs_from_its_header_is_refused(
        self, model: Path, damaged: Callable[[bytes], bytes]
    ) -> None:
        (model / WEIGHTS).write_bytes(damaged((model / WEIGHTS).read_bytes()))
        assert f"{model / WEIGHTS} is not a valid safetensors file" in refusal(model)


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_nan_and_infinite_weights_are_counted_and_refused(self, model: Path, value: float, dtype: str) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        tensors = {key: tensor.to(getattr(torch, dtype)) for key, tensor in load_file(model / WEIGHTS).items()}
        key = "encoder.layer.1.output.dense.weight"
        tensors[key][3, :2] = value
        save_file(tensors, model / WEIGHTS, {"format": "pt"})
        message = refusal(model)
        assert f"2 of the {tensors[key].numel():,} numbers of {key}" in message
        assert "are NaN or infinite" in message

    @pytest.mark.parametrize("value", [1e300, -1e39])
    def test_weights_that_are_infinite_in_float32_only_are_refused(self, model: Path, value: float) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        tensors = load_file(model / WEIGHTS)
        key = "embeddings.word_embeddings.weight"
        tensors[key] = tensors[key].to(torch.float64)
        tensors[key][70] = value
        save_file(tensors, model / WEIGHTS, {"format": "pt"})
        assert f"numbers of {key} in {model / WEIGHTS} are NaN or infinite in float32" in refusal(model)


class TestPipes:
    @pytest.mark.parametrize(
        "name",
        [
            *("README.md", "modules.json", "config_sentence_transformers.json", "special_tokens_map.json"),
            *("tokenizer.json", "generation_config.json", "1_Pooling/README.md", "chat_template.jinja", WEIGHTS),
        ],
    )
    def test_a_pipe_is_refused(self, model: Path, name: str) -> None:
        (model / name).unlink(missing_ok=True)
        os.mkfifo(model / name)
        assert f"{model / name} is neither a file nor a folder but a pipe" in refusal(model)

    def test_a_link_to_a_pipe_is_refused(self, model: Path) -> None:
        os.mkfifo(model / "pipe")
        (model / "README.md").symlink_to("pipe")
        assert "is neither a file nor a folder" in refusal(model)

    def test_devices_and_sockets_are_refused(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import socket

        monkeypatch.chdir(model)  # the path of a socket is limited to about a hundred characters
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
            assert f"{model / 'socket'} is neither a file nor a folder" in refusal(model)
            (model / ".git").mkdir()
            (model / "socket").rename(model / ".git" / "fsmonitor--daemon.ipc")
            assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
        (model / "README.md").symlink_to("/dev/zero")
        assert "README.md is a link to /dev/zero, outside" in refusal(model)

    def test_a_circular_link_is_refused_and_a_broken_link_is_ignored(self, model: Path) -> None:
        (model / "gone").symlink_to("nowhere")
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
        (model / "README.md").symlink_to("README.md")
        try:
            ModelLoader().locate(ModelSpec("mine", folder=model))
        except Sst2Error as error:  # before Python 3.13
            assert f"{model / 'README.md'} cannot be read" in str(error)  # noqa: PT017 - since 3.13 there is no error


def test_pickles_on_the_hub_are_converted_and_the_note_says_so(server: LoopbackHub, plain: Path) -> None:
    expected = load_file(plain / "model.safetensors")
    commit = server.add("org/mine", pickle_weights(plain))
    located = locate(on_hub())
    assert (located.weights.source, located.weights.revision) == ("hub", commit)
    assert located.note.startswith("converted from pytorch_model.bin (sha256 ")
    assert load_file(located.transformer / "model.safetensors").keys() == expected.keys()
    server.stop()
    assert locate(on_hub()).weights == dataclasses.replace(located.weights, source="cache")


def test_pickles_in_a_folder_are_converted_to_the_same_tensors(plain: Path) -> None:
    before = load_file(plain / "model.safetensors")
    located = locate(in_folder(pickle_weights(plain)))
    after = load_file(located.transformer / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert located.folder != plain


def test_remote_code_requires_the_option(plain: Path) -> None:
    edit_json(plain / "config.json", auto_map={"AutoModelForCausalLM": "theirs.Model"})
    message = refusal_of(in_folder(plain))
    assert "auto_map" in message
    assert "--sst2-trust-remote-code" in message
    assert ModelLoader(trust_remote_code=True).locate(in_folder(plain)).folder == plain


def test_only_trusted_code_is_downloaded(server: LoopbackHub, plain: Path) -> None:
    (plain / "theirs.py").write_text("class Model: ...\n")
    edit_json(plain / "config.json", auto_map={"AutoModel": "theirs.Model", "AutoConfig": "org/other--theirs.Config"})
    server.add("org/mine", plain)
    assert "--sst2-trust-remote-code" in refusal_of(on_hub())
    (folder,) = cache_folder().glob("models--org--mine/snapshots/*")
    assert not (folder / "theirs.py").exists()
    assert locate_files(on_hub(), trust_remote_code=True).weights.source == "hub"
    assert (folder / "theirs.py").is_file()
    assert locate_files(on_hub(), trust_remote_code=True).weights.source == "cache"


def test_a_cached_model_whose_code_is_in_another_repository_is_used(server: LoopbackHub, plain: Path) -> None:
    edit_json(plain / "config.json", auto_map={"AutoModel": "org/other--theirs.Model"})
    server.add("org/mine", plain)
    sources = [locate_files(on_hub(), trust_remote_code=True).weights.source for _ in range(2)]
    assert sources == ["hub", "cache"]


def test_a_module_of_another_class_is_named_and_refused(sentence: Path) -> None:
    modules = json.loads((sentence / "modules.json").read_text())
    modules[1]["type"] = "theirs.pooling.Pooling"
    (sentence / "modules.json").write_text(json.dumps(modules))
    message = refusal_of(in_folder(sentence))
    assert "theirs.pooling.Pooling" in message
    assert "--sst2-trust-remote-code" in message


def test_a_pickled_dense_module_is_converted(sentence: Path, routed: bool) -> None:
    import torch
    from safetensors.torch import load_file

    dense = add_dense_module(sentence, seed=0, routed=routed)
    expected = ModelLoader().sentence_encoder(in_folder(sentence)).encode(["good"])
    torch.save(load_file(dense / "model.safetensors"), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()
    assert np.allclose(ModelLoader().sentence_encoder(in_folder(sentence)).encode(["good"]), expected)


def test_a_dense_module_with_nan_is_refused(sentence: Path, routed: bool) -> None:
    from safetensors.numpy import load_file, save_file

    weights = add_dense_module(sentence, seed=0, routed=routed) / "model.safetensors"
    tensors = load_file(weights)
    tensors["linear.bias"][3] = float("nan")
    save_file(tensors, weights)
    assert "NaN" in refusal_of(in_folder(sentence), ModelLoader.sentence_encoder)


@pytest.mark.parametrize(
    ("setting", "value", "part"),
    [
        ("in_features", 10**12, "could not be loaded"),
        ("out_features", 9_999, "could not be loaded"),
        ("activation_function", "http.server.HTTPServer", "http.server.HTTPServer"),
    ],
)
def test_a_dense_module_with_an_invalid_config_is_refused(
    sentence: Path, routed: bool, setting: str, value: object, part: str
) -> None:
    config = add_dense_module(sentence, seed=0, routed=routed) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), setting: value}))
    assert part in refusal_of(in_folder(sentence), ModelLoader.sentence_encoder)


@pytest.mark.parametrize("name", ["../../elsewhere", "/elsewhere", "C:\\elsewhere"])
def test_a_router_module_outside_the_folder_is_refused(sentence: Path, name: str) -> None:
    router = add_dense_module(sentence, seed=0, routed=True).parent / "router_config.json"
    config = json.loads(router.read_text())
    router.write_text(json.dumps({**config, "types": {**config["types"], name: "sentence_transformers.models.Dense"}}))
    assert "outside the model's folder" in refusal_of(in_folder(sentence))
