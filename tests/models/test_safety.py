"""Models that would run code, lie about themselves, or hold no numbers: refused, with nothing executed or written."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils.errors import Sst2Error

WEIGHTS = "model.safetensors"


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.trace,)


# What Python itself tells of: files opened to be written, programs started, connections made. A hook stays for good.
DEEDS: list[str] = []
WATCHED: list[bool] = []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def note_deed(event: str, arguments: tuple[Any, ...]) -> None:
    if not WATCHED:
        return
    if event in ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "os.mkdir"):
        DEEDS.append(f"{event} {arguments!r}")
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
        DEEDS.append(f"write {arguments[0]!r}")


sys.addaudithook(note_deed)


@contextlib.contextmanager
def nothing_done() -> Iterator[None]:
    """Fail if the body writes a file, starts a program or opens a connection."""
    DEEDS.clear()
    WATCHED.append(True)
    try:
        yield
    finally:
        WATCHED.clear()
    assert DEEDS == []


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What exists once anything that a model brings along has run."""
    return tmp_path / "it-ran"


def refusal(model: Path) -> str:
    """Return the sentence with which a model is refused; nothing in its folder may change."""
    before = {path: path.lstat().st_mtime_ns for path in model.rglob("*")}
    with nothing_done(), pytest.raises(Sst2Error) as caught:
        ModelLoader().locate(ModelSpec("mine", folder=model))
    assert {path: path.lstat().st_mtime_ns for path in model.rglob("*")} == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def edit(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **fields}))


def edit_header(model: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = (model / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    encoded = json.dumps(header).encode()
    (model / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])


def first_tensor(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for key, value in header.items() if key != "__metadata__")
    return found


class TestCode:
    @pytest.mark.parametrize("name", [WEIGHTS, "pytorch_model.bin", "1_Pooling/pytorch_model.bin"])
    def test_a_pickle_is_not_opened_whatever_it_is_called(self, model: Path, trace: Path, name: str) -> None:
        if name == "pytorch_model.bin":
            (model / WEIGHTS).unlink()
        (model / name).write_bytes(pickle.dumps(Payload(trace)))
        assert "save_pretrained()" in refusal(model)
        assert not trace.exists()

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_a_config_that_names_code_beside_it_is_refused(self, model: Path, trace: Path, name: str) -> None:
        (model / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).mkdir()\n")
        edit(model / name, auto_map={"AutoModel": "theirs.Model", "AutoTokenizer": ["theirs.Tokenizer", None]})
        assert f"auto_map in its {name}" in refusal(model)
        assert not trace.exists()

    @pytest.mark.parametrize("name", ["theirs.Tokenizer", "pathlib.Path", "os.system", "../theirs.Tokenizer"])
    def test_a_class_that_a_tokenizer_config_names_is_not_imported(self, model: Path, trace: Path, name: str) -> None:
        (model / "theirs.py").write_text(
            f"import pathlib\npathlib.Path({str(trace)!r}).mkdir()\nclass Tokenizer: ...\n"
        )
        edit(model / "tokenizer_config.json", tokenizer_class=name)
        assert "its tokenizer could not be loaded" in refusal(model)
        assert not trace.exists()

    @pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation", "experts_implementation"])
    def test_compiled_attention_of_a_repository_is_code_too(self, model: Path, key: str) -> None:
        edit(model / "config.json", text_config={key: "org/kernel:flash"})
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
        edit(model / "1_Pooling" / name, **settings)
        message = refusal(model)
        assert f"in its {name}" in message
        assert "--sst2-trust-remote-code" in message

    @pytest.mark.parametrize("name", ["torch.nn.Tanh", "theirs", "sentence_transformersx.Pooling"])
    def test_a_module_is_of_sentence_transformers_alone(self, model: Path, name: str) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[1]["type"] = name
        (model / "modules.json").write_text(json.dumps(modules))
        assert f"{name} in its modules.json" in refusal(model)

    def test_classes_of_the_libraries_own_are_no_such_code(self, model: Path) -> None:
        edit(model / "1_Pooling" / "other_config.json", activation_function="torch.nn.modules.activation.Tanh")
        edit(model / "config.json", attn_implementation="eager")
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256


class TestOtherWeights:
    def test_an_adapter_is_not_merged_without_a_word(self, model: Path) -> None:
        edit(model / "adapter_config.json", peft_type="LORA", base_model_name_or_path="org/other")
        message = refusal(model)
        assert "an adapter" in message
        assert "merge_and_unload()" in message

    def test_a_config_that_names_another_file_of_weights_is_refused(self, model: Path) -> None:
        shutil.copy(model / WEIGHTS, model / "other.safetensors")
        edit(model / "config.json", transformers_weights="other.safetensors")
        assert "takes the weights from 'other.safetensors'" in refusal(model)

    def test_of_a_single_file_and_shards_the_one_that_is_loaded_is_the_one_that_is_verified(self, model: Path) -> None:
        import torch

        (model / "shard.safetensors").write_bytes(b"not read")
        (model / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"tensor": "shard.safetensors"}}))
        loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
        assert loader.locate(spec).all_weight_files == [model / WEIGHTS]
        loaded = loader.sentence_encoder(spec).state_dict()
        (model / f"{WEIGHTS}.index.json").unlink()
        alone = ModelLoader().sentence_encoder(spec).state_dict()
        assert all(torch.equal(tensor, alone[key]) for key, tensor in loaded.items())


