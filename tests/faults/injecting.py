"""Helpers that most faults use."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_sst2.data.splits import Examples, Splits
from tests.faults.harness import World


def around(patch: pytest.MonkeyPatch, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace a function or method by ``wrapper(original, *args, **kwargs)``."""
    original = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    patch.setattr(owner, name, replacement)


def _when_loaded(patch: pytest.MonkeyPatch, base: type, change: Callable[[Any], Any], **arguments: Any) -> None:
    """Change the result of ``from_pretrained``, or its arguments."""
    original = base.from_pretrained.__func__  # type: ignore[attr-defined]

    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        loaded = original(cls, *args, **{**kwargs, **arguments})
        change(loaded[0] if isinstance(loaded, tuple) else loaded)
        return loaded

    patch.setattr(base, "from_pretrained", classmethod(from_pretrained))


def model_loaded(patch: pytest.MonkeyPatch, change: Callable[[Any], Any], **arguments: Any) -> None:
    from transformers import PreTrainedModel

    _when_loaded(patch, PreTrainedModel, change, **arguments)


def tokenizer_loaded(patch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    from transformers import PreTrainedTokenizerBase

    _when_loaded(patch, PreTrainedTokenizerBase, change)


def copied(world: World) -> Path:
    """Return a copy of the model's folder with the same name."""
    for number in range(1000):
        parent = world.scratch / f"altered-{number}"
        if not parent.exists():
            break
    folder = parent / world.model.name
    shutil.copytree(world.model, folder, ignore=shutil.ignore_patterns("onnx", "openvino"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def with_json(world: World, name: str, change: Callable[[Any], None]) -> World:
    """Return the world with a changed JSON file in the model's folder; a missing file starts empty."""
    folder = copied(world)
    path = folder / name
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    return dataclasses.replace(world, model=folder)


def with_vocabulary(world: World, change: Callable[[dict[str, int]], dict[str, int]]) -> World:
    """Return the world with another vocabulary in its (WordPiece) tokenizer."""
    from transformers import AutoTokenizer

    folder = copied(world)
    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    (folder / "vocab.txt").unlink(missing_ok=True)
    tokenizer.save_pretrained(str(folder))
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = change(content["model"]["vocab"])
    content["model"]["vocab"] = dict(sorted(vocabulary.items(), key=lambda entry: entry[1]))
    for token in content["added_tokens"]:
        token["id"] = vocabulary[token["content"]]
    for name, token in content["post_processor"]["special_tokens"].items():
        token["ids"] = [vocabulary[name]]
    path.write_text(json.dumps(content), encoding="utf-8")
    return dataclasses.replace(world, model=folder)


def is_special(token: str) -> bool:
    return token.startswith("[") and token.endswith("]") and len(token) > 3


def with_splits(patch: pytest.MonkeyPatch, change: Callable[[Splits], Splits]) -> None:
    from pytest_sst2.runner import context

    around(patch, context, "draw_splits", lambda original, *args: change(original(*args)))


def train_rows(patch: pytest.MonkeyPatch, change: Callable[[Examples], Examples]) -> None:
    with_splits(patch, lambda splits: dataclasses.replace(splits, train=change(splits.train)))


def evaluation_rows(patch: pytest.MonkeyPatch, change: Callable[[Examples], Examples]) -> None:
    with_splits(patch, lambda splits: dataclasses.replace(splits, evaluation=change(splits.evaluation)))


def taken(rows: Examples, indices: np.ndarray) -> Examples:
    return Examples([rows.sentences[index] for index in indices], rows.labels[indices])


def flipped(rows: Examples, share: float) -> Examples:
    chosen = np.random.default_rng(0).permutation(len(rows))[: round(share * len(rows))]
    labels = rows.labels.copy()
    labels[chosen] = 1 - labels[chosen]
    return Examples(rows.sentences, labels)


def trainer_arguments(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Change the effective arguments of the Trainer."""
    from pytest_sst2.methods import fine_tune

    def wrapper(original: Any, *args: Any) -> Any:
        arguments = original(*args)
        for name, value in changes.items():
            setattr(arguments, name, value(getattr(arguments, name)) if callable(value) else value)
        return arguments

    around(patch, fine_tune, "training_arguments", wrapper)


def regression(patch: pytest.MonkeyPatch, wrapper: Callable[..., Any]) -> None:
    """Replace scikit-learn's fit by ``wrapper(fit, model, features, labels)``."""
    from sklearn.linear_model import LogisticRegression

    around(patch, LogisticRegression, "fit", wrapper)


def normalising(world: World) -> World:
    """Return the world with an encoder whose embeddings have length one."""
    if (world.model / "modules.json").read_text(encoding="utf-8").count("Normalize"):
        return world

    def add(modules: list[dict[str, Any]]) -> None:
        number = len(modules)
        kind = "sentence_transformers.models.Normalize"
        modules.append({"idx": number, "name": str(number), "path": f"{number}_Normalize", "type": kind})

    world = with_json(world, "modules.json", add)
    modules = json.loads((world.model / "modules.json").read_text(encoding="utf-8"))
    (world.model / modules[-1]["path"]).mkdir(exist_ok=True)
    return world
