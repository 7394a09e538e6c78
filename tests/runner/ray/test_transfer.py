"""Data sets and models arrive on another machine unchanged, and are written there once."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.sources import load_folder, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import LocatedModel, locate_files
from pytest_sst2.runner.ray.transfer import ShippedModel, ship_model, ship_source
from pytest_sst2.utils.errors import Sst2Error


class Store:
    """An object store that counts reads."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.got = 0

    def put(self, value: bytes) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def get(self, number: int) -> bytes:
        self.got += 1
        return self.values[number]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def sent(tiny_encoder: Path, tmp_path: Path, store: Store) -> tuple[ShippedModel, Path]:
    """A shipped model, and the folder it was shipped from."""
    folder = tmp_path / "sender" / "tiny-encoder"
    shutil.copytree(tiny_encoder, folder)
    located = locate_files(ModelSpec("tiny", folder=folder), trust_remote_code=False)
    return pickle.loads(pickle.dumps(ship_model(located, store.put))), folder


def never(_value: Any) -> bytes:
    raise AssertionError("nothing needs to be transferred")


@pytest.mark.parametrize("load", [load_pocket, None])
def test_a_data_set_arrives_with_the_same_rows(load: Callable[[], Any] | None, tiny_data: Path) -> None:
    source = load() if load else load_folder(tiny_data)
    arrived = pickle.loads(pickle.dumps(ship_source(source))).unpacked()
    assert dataclasses.replace(arrived, dataset=None) == dataclasses.replace(source, dataset=None)
    recipe = build_recipe("quick", train_size=60)
    assert draw_splits(arrived, recipe, 7).info == draw_splits(source, recipe, 7).info


def test_where_all_machines_are_one_a_model_is_read_where_it_is(tiny_encoder: Path) -> None:
    located = locate_files(ModelSpec("tiny", folder=tiny_encoder), trust_remote_code=False)
    assert ship_model(located, put=None).unpacked(never) == located


def test_a_folder_that_is_here_with_the_same_content_is_used(sent: tuple[ShippedModel, Path]) -> None:
    model, folder = sent
    assert model.unpacked(never).folder == folder


def test_elsewhere_a_model_is_written_once_and_is_the_same(sent: tuple[ShippedModel, Path], store: Store) -> None:
    model, folder = sent
    shutil.rmtree(folder.parent)
    arrived = model.unpacked(store.get)
    assert store.got == len(store.values) > 4
    assert arrived.weights == model.located.weights
    assert model.unpacked(never) == arrived
    loader = ModelLoader()
    loader.adopt(model.located.spec, arrived)
    assert loader.sentence_encoder(model.located.spec).encode(["good film"]).shape == (1, 32)


def test_of_several_processes_that_want_it_at_once_one_writes_it(sent: tuple[ShippedModel, Path], store: Store) -> None:
    model, folder = sent
    shutil.rmtree(folder.parent)
    with ThreadPoolExecutor(8) as pool:
        folders = {located.folder for located in pool.map(lambda _: model.unpacked(store.get), range(8))}
    assert len(folders) == 1
    assert store.got == len(store.values)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "gone"])
def test_a_copy_that_was_damaged_is_written_anew(damage: str, sent: tuple[ShippedModel, Path], store: Store) -> None:
    model, folder = sent
    shutil.rmtree(folder.parent)
    arrived = model.unpacked(store.get)
    damaged = arrived.transformer / damage
    if damage == "gone":
        (arrived.transformer / "config.json").unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[:-1])
    assert model.unpacked(store.get) == arrived
    assert locate_files(ModelSpec("tiny", folder=arrived.folder), trust_remote_code=False).weights.sha256 == (
        model.located.weights.sha256
    )


def test_a_changed_file_next_to_the_weights_is_another_model(sent: tuple[ShippedModel, Path], store: Store) -> None:
    model, folder = sent
    (folder / "modules.json").write_text((folder / "modules.json").read_text() + "\n")
    assert model.unpacked(store.get).folder != folder


def test_what_no_loader_reads_stays_where_it_is(tiny_encoder: Path, tmp_path: Path, store: Store) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder)
    (folder / "onnx").mkdir()
    for name in ("pytorch_model.bin", "onnx/model.onnx", ".git"):
        (folder / name).write_bytes(b"large")
    located = locate_files(ModelSpec("tiny", folder=folder), trust_remote_code=False)
    assert b"large" not in [store.get(number) for number in ship_model(located, store.put).files.values()]


def test_a_cache_that_cannot_be_written_is_a_sentence(
    sent: tuple[ShippedModel, Path], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = sent
    shutil.rmtree(folder.parent)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path / "file"))
    with pytest.raises(Sst2Error, match=r"model 'tiny' cannot be written to .*file"):
        model.unpacked(store.get)


def test_an_older_layout_keeps_its_transformer_in_a_subfolder(tiny_encoder: Path, tmp_path: Path, store: Store) -> None:
    located = locate_files(ModelSpec("tiny", folder=tiny_encoder), trust_remote_code=False)
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder, folder / "0_Transformer")
    module = {"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}
    (folder / "modules.json").write_text(json.dumps([module]))
    nested = LocatedModel(located.spec, folder, located.weights)
    model = ship_model(nested, store.put)
    shutil.rmtree(folder)
    transformer = model.unpacked(store.get).transformer
    assert transformer is not None
    assert transformer.name == "0_Transformer"