class TestOutOfTheFolder:
    @pytest.mark.parametrize("named", ["../away/m.safetensors", "..\\away\\m.safetensors", "/etc/passwd", "C:\\m.bin"])
    def test_a_shard_is_not_read_from_elsewhere(self, model: Path, named: str) -> None:
        (model / WEIGHTS).unlink()
        (model / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": {"tensor": named}}))
        assert f"names {named!r}, which is outside of the model's folder" in refusal(model)

    @pytest.mark.parametrize("named", ["../away", "/tmp", "1_Pooling/../../away"])
    def test_nor_is_a_module(self, model: Path, named: str) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[-1]["path"] = named
        (model / "modules.json").write_text(json.dumps(modules))
        assert "outside of the model's folder" in refusal(model)

    @pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt", "1_Pooling/config.json"])
    def test_a_symbolic_link_is_not_followed_out_of_it(self, model: Path, tmp_path: Path, name: str) -> None:
        away = tmp_path / "away"
        (model / name).rename(away)
        (model / name).symlink_to(away)
        assert f"is a link to {away}, outside of the model's folder" in refusal(model)

    def test_links_inside_it_and_a_link_to_all_of_it_are_followed(self, model: Path, tmp_path: Path) -> None:
        (model / WEIGHTS).rename(model / "blob")
        (model / WEIGHTS).symlink_to("blob")
        (tmp_path / "link").symlink_to(model)
        assert ModelLoader().locate(ModelSpec("mine", folder=tmp_path / "link")).weights.sha256

    def test_a_snapshot_of_the_hubs_cache_leads_to_its_blobs(self, model: Path, tmp_path: Path) -> None:
        snapshot = tmp_path / "models--org--mine" / "snapshots" / ("a" * 40)
        (snapshot.parent.parent / "blobs").mkdir(parents=True)
        shutil.copytree(model, snapshot)
        (snapshot / WEIGHTS).rename(snapshot.parent.parent / "blobs" / "b1")
        (snapshot / WEIGHTS).symlink_to("../../blobs/b1")
        assert ModelLoader().locate(ModelSpec("mine", folder=snapshot)).weights.sha256


class TestSizes:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("hidden_size", 10**6), ("vocab_size", 10**12), ("num_hidden_layers", 10**6), ("num_labels", 10**8)),
            *(("max_position_embeddings", 10**12), ("type_vocab_size", 10**6)),
        ],
    )
    def test_a_config_that_asks_for_more_than_the_weights_have_builds_nothing(
        self, model: Path, key: str, value: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        edit(model / "config.json", **{key: value})
        built: list[object] = []
        monkeypatch.setattr(torch.nn.Module, "__init__", lambda self: built.append(self))
        assert f"its config.json asks for {key} = {value:,}, but" in refusal(model)
        assert not built

    @pytest.mark.parametrize(
        ("key", "value"),
        [("dtype", "F99"), ("shape", [2**40]), ("data_offsets", [0, 2**60]), ("data_offsets", [8, 4]), ("shape", [-1])],
    )
    def test_a_header_that_lies_about_a_tensor_is_refused(self, model: Path, key: str, value: Any) -> None:
        edit_header(model, lambda header: first_tensor(header).update({key: value}))
        assert f"{model / WEIGHTS} is not a sound safetensors file" in refusal(model)

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
    def test_so_is_a_file_that_is_not_what_its_header_says(
        self, model: Path, damaged: Callable[[bytes], bytes]
    ) -> None:
        (model / WEIGHTS).write_bytes(damaged((model / WEIGHTS).read_bytes()))
        assert f"{model / WEIGHTS} is not a sound safetensors file" in refusal(model)


class TestNumbers:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_weights_that_are_no_numbers_are_counted_and_refused(self, model: Path, value: float, dtype: str) -> None:
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
    def test_so_are_those_that_are_infinite_in_the_arithmetic_alone(self, model: Path, value: float) -> None:
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
    def test_a_pipe_is_not_waited_for(self, model: Path, name: str) -> None:
        (model / name).unlink(missing_ok=True)
        os.mkfifo(model / name)
        assert f"{model / name} is neither a file nor a folder but a pipe" in refusal(model)

    def test_nor_is_one_that_a_link_leads_to(self, model: Path) -> None:
        os.mkfifo(model / "pipe")
        (model / "README.md").symlink_to("pipe")
        assert "is neither a file nor a folder" in refusal(model)

    def test_a_device_is_outside_and_a_socket_is_no_file(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import socket

        monkeypatch.chdir(model)  # the path of a socket may have some hundred characters
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("socket")
            assert f"{model / 'socket'} is neither a file nor a folder" in refusal(model)
            (model / ".git").mkdir()
            (model / "socket").rename(model / ".git" / "fsmonitor--daemon.ipc")
            assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
        (model / "README.md").symlink_to("/dev/zero")
        assert "README.md is a link to /dev/zero, outside" in refusal(model)

    def test_a_link_in_a_circle_is_a_sentence_and_one_to_nothing_is_no_file(self, model: Path) -> None:
        (model / "gone").symlink_to("nowhere")
        assert ModelLoader().locate(ModelSpec("mine", folder=model)).weights.sha256
        (model / "README.md").symlink_to("README.md")
        try:
            ModelLoader().locate(ModelSpec("mine", folder=model))
        except Sst2Error as error:  # before Python 3.13
            assert f"{model / 'README.md'} cannot be looked at" in str(error)  # noqa: PT017 - or nothing happens
