"""Write and change the folders of tiny models, and locate the models in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.errors import Sst2Error
from tests.support import tiny_models

EMBEDDINGS = len(tiny_models.SPECIAL_TOKENS) + len(tiny_models.WORDS) + len(tiny_models.LETTERS)


def in_folder(folder: Path, **fields: Any) -> ModelSpec:
    return ModelSpec("mine", folder=folder, **fields)


def on_hub(repo_id: str = "org/mine", revision: str | None = None, **fields: Any) -> ModelSpec:
    return ModelSpec("mine", repo_id, revision, **fields)


def locate(spec: ModelSpec) -> LocatedModel:
    return ModelLoader().locate(spec)


def refusal_of(spec: ModelSpec, load: Callable[[ModelLoader, ModelSpec], Any] = ModelLoader.locate) -> str:
    """Return the error of a model that is refused."""
    with pytest.raises(Sst2Error) as caught:
        load(ModelLoader(), spec)
    return str(caught.value)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit_json(path: Path, **changes: Any) -> None:
    """Change fields of a JSON object, or create the file."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**content, **changes}))


def pickle_weights(folder: Path) -> Path:
    """Replace the safetensors by a pickle with the same tensors."""
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def to_old_layout(folder: Path) -> Path:
    """Move the encoder to the first module's folder, the layout of sentence-transformers before 2.0."""
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "sentence_bert_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


def write_shards(folder: Path) -> list[str]:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    return sorted(path.name for path in folder.glob("model-*.safetensors"))


def write_roberta(folder: Path, *, positions: int = 66) -> Path:
    """Write a RoBERTa that reserves one position for padding, with a tokenizer without a length limit."""
    tiny_models.write_encoder(folder, "roberta", max_position_embeddings=positions, pad_token_id=0)
    return tiny_models.write_fast_tokenizer(folder, pad_token="[PAD]")


def another_vocabulary(folder: Path, *, tokens: int, pad: int = 0) -> None:
    """Write the tokenizer of another model, with this number of tokens and this padding id."""
    special = [*tiny_models.SPECIAL_TOKENS[1:]]
    special.insert(pad, "[PAD]")
    vocabulary = [*dict.fromkeys([*special, *tiny_models.LETTERS, *tiny_models.WORDS])][:tokens]
    added = [f"word{number}" for number in range(tokens - len(vocabulary))]
    (folder / "vocab.txt").write_text("\n".join([*special, *added, *vocabulary[5:]]) + "\n", encoding="utf-8")


def add_dense_module(folder: Path, *, seed: int, routed: bool = False) -> Path:
    """Add a linear layer from 32 to 8 dimensions after the pooling, directly or in a Router; return its folder."""
    import torch
    from safetensors.torch import save_file

    name, kind = ("2_Router", "Router") if routed else ("2_Dense", "Dense")
    dense = folder / name
    if routed:
        dense /= "document_0_Dense"
        types = {dense.name: "sentence_transformers.models.Dense"}
        router = {"types": types, "structure": {"document": [dense.name]}, "parameters": {"default_route": "document"}}
        dense.parent.mkdir()
        (dense.parent / "router_config.json").write_text(json.dumps(router))
    dense.mkdir()
    generator = torch.Generator().manual_seed(seed)
    weights = {"linear.weight": torch.randn(8, 32, generator=generator), "linear.bias": torch.zeros(8)}
    save_file(weights, dense / "model.safetensors", metadata={"format": "pt"})
    config = {
        "in_features": 32,
        "out_features": 8,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (dense / "config.json").write_text(json.dumps(config))
    modules = json.loads((folder / "modules.json").read_text())[:2]
    modules.append({"idx": 2, "name": "2", "path": name, "type": f"sentence_transformers.models.{kind}"})
    (folder / "modules.json").write_text(json.dumps(modules))
    return dense
