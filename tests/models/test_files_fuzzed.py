"""Damaged files of a model: files that are safe to load, or one sentence that names the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.locate import locate_files
from tests.support.fuzzing import DEEP, FUZZ, damaged_bytes, damaged_json, refusal

WEIGHTS, INDEX, SHARD = "model.safetensors", "model.safetensors.index.json", "shard.safetensors"
JSON_FILES = {
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
    INDEX: {"metadata": {"total_size": 192}, "weight_map": {"a": SHARD, "b": SHARD}},
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "model_max_length": 8},
    "sentence_bert_config.json": {
        "max_seq_length": 8,
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "model_args": {"torch_dtype": "float32"},
        "tokenizer_name_or_path": None,
    },
}
TENSORS = save({"a": np.zeros((8, 4), np.float32), "b": np.zeros((4, 4), np.float16), "c": np.zeros((0,), np.int64)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed") / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    for name, content in JSON_FILES.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    (folder / WEIGHTS).write_bytes(TENSORS)
    return folder


def refusal_of(folder, name: str, data: bytes) -> str:
    """Return the sentence with which a model is refused whose file ``name`` has other contents."""
    path = folder / name
    valid = path.read_bytes()
    path.write_bytes(data)
    if name == INDEX:  # it is only read if there is no single weights file
        (folder / WEIGHTS).rename(folder / SHARD)
    try:
        return refusal(lambda _: check_model(folder), data, "fuzzed")
    finally:
        path.write_bytes(valid)
        if name == INDEX:
            (folder / SHARD).rename(folder / WEIGHTS)


def check_model(folder) -> None:
    files = locate_files(ModelSpec("fuzzed", folder=folder), trust_remote_code=False)
    for path in (files.transformer, *files.all_weight_files):
        assert path.resolve().is_relative_to(folder.resolve())
    assert len(files.weights.sha256) == 64


@pytest.mark.parametrize("name", JSON_FILES)
@FUZZ
@given(drawn=st.data())
def test_a_model_with_a_damaged_json_file_is_located_or_refused(drawn, name, folder):
    valid = json.dumps(JSON_FILES[name]).encode()
    assert refusal_of(folder, name, valid) == ""
    values = damaged_json(JSON_FILES[name]).map(lambda value: json.dumps(value).encode())
    refusal_of(folder, name, drawn.draw(st.one_of(values, damaged_bytes([valid]))))


@FUZZ
@given(data=damaged_bytes([TENSORS]))
def test_a_model_with_damaged_weights_is_located_or_refused(data, folder):
    refusal_of(folder, WEIGHTS, data)


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        (INDEX, json.dumps({"weight_map": {"a": "a" * 5000}}).encode(), "which is not a valid file name"),
        (INDEX, json.dumps({"weight_map": {"a": "a\0"}}).encode(), "which is not a valid file name"),
        ("config.json", b"[" * DEEP, "nested too deeply"),
    ],
    ids=["long name", "NUL", "deep"],
)
def test_what_broke_the_reader_is_refused(name, data, part, folder):
    assert part in refusal_of(folder, name, data)
