"""Test that changes of a model's files during a run are detected before the next cell."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub.cache import cache_folder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import BENCHMARK
from tests.models.test_safety import WEIGHTS
from tests.support.hub_clients import hub_of_this_process
from tests.support.model_folders import edit_json


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


LOADERS: list[Callable[[ModelLoader, ModelSpec], Any]] = [
    ModelLoader.locate,
    ModelLoader.tokenizer,
    ModelLoader.sequence_classifier,
    ModelLoader.sentence_encoder,
]


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)
@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "vocab.txt", "1_Pooling/config.json"])
def test_a_changed_file_is_named_before_it_is_loaded(
    model: Path, name: str, load: Callable[[ModelLoader, ModelSpec], Any]
) -> None:
    loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
    load(loader, spec)
    flip(model / name)
    with pytest.raises(Sst2Error, match=f"{model / name} was changed since this run first read it"):
        load(loader, spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: (model / "tokenizer_config.json").unlink(), "tokenizer_config.json was removed"),
        (lambda model: edit_json(model / "2_Normalize" / "config.json", a=1), "2_Normalize/config.json was added"),
        (lambda model: edit_json(model / "tokenizer.json", a=1), "tokenizer.json was added"),
        (lambda model: edit_json(model / "adapter_config.json", a=1), "adapter_config.json was added"),
        (lambda model: shutil.rmtree(model), "model.safetensors was removed"),
    ],
)
def test_a_removed_or_added_file_is_named(model: Path, change: Callable[[Path], None], message: str) -> None:
    loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
    loader.locate(spec)
    change(model)
    with pytest.raises(Sst2Error, match=message):
        loader.locate(spec)


def test_equal_content_and_result_files_are_not_changes(model: Path) -> None:
    loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
    first = loader.locate(spec)
    os.utime(model / WEIGHTS)
    shutil.copy(model / "config.json", model / "copy")
    (model / "copy").replace(model / "config.json")
    (model / "results.json").write_text(json.dumps({"records": []}))
    (model / "README.md").write_text("It is good.")
    assert loader.locate(spec) is first


def test_a_change_in_the_hubs_cache_is_detected(tiny_encoder: Path, tmp_path: Path) -> None:
    spec, loader = ModelSpec("mine", "org/mine"), ModelLoader()
    with hub_of_this_process(tmp_path / "cache") as server:
        server.add("org/mine", tiny_encoder)
        located = loader.locate(spec)
        assert located.folder.is_relative_to(cache_folder())
        flip((located.folder / WEIGHTS).resolve())
        with pytest.raises(Sst2Error, match="was changed since this run first read it"):
            loader.sentence_encoder(spec)


def test_a_change_on_a_cluster_node_is_detected(model: Path) -> None:
    spec = ModelSpec("mine", folder=model)
    located: LocatedModel = ModelLoader().locate(spec)
    node = ModelLoader()
    node.adopt(spec, located)
    assert node.locate(spec) is located
    flip(model / WEIGHTS)
    with pytest.raises(Sst2Error, match="was changed"):
        node.sentence_encoder(spec)


def test_a_repeated_check_takes_milliseconds(model: Path) -> None:
    loader, spec = ModelLoader(), ModelSpec("mine", folder=model)
    for path in model.rglob("*"):
        os.utime(path, (time.time() - 60,) * 2)
    loader.locate(spec)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        loader.locate(spec)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05


CHANGE_AFTER_THE_FIRST_CELL = """
from pathlib import Path

def pytest_runtest_teardown(item, nextitem):
    path = Path({path!r})
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
"""


@pytest.mark.parametrize("methods", ["linear-probe,torch-probe", "fine-tune,linear-probe"])
def test_the_next_cell_of_a_run_fails_with_this_error(
    project: pytest.Pytester, tiny_encoder: Path, methods: str
) -> None:
    model = Path(shutil.copytree(tiny_encoder, project.path / "model"))
    project.makepyfile(test_bench=BENCHMARK.replace('"tfidf", "majority", "fine-tune"', '"torch-probe", "fine-tune"'))
    project.makeconftest(CHANGE_AFTER_THE_FIRST_CELL.format(path=str(model / WEIGHTS)))
    result = project.runpytest("--models", str(model), "--methods", methods, "--sst2-epochs", "1")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines([f"*{WEIGHTS} was changed since this run first read it*"])
