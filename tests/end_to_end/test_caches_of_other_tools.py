"""Test that what other tools put into the Hub's cache, with Xet and shared blobs, is used online and offline."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_faults import DATA, MODEL, Place
from tests.support.hub_runs import digests, environment, fetch, serve, write_files, write_repositories
from tests.support.loopback_hub import LoopbackHub, running_hub
from tests.support.tiny_models import write_encoder

pytestmark = pytest.mark.processes
BERT = Place("model", "google-bert/bert-base-uncased")
FORMER = "bert-base-uncased"
BY_TRANSFORMERS = """
from transformers import AutoModel, AutoTokenizer
AutoModel.from_pretrained({0!r}); AutoTokenizer.from_pretrained({0!r})
"""
TOOLS = [
    (MODEL, BY_TRANSFORMERS),
    (MODEL, "from transformers import AutoTokenizer; AutoTokenizer.from_pretrained({0!r})"),
    (MODEL, "from sentence_transformers import SentenceTransformer; SentenceTransformer({0!r})"),
    (MODEL, "from huggingface_hub import snapshot_download; snapshot_download({0!r})"),
    (MODEL, "from huggingface_hub import hf_hub_download; hf_hub_download({0!r}, 'model.safetensors')"),
    (BERT, BY_TRANSFORMERS),
    (DATA, "from datasets import load_dataset; load_dataset({0!r})"),
    (DATA, "from huggingface_hub import snapshot_download; snapshot_download({0!r}, repo_type='dataset')"),
]


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[Place, Path]:
    folder = tmp_path_factory.mktemp("repositories")
    return {**write_repositories(folder), BERT: write_encoder(folder / "bert")}


@pytest.fixture
def server(repositories: dict[Place, Path]) -> Iterator[LoopbackHub]:
    with running_hub() as running:
        serve(running, repositories)
        running.add(FORMER, repositories[BERT])
        yield running


def run(script: str, env: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def shared_blobs(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.glob("hub/blobs/??/*") if not path.suffix}


@pytest.mark.parametrize("shared", [True, False], ids=["shared-blobs", "own-blobs"])
@pytest.mark.parametrize(("place", "script"), TOOLS, ids=range(len(TOOLS)))
def test_a_cache_that_another_tool_filled_is_completed_and_used(
    place: Place, script: str, shared: bool, server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    env = environment(server.address, tmp_path)
    run(script.format(place.repo_id), env if shared else {**env, "HF_HUB_DISABLE_SHARED_BLOBS": "1"})
    blobs, weights = shared_blobs(tmp_path), "AutoTokenizer; " not in script
    assert bool(blobs) == (shared and weights)
    server.forget()
    online = fetch(place, env)
    assert "error" not in online
    assert online["files"].items() <= digests(repositories[place]).items()
    assert not weights or not any("/cas/" in line for line in server.requests)
    assert blobs.items() <= shared_blobs(tmp_path).items()
    server.stop()
    assert fetch(place, {**env, "HF_HUB_OFFLINE": "1"})["files"] == online["files"]
    assert fetch(place, env)["files"] == online["files"]


def test_a_further_file_of_another_tool_does_not_matter(
    server: LoopbackHub, repositories: dict[Place, Path], tmp_path: Path
) -> None:
    more = write_files(repositories[MODEL], {"flax_model.msgpack": "flax"})
    server.add(MODEL.repo_id, more)
    env = environment(server.address, tmp_path)
    before = fetch(MODEL, env)["files"]
    run(f"from huggingface_hub import hf_hub_download; hf_hub_download({MODEL.repo_id!r}, 'flax_model.msgpack')", env)
    server.stop()
    assert fetch(MODEL, env)["files"] == {**before, "flax_model.msgpack": digests(more)["flax_model.msgpack"]}
    (more / "flax_model.msgpack").unlink()


def test_offline_a_half_filled_cache_names_the_file_and_needs_no_other(server: LoopbackHub, tmp_path: Path) -> None:
    env = environment(server.address, tmp_path)
    offline = {**env, "HF_HUB_OFFLINE": "1"}
    script = "from huggingface_hub import hf_hub_download as get\nfor name in {0}: get({1!r}, name)"
    run(script.format(["config.json", "vocab.txt"], BERT.repo_id), env)
    assert f"the copy of {BERT.repo_id} in {tmp_path / 'hub'} lacks model.safetensors" in fetch(BERT, offline)["error"]
    run(script.format(["model.safetensors"], BERT.repo_id), env)
    assert set(fetch(BERT, offline)["files"]) == {"config.json", "vocab.txt", "model.safetensors"}


def test_a_model_under_its_former_name_is_found(server: LoopbackHub, tmp_path: Path) -> None:
    env = environment(server.address, tmp_path)
    run(BY_TRANSFORMERS.format(FORMER), env)
    server.stop()
    assert "model.safetensors" in fetch(BERT, env)["files"]
    assert "model.safetensors" in fetch(BERT, {**env, "TRANSFORMERS_OFFLINE": "1"})["files"]


def test_sst2_in_the_caches_of_glue_is_found(server: LoopbackHub, tmp_path: Path, real_sst2: Path) -> None:
    import datasets

    from pytest_sst2.data.sources import load_folder

    glue = write_files(
        tmp_path / "glue",
        {"README.md": "---\nconfigs:\n- config_name: sst2\n  data_files:\n  - split: train\n    path: sst2/train-*\n"
         "  - split: validation\n    path: sst2/validation-*\n---\n"},
    )  # fmt: skip
    (glue / "sst2").mkdir()
    for name, rows in load_folder(real_sst2).dataset.items():
        assert isinstance(rows, datasets.Dataset)
        rows.to_parquet(str(glue / "sst2" / f"{name}-00000-of-00001.parquet"))
    server.add("nyu-mll/glue", glue, repo_type="dataset")
    env = environment(server.address, tmp_path / "home")
    run("from datasets import load_dataset; load_dataset('nyu-mll/glue', 'sst2')", env)
    server.stop()
    ask = "from pytest_sst2.data.sources import cached_hub; assert cached_hub().name == 'sst2'"
    run(ask, env)
    (hub,) = (tmp_path / "home").glob("hub/datasets--*/snapshots")
    hub.rename(hub.with_name("elsewhere"))  # only the cache of datasets is left
    run(ask, env)
