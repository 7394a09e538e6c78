"""A model's files as they are looked at before a library loads them, and the files that pin versions."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.locate import locate_files
from pytest_sst2.upgrade.pins import read_pins
from tools.fuzz.contract import SCRATCH, Target, require
from tools.fuzz.damage import damaged_bytes, damaged_value

_WEIGHTS = "model.safetensors"
_INDEX, _SHARD = "model.safetensors.index.json", "shard.safetensors"
_TARGETS = {
    "model-config": "config.json",
    "model-modules": "modules.json",
    "model-index": _INDEX,
    "model-tokenizer": "tokenizer_config.json",
    "model-settings": "sentence_bert_config.json",
}
_JSON_FILES: dict[str, Any] = {
    "config.json": {
        "model_type": "bert",
        "hidden_size": 4,
        "num_hidden_layers": 1,
        "vocab_size": 8,
        "architectures": ["B"],
    },
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ],
    _INDEX: {"metadata": {"total_size": 192}, "weight_map": {"a": _SHARD, "b": _SHARD}},
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 8},
    "sentence_bert_config.json": {
        "max_seq_length": 8,
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "model_args": {"torch_dtype": "float32"},
        "tokenizer_name_or_path": None,
    },
}


@functools.cache
def _weights() -> bytes:
    import numpy as np
    from safetensors.numpy import save

    return save({"a": np.zeros((8, 4), np.float32), "b": np.zeros((4, 4), np.float16), "c": np.zeros((0,), np.int64)})


@functools.cache
def _model_folder() -> Path:
    folder = SCRATCH.folder / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    for name, content in _JSON_FILES.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    (folder / _WEIGHTS).write_bytes(_weights())
    return folder


def _read_model(name: str, data: bytes) -> None:
    """Have a model's files looked at with one of them in the place of the sound one."""
    folder = _model_folder()
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(data)
    # The shards of an index are looked for where there is no single file.
    sharded = name == _INDEX
    if sharded:
        (folder / _WEIGHTS).rename(folder / _SHARD)
    try:
        found = locate_files(ModelSpec("fuzzed", folder=folder), trust_remote_code=False)
        require(found.transformer.resolve().is_relative_to(folder.resolve()), f"{found.transformer} is outside")
        for weights in found.all_weight_files:
            require(weights.resolve().is_relative_to(folder.resolve()), f"{weights} is outside")
        require(len(found.weights.sha256) == 64, found.weights.sha256)
    finally:
        path.write_bytes(before)
        if sharded:
            (folder / _SHARD).rename(folder / _WEIGHTS)


def _damaged_json(name: str, script: bytes) -> bytes:
    """Return damage to one of a model's JSON files: to its values, or for one in four to its bytes."""
    if script[:1] and script[0] % 4 == 0:
        return damaged_bytes([json.dumps(_JSON_FILES[name]).encode()], script)
    return json.dumps(damaged_value([_JSON_FILES[name]], script)).encode()


_PINS = (
    b"# by hand\ntorch==2.13.0\nnumpy == 2.4.6 ; python_version > '3'\n",
    b"scikit_learn===1.9.1 \\\n    --hash=sha256:aa\n-r other.txt\nattrs[x]==1!2.0+local # why\n",
)


def _read_pins(data: bytes) -> None:
    found = read_pins(SCRATCH.write("pins.txt", data))
    require(bool(found), "nothing is pinned")
    require(all(name and version for name, version in found.items()), f"{found}")


def file_targets() -> Sequence[Target]:
    """Return the targets of this module."""
    scripts = [bytes(range(start, start + 6)) for start in range(0, 48, 3)]
    return (
        *(
            Target(
                name,
                functools.partial(_read_model, file),
                lambda: scripts,
                longest=48,
                build=functools.partial(_damaged_json, file),
            )
            for name, file in _TARGETS.items()
        ),
        Target(
            "safetensors",
            functools.partial(_read_model, _WEIGHTS),
            lambda: [bytes([0]), *scripts],
            longest=64,
            build=lambda script: damaged_bytes([_weights()], script),
        ),
        Target(
            "pins", _read_pins, lambda: _PINS, (b"==", b"===", b"~=", b"@", b";", b"[", b"]", b"\\\n", b" #", b"1!1.0")
        ),
    )
