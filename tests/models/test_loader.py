"""Models found in folder, cache, Hub and bundled package; what is refused, and how what is loaded looks."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.catalog import CATALOG, MINILM_SHA256
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.errors import Sst2Error
from tests.support import fake_bundle as made_bundle
from tests.support import tiny_models
from tests.support.loopback_hub import LoopbackHub, ask_in_new_process, hub_of_this_process, running_hub

MINILM = next(spec for spec in CATALOG if spec.name == "minilm")
WRONG_DIGEST = "0" * 64


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        yield running


@pytest.fixture(scope="module")
def plain_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as ``save_pretrained`` leaves it, without sentence-transformers modules."""
    return tiny_models.write_encoder(tmp_path_factory.mktemp("plain") / "encoder", seed=1)


@pytest.fixture
def plain(plain_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain_encoder, tmp_path / "plain"))


@pytest.fixture
def sentence(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "sentence"))


def in_folder(folder: Path, **fields: Any) -> ModelSpec:
    return ModelSpec("mine", folder=folder, **fields)


def on_hub(repo_id: str = "org/mine", revision: str | None = None, **fields: Any) -> ModelSpec:
    return ModelSpec("mine", repo_id, revision, **fields)


def locate(spec: ModelSpec) -> LocatedModel:
    return ModelLoader().locate(spec)


def refusal(spec: ModelSpec, ask: Callable[[ModelLoader, ModelSpec], Any] = ModelLoader.locate) -> str:
    with pytest.raises(Sst2Error) as caught:
        ask(ModelLoader(), spec)
    return str(caught.value)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def pickle_weights(folder: Path) -> Path:
    """Replace the safetensors by something with the name of a pickle, which nobody may open."""
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04never read this")
    return folder


def to_old_layout(folder: Path) -> Path:
    """Move the encoder into the first module's folder, as sentence-transformers did before 2.0."""
    (folder / "0_Transformer").mkdir()
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"):
        (folder / name).rename(folder / "0_Transformer" / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


# --- a process of its own


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


def test_an_empty_cache_is_filled_and_then_serves_without_a_request(sentence: Path, tmp_path: Path) -> None:
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


# --- from the Hub and its cache


def test_nothing_that_is_loaded_from_the_cache_asks_a_hub_that_is_there(server: LoopbackHub, sentence: Path) -> None:
    server.add("org/mine", sentence)
    locate(on_hub())
    server.forget()
    loader = ModelLoader()
    loader.tokenizer(on_hub())
    assert loader.sequence_classifier(on_hub()).num_labels == 2
    assert loader.sentence_encoder(on_hub()).encode(["good film", "bad film"]).shape == (2, 32)
    assert server.requests == []


def test_a_model_is_looked_for_once_a_loader(server: LoopbackHub, sentence: Path) -> None:
    server.add("org/mine", sentence)
    loader = ModelLoader()
    first = loader.locate(on_hub())
    asked = len(server.requests)
    shutil.rmtree(hub.cache_folder() / "models--org--mine" / "refs")
    assert loader.locate(on_hub()) is first
    assert len(server.requests) == asked


def test_the_cache_serves_when_the_hub_is_gone_and_a_pin_that_it_lacks_is_refused(
    server: LoopbackHub, sentence: Path, plain: Path
) -> None:
    main = server.add("org/mine", sentence)
    pinned = server.add("org/mine", plain, revision="v1")
    assert locate(on_hub()).weights.revision == main
    server.stop()
    weights = locate(on_hub()).weights
    assert (weights.source, weights.revision, weights.hub_id) == ("cache", main, "org/mine")
    message = refusal(on_hub(revision=pinned))
    for part in (f"org/mine@{pinned[:12]}", str(hub.cache_folder()), server.address, "folder"):
        assert part in message


def test_a_pinned_revision_is_what_is_loaded_and_recorded(server: LoopbackHub, sentence: Path, plain: Path) -> None:
    server.add("org/mine", sentence)
    pinned = server.add("org/mine", plain, revision="v1")
    locate(on_hub())
    for revision in (pinned, "v1"):
        weights = locate(on_hub(revision=revision)).weights
        assert (weights.revision, weights.sha256) == (pinned, sha256(plain / "model.safetensors"))
    assert "no such revision" in refusal(on_hub(revision="v9"))


def test_two_revisions_of_one_model_are_two_models_in_either_order(
    server: LoopbackHub, sentence: Path, plain: Path
) -> None:
    server.add("org/mine", plain, revision="v1")
    server.add("org/mine", sentence)
    assert locate(on_hub(revision="v1")).weights.sha256 != locate(on_hub()).weights.sha256


@pytest.mark.parametrize(
    "lost",
    [
        "model.safetensors",
        "config.json",
        "vocab.txt",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
    ],
)
def test_what_an_interrupted_download_left_out_is_fetched_before_anything_is_loaded(
    server: LoopbackHub, sentence: Path, lost: str
) -> None:
    server.add("org/mine", sentence)
    spec = on_hub(sentence_encoder=True)
    found = locate(spec)
    (found.folder / lost).unlink()
    assert locate(spec).weights == found.weights
    assert (found.folder / lost).is_file()
    (found.folder / lost).unlink()
    server.stop()
    assert "no complete copy" in refusal(spec)


def test_a_plain_encoder_in_the_cache_needs_no_modules(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", plain)
    locate(on_hub())
    server.stop()
    assert locate(on_hub()).weights.source == "cache"


def write_shards(folder: Path) -> list[str]:
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="40KB")
    return sorted(path.name for path in folder.glob("model-*.safetensors"))


def test_a_missing_shard_is_fetched_and_the_digest_is_that_of_all_shards(server: LoopbackHub, plain: Path) -> None:
    shards = write_shards(plain)
    assert len(shards) > 1
    server.add("org/mine", plain)
    found = locate(on_hub())
    # Shards with digests a, b and c: the digest of the text "a\nb\nc".
    assert found.weights.sha256 == hashlib.sha256("\n".join(sha256(plain / s) for s in shards).encode()).hexdigest()
    (found.folder / shards[1]).unlink()
    server.forget()
    assert locate(on_hub()).weights == dataclasses.replace(found.weights, source="hub")
    assert any(line.endswith(shards[1]) for line in server.requests)


def test_a_model_the_hub_does_not_have_names_place_cause_and_ways_on(server: LoopbackHub) -> None:
    message = refusal(on_hub("org/typo"))
    for part in ("'mine'", "org/typo", str(hub.cache_folder()), server.address, "check the name", "local folder"):
        assert part in message
    assert "bundled" not in message


def test_a_model_with_a_bundled_package_that_is_not_installed_names_the_extra(server: LoopbackHub) -> None:
    assert "pytest-sst2[bundled]" in refusal(on_hub(bundled="no_such_package_anywhere"))


def test_a_sentence_encoder_whose_repository_lost_its_modules_is_not_pooled_by_guess(
    server: LoopbackHub, plain: Path
) -> None:
    server.add("org/mine", plain)
    assert "modules.json" in refusal(on_hub(sentence_encoder=True))


def test_a_mirror_with_commits_of_its_own_serves_a_pinned_model_at_the_first_try(
    server: LoopbackHub, sentence: Path
) -> None:
    commit = server.add("org/mine", sentence, any_revision=True)
    assert locate(on_hub(revision="a" * 40, sentence_encoder=True)).weights.revision == commit


# --- pickles


def test_pickles_only_on_the_hub_are_refused_without_being_downloaded(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", pickle_weights(plain))
    message = refusal(on_hub())
    assert "pickled weights only" in message
    assert "no safetensors conversion" in message
    assert not any("/resolve/" in line for line in server.requests)


def test_the_hubs_own_conversion_is_used_recorded_and_cached(
    server: LoopbackHub, plain: Path, plain_encoder: Path
) -> None:
    server.add("org/mine", pickle_weights(plain))
    converted = server.add_pull_request("org/mine", 1, plain_encoder)
    weights = locate(on_hub()).weights
    assert (weights.source, weights.revision) == ("hub", converted)
    assert weights.sha256 == sha256(plain_encoder / "model.safetensors")
    assert not any("pytorch_model.bin" in line for line in server.requests)
    server.stop()
    assert locate(on_hub()).weights == dataclasses.replace(weights, source="cache")


def test_a_stranger_s_conversion_is_not_used(server: LoopbackHub, plain: Path, plain_encoder: Path) -> None:
    server.add("org/mine", pickle_weights(plain))
    server.add_pull_request("org/mine", 1, plain_encoder, author="stranger")
    assert "pickled weights only" in refusal(on_hub())


def test_pickles_are_named_also_where_discussions_are_turned_off(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", pickle_weights(plain))
    server.fault("/discussions", "status", 403)
    assert "pickled weights only" in refusal(on_hub())


def test_pickles_at_a_pin_do_not_deny_a_conversion_that_is_there(
    server: LoopbackHub, plain: Path, plain_encoder: Path
) -> None:
    pinned = server.add("org/mine", pickle_weights(plain))
    server.add_pull_request("org/mine", 1, plain_encoder)
    message = refusal(on_hub(revision=pinned))
    assert "pickled weights only" in message
    assert "no safetensors conversion on the Hub" not in message


@pytest.mark.parametrize("layout", ["adapter beside it", "encoder in a subfolder"])
def test_the_conversion_is_found_where_the_pickles_are_not_alone_or_not_on_top(
    server: LoopbackHub, sentence: Path, tiny_encoder: Path, layout: str
) -> None:
    if layout == "adapter beside it":
        pickle_weights(sentence)
        (sentence / "adapter_model.safetensors").write_bytes(b"of another kind")
    else:
        pickle_weights(to_old_layout(sentence) / "0_Transformer")
    server.add("org/mine", sentence)
    converted = server.add_pull_request("org/mine", 1, tiny_encoder)
    assert locate(on_hub()).weights.revision == converted


def test_pickles_only_in_a_folder_say_how_to_write_safetensors(plain: Path) -> None:
    message = refusal(in_folder(pickle_weights(plain)))
    for part in ("'mine'", str(plain), "pickled weights only", "model.safetensors", "save_pretrained"):
        assert part in message


# --- the bundled package


@pytest.fixture
def bundle(sentence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return made_bundle.install(sentence, tmp_path, monkeypatch)


def test_the_bundled_package_is_used_when_neither_cache_nor_hub_has_the_model(
    server: LoopbackHub, bundle: Path
) -> None:
    spec = on_hub(revision="b" * 40, bundled=made_bundle.PACKAGE, sentence_encoder=True)
    found = locate(dataclasses.replace(spec, weights_sha256=sha256(bundle / "model.safetensors")))
    assert found.folder == bundle
    assert (found.weights.source, found.weights.revision) == ("bundled", "b" * 40)
    wrong = refusal(dataclasses.replace(spec, weights_sha256=WRONG_DIGEST))
    for part in (str(bundle), found.weights.sha256, WRONG_DIGEST):
        assert part in wrong


def test_cache_and_hub_come_before_the_bundled_package(server: LoopbackHub, bundle: Path, plain: Path) -> None:
    server.add("org/mine", plain)
    spec = on_hub(bundled=made_bundle.PACKAGE)
    assert locate(spec).weights.source == "hub"
    server.stop()
    assert locate(spec).weights.source == "cache"
    shutil.rmtree(hub.cache_folder())
    assert locate(spec).weights.source == "bundled"


def test_a_bundled_name_inside_a_package_that_is_not_there_is_a_sentence(server: LoopbackHub) -> None:
    assert "could not be had" in refusal(on_hub(bundled="no_such_package_anywhere.weights"))


@pytest.mark.skipif(importlib.util.find_spec(MINILM.bundled) is None, reason="needs the extra 'bundled'")
def test_minilm_comes_from_its_package_with_the_digest_the_hub_lists(server: LoopbackHub) -> None:
    server.stop()
    weights = locate(MINILM).weights
    assert (weights.source, weights.revision, weights.sha256) == ("bundled", MINILM.revision, MINILM_SHA256)
    assert weights.licence == "apache-2.0"


@pytest.mark.parametrize("place", ["folder", "hub", "cache"])
def test_weights_with_another_digest_are_refused_wherever_they_lie(
    server: LoopbackHub, plain: Path, place: str
) -> None:
    server.add("org/mine", plain)
    if place == "cache":
        locate(on_hub())
    spec = in_folder(plain) if place == "folder" else on_hub()
    message = refusal(dataclasses.replace(spec, weights_sha256=WRONG_DIGEST))
    assert sha256(plain / "model.safetensors") in message
    assert WRONG_DIGEST in message


def test_weights_damaged_in_the_cache_name_the_file_whose_removal_helps(server: LoopbackHub, plain: Path) -> None:
    server.add("org/mine", plain)
    found = locate(on_hub())
    blob = (found.folder / "model.safetensors").resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    message = refusal(on_hub())
    named = [Path(word.strip(".,:;'`")) for word in message.split() if word.startswith("/")]
    named[-1].unlink()
    assert locate(on_hub()).weights.sha256 == found.weights.sha256


# --- what is refused before a library touches it


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    message = refusal(in_folder(tmp_path))
    assert str(tmp_path) in message
    assert "config.json" in message


def test_a_model_without_a_tokenizer_says_which_files_would_do(plain: Path) -> None:
    (plain / "vocab.txt").unlink()
    message = refusal(in_folder(plain))
    for part in ("no tokenizer", "tokenizer.json", "vocab.txt", "tokenizer.save_pretrained"):
        assert part in message


def test_a_model_without_weights_is_not_accused_of_pickles(plain: Path) -> None:
    (plain / "model.safetensors").unlink()
    message = refusal(in_folder(plain))
    assert "model.safetensors is needed" in message
    assert "pickle" not in message


def test_a_folder_that_lacks_a_shard_is_refused(plain: Path) -> None:
    (plain / write_shards(plain)[0]).unlink()
    assert "not all" in refusal(in_folder(plain))


def test_code_in_the_repository_runs_only_with_leave(plain: Path) -> None:
    edit_json(plain / "config.json", auto_map={"AutoModelForCausalLM": "theirs.Model"})
    message = refusal(in_folder(plain))
    assert "auto_map" in message
    assert "--sst2-trust-remote-code" in message
    assert ModelLoader(trust_remote_code=True).locate(in_folder(plain)).folder == plain


def test_trusted_code_is_downloaded_with_the_model_and_untrusted_code_is_not(server: LoopbackHub, plain: Path) -> None:
    # How the libraries run it is theirs to test; that it is there to be run, only when trusted, is ours.
    (plain / "theirs.py").write_text("class Model: ...\n")
    server.add("org/mine", plain)
    assert not (locate(on_hub()).folder / "theirs.py").exists()
    trusting = ModelLoader(trust_remote_code=True).locate(on_hub())
    assert (trusting.folder / "theirs.py").is_file()


def test_a_module_of_a_foreign_class_is_named_and_refused(sentence: Path) -> None:
    modules = json.loads((sentence / "modules.json").read_text())
    modules[1]["type"] = "theirs.pooling.Pooling"
    (sentence / "modules.json").write_text(json.dumps(modules))
    message = refusal(in_folder(sentence))
    assert "theirs.pooling.Pooling" in message
    assert "--sst2-trust-remote-code" in message


SHARDS = "model.safetensors.index.json"


@pytest.mark.parametrize("name", ["config.json", "modules.json", SHARDS])
def test_a_file_that_is_not_json_is_named(sentence: Path, name: str) -> None:
    if name == SHARDS:
        (sentence / "model.safetensors").unlink()
    (sentence / name).write_text("{")
    assert str(sentence / name) in refusal(in_folder(sentence))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (SHARDS, "{}"),
        (SHARDS, "[]"),
        ("modules.json", '["Transformer"]'),
        ("modules.json", '{"0": "Transformer"}'),
    ],
)
def test_json_of_another_shape_is_named_too(sentence: Path, name: str, text: str) -> None:
    if name == SHARDS:
        (sentence / "model.safetensors").unlink()
    (sentence / name).write_text(text)
    assert name in refusal(in_folder(sentence))


# --- what the libraries say of the files


def test_a_checkpoint_that_lacks_encoder_tensors_is_refused_with_their_number(plain: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(plain / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "encoder.layer.1." not in name}
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    # A BERT layer has query, key, value, attention output, intermediate and output, each with weight and bias (12),
    # and two layer norms with weight and bias (4): 16 tensors.
    message = refusal(in_folder(plain))
    assert f"lacks 16 of the encoder's {len(tensors)} tensors" in message
    assert "encoder.layer.1." in message


def test_a_checkpoint_without_a_pooler_is_fine_since_no_method_needs_its_weights(plain: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(plain / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    assert len(kept) == len(tensors) - 2
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    assert locate(in_folder(plain)).weights.sha256 == sha256(plain / "model.safetensors")


def test_weights_that_are_none_are_a_sentence(plain: Path) -> None:
    (plain / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    message = refusal(in_folder(plain))
    assert "is not a sound safetensors file" in message
    assert "\n" not in message


def test_weights_of_another_size_than_the_config_says_are_told_as_such(plain: Path) -> None:
    edit_json(plain / "config.json", intermediate_size=32)
    message = refusal(in_folder(plain))
    assert "ignore_mismatched_sizes" not in message
    assert "config" in message


def test_a_broken_tokenizer_is_a_sentence(plain: Path) -> None:
    (plain / "vocab.txt").unlink()
    (plain / "tokenizer.json").write_text("{}")
    assert "tokenizer could not be loaded" in refusal(in_folder(plain), ModelLoader.tokenizer)


EMBEDDINGS = len(tiny_models.SPECIAL_TOKENS) + len(tiny_models.WORDS) + len(tiny_models.LETTERS)


def another_vocabulary(folder: Path, *, tokens: int, pad: int = 0) -> None:
    """Give a folder the tokenizer of another model, with so many tokens and that one for padding."""
    special = [*tiny_models.SPECIAL_TOKENS[1:]]
    special.insert(pad, "[PAD]")
    known = [*dict.fromkeys([*special, *tiny_models.LETTERS, *tiny_models.WORDS])][:tokens]
    added = [f"word{number}" for number in range(tokens - len(known))]
    (folder / "vocab.txt").write_text("\n".join([*special, *added, *known[5:]]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("length", [-4, 0, 2, "many"])
def test_a_tokenizer_that_leaves_no_room_for_a_word_is_refused(sentence: Path, length: object) -> None:
    edit_json(sentence / "tokenizer_config.json", model_max_length=length)
    assert f"allows {length!r} tokens (model_max_length)" in refusal(in_folder(sentence))


def test_a_tokenizer_whose_own_code_panics_is_a_sentence(sentence: Path) -> None:
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(sentence)).save_pretrained(str(sentence))
    edit_json(sentence / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    content = json.loads((sentence / "tokenizer.json").read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[GONE]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {},
    }
    (sentence / "tokenizer.json").write_text(json.dumps(content))
    assert "its tokenizer could not be used (PanicException: " in refusal(in_folder(sentence))


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"layer_norm_eps": float("nan")}, "answers a sentence with NaN or infinity"),
        ({"chunk_size_feed_forward": 10**12}, "its encoder could not be used (ValueError: "),
    ],
)
def test_a_config_whose_arithmetic_cannot_be_is_refused(sentence: Path, setting: dict[str, Any], told: str) -> None:
    edit_json(sentence / "config.json", **setting)
    assert told in refusal(in_folder(sentence))


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings_is_refused(plain: Path) -> None:
    another_vocabulary(plain, tokens=200)
    message = refusal(in_folder(plain))
    parts = [f"tokenizer in {plain} knows 200 tokens", "has ids up to 199", f"for {EMBEDDINGS}.", "belong together"]
    assert [part for part in parts if part not in message] == []


def test_a_word_that_only_other_sentences_have_counts_too(plain: Path) -> None:
    with (plain / "vocab.txt").open("a") as file:
        file.write("celluloid\n")
    assert f"has ids up to {EMBEDDINGS}, but" in refusal(in_folder(plain))


def test_a_special_token_beyond_the_embeddings_that_no_sentence_has_is_left_alone(plain: Path) -> None:
    tokenizer = ModelLoader().tokenizer(in_folder(plain))
    tokenizer.add_special_tokens({"additional_special_tokens": ["[NEVER]", "[NOR THIS]"]})
    tokenizer.save_pretrained(plain)
    loader, spec = ModelLoader(), in_folder(plain)
    assert loader.locate(spec).weights.sha256
    assert loader.tokenizer(spec).convert_tokens_to_ids("[NOR THIS]") >= EMBEDDINGS


def test_a_tokenizer_of_another_size_that_pads_with_another_token_is_refused(plain: Path) -> None:
    another_vocabulary(plain, tokens=60, pad=4)
    assert "knows 60 tokens and pads with token 4, not 0" in refusal(in_folder(plain))


@pytest.mark.parametrize(("tokens", "pad"), [(60, 0), (EMBEDDINGS, 4)], ids=["fewer tokens", "another padding"])
def test_fewer_tokens_alone_or_another_padding_alone_is_common(plain: Path, tokens: int, pad: int) -> None:
    another_vocabulary(plain, tokens=tokens, pad=pad)
    assert len(ModelLoader().tokenizer(in_folder(plain))) == tokens


@pytest.mark.parametrize(("wanted", "token"), [(0, "[PAD]"), (None, "[SEP]")])
def test_a_tokenizer_without_a_padding_token_is_refused_with_the_way_to_give_it_one(
    plain: Path, wanted: int | None, token: str
) -> None:
    edit_json(plain / "config.json", pad_token_id=wanted)
    tiny_models.write_fast_tokenizer(plain, model_max_length=64)
    message = refusal(in_folder(plain))
    assert f"the tokenizer in {plain} has no padding token" in message
    assert f"tokenizer.pad_token = {'tokenizer.eos_token' if wanted is None else repr(token)}, and save it" in message
    edit_json(plain / "tokenizer_config.json", pad_token=token)
    assert locate(in_folder(plain)).weights.sha256


def test_an_encoder_with_positions_for_no_word_is_refused(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "short", positions=3)
    message = refusal(in_folder(folder))
    assert f"the encoder in {folder} has positions for 2 tokens" in message


def test_an_encoder_that_has_fewer_positions_than_a_long_sentence_has_tokens_is_fine(tmp_path: Path) -> None:
    folder = write_roberta(tmp_path / "short", positions=6)
    assert locate(in_folder(folder)).weights.sha256


def write_roberta(folder: Path, *, positions: int = 66) -> Path:
    """Write a RoBERTa of whose positions token 0, which pads, takes one, and whose tokenizer does not say its limit."""
    tiny_models.write_encoder(folder, "roberta", max_position_embeddings=positions, pad_token_id=0)
    return tiny_models.write_fast_tokenizer(folder, pad_token="[PAD]")


# --- what is loaded


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_half_precision_checkpoint_is_loaded_in_float32_unless_asked_otherwise(sentence: Path, half: str) -> None:
    import torch
    from transformers import AutoModel

    AutoModel.from_pretrained(sentence, dtype=getattr(torch, half)).save_pretrained(sentence)
    assert json.loads((sentence / "config.json").read_text())["dtype"] == half
    loader, spec = ModelLoader(), in_folder(sentence)
    encoder = loader.sentence_encoder(spec, dtype="bfloat16")
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    for model in (loader.sequence_classifier(spec), loader.sentence_encoder(spec)):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def with_head(folder: Path, labels: int) -> Any:
    """Give the checkpoint a classification head and return its weights."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels)
    model.save_pretrained(folder)
    return model.classifier.weight.detach()


def test_the_head_is_drawn_from_torchs_generator_and_the_encoder_is_not(plain: Path) -> None:
    import torch

    loader, spec = ModelLoader(), in_folder(plain)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(loader.sequence_classifier(spec))
    heads = [model.classifier.weight for model in drawn]
    assert heads[0].shape == (2, 32)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    words = [model.get_input_embeddings().weight for model in drawn]
    assert torch.equal(words[0], words[2])


def test_a_head_for_two_classes_is_kept(plain: Path) -> None:
    import torch

    head = with_head(plain, 2)
    assert torch.equal(ModelLoader().sequence_classifier(in_folder(plain)).classifier.weight, head)


@pytest.mark.parametrize("labels", [1, 3])
def test_a_head_for_another_number_of_classes_is_not_replaced_without_a_word(plain: Path, labels: int) -> None:
    with_head(plain, labels)
    with pytest.raises(Sst2Error, match=f"its head in .* is for {labels} classes .classifier.weight.*save that alone"):
        ModelLoader().sequence_classifier(in_folder(plain))


def test_such_a_head_is_told_too_where_transformers_names_it_without_its_shape(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    with_head(plain, 3)
    real = AutoModelForSequenceClassification.from_pretrained

    def without_shapes(*args: Any, **options: Any) -> Any:
        model, info = real(*args, **options)
        return model, {**info, "mismatched_keys": [key for key, *_ in info["mismatched_keys"]]}

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", without_shapes)
    assert "is for other classes (classifier.weight)" in refusal(in_folder(plain), ModelLoader.sequence_classifier)


def test_an_encoder_without_modules_gets_the_mean_of_its_last_hidden_states(plain: Path) -> None:
    import torch
    from transformers import AutoModel

    loader, spec = ModelLoader(), in_folder(plain)
    rows = loader.sentence_encoder(spec).encode(["good film", "bad"], convert_to_tensor=True)
    tokens = loader.tokenizer(spec)(["good film"], return_tensors="pt")
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(plain).eval()(**tokens).last_hidden_state[0]
    assert torch.allclose(rows[0].cpu(), hidden.mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(("asked", "got"), [(None, 32), (8, 8), (500, 32)])
def test_a_length_is_never_beyond_the_encoders_own(sentence: Path, asked: int | None, got: int) -> None:
    assert ModelLoader().sentence_encoder(in_folder(sentence), max_length=asked).max_seq_length == got


def test_a_length_beyond_the_positions_is_cut_to_them(sentence: Path) -> None:
    edit_json(sentence / "sentence_bert_config.json", max_seq_length=512)
    encoder = ModelLoader().sentence_encoder(in_folder(sentence))
    assert encoder.max_seq_length == 64
    assert encoder.encode(["good film " * 100]).shape == (1, 32)


def test_positions_that_padding_takes_are_no_room(tmp_path: Path) -> None:
    encoder = ModelLoader().sentence_encoder(in_folder(write_roberta(tmp_path / "roberta")))
    assert encoder.max_seq_length == 65
    assert encoder.encode(["good film " * 100]).shape == (1, 32)


@pytest.mark.parametrize(
    "settings",
    [
        {"problem_type": "regression"},
        {"problem_type": "multi_label_classification"},
        {"return_dict": False},
        {"output_hidden_states": True, "output_attentions": True},
    ],
    ids=str,
)
def test_a_classifiers_loss_is_that_of_one_label_of_two_whatever_its_config_says(
    plain: Path, settings: dict[str, Any]
) -> None:
    import torch

    with_head(plain, 2)
    edit_json(plain / "config.json", **settings)
    loader, spec = ModelLoader(), in_folder(plain)
    model = loader.sequence_classifier(spec).eval()
    inputs = loader.tokenizer(spec)(["good film", "bad film"], return_tensors="pt")
    labels = torch.tensor([1, 0])
    answer = model(**inputs, labels=labels)
    assert torch.allclose(answer.loss, torch.nn.functional.cross_entropy(answer.logits, labels))
    assert set(answer) == {"loss", "logits"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Transformer"], "(KeyError: 'sentence_embedding'). Its modules in"),
        (["Pooling", "Transformer"], "are Pooling, Transformer; wanted is a Transformer and then"),
    ],
)
def test_modules_that_make_no_embedding_are_refused(sentence: Path, names: list[str], said: str) -> None:
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [
        {"idx": number, "name": str(number), "path": paths[name], "type": f"sentence_transformers.models.{name}"}
        for number, name in enumerate(names)
    ]
    (sentence / "modules.json").write_text(json.dumps(modules))
    message = refusal(in_folder(sentence), ModelLoader.sentence_encoder)
    assert "its sentence encoder could not be used" in message
    assert said in message


def test_an_embedding_is_asked_for_once_a_loader(sentence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sentence_transformers import SentenceTransformer

    asked: list[object] = []
    real = SentenceTransformer.encode
    monkeypatch.setattr(
        SentenceTransformer, "encode", lambda self, *args, **options: asked.append(args) or real(self, *args, **options)
    )
    loader = ModelLoader()
    for _ in range(3):
        loader.sentence_encoder(in_folder(sentence))
    assert len(asked) == 1


def with_second_model(folder: Path) -> Path:
    """Give a model another encoder in the folder of its first module, and leave that at its root."""
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    second = tiny_models.write_encoder(folder / "0_Transformer", seed=7)
    shutil.copy(folder / "sentence_bert_config.json", second)
    return second


def test_of_two_models_the_one_that_the_modules_name_is_checked_and_used_by_all(sentence: Path) -> None:
    import torch

    second = with_second_model(sentence)
    loader, spec = ModelLoader(), in_folder(sentence)
    found = loader.locate(spec)
    assert found.transformer == second
    assert found.weights.sha256 == sha256(second / "model.safetensors")
    words = loader.sequence_classifier(spec).get_input_embeddings().weight
    assert torch.equal(loader.sentence_encoder(spec)[0].auto_model.get_input_embeddings().weight, words)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda second: edit_json(second / "config.json", num_hidden_layers=3), "lacks 16 of the encoder's"),
        (lambda second: edit_json(second / "config.json", num_hidden_layers=10**6), "asks for num_hidden_layers"),
        (lambda second: another_vocabulary(second, tokens=200), "knows 200 tokens"),
        (lambda second: edit_json(second / "config.json", layer_norm_eps=float("nan")), "answers a sentence with NaN"),
    ],
    ids=["layers missing", "layers without end", "another tokenizer", "no answer"],
)
def test_a_sound_model_at_the_root_is_no_excuse_for_the_one_that_is_loaded(
    sentence: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(with_second_model(sentence))
    assert said in refusal(in_folder(sentence))


def test_a_root_of_an_old_release_that_has_but_its_version_is_no_model(sentence: Path) -> None:
    to_old_layout(sentence)
    (sentence / "config.json").write_text(json.dumps({"__version__": "0.3.8"}))
    assert locate(in_folder(sentence)).transformer == sentence / "0_Transformer"


def test_a_layer_at_the_root_is_verified_too_where_the_encoder_is_elsewhere(sentence: Path) -> None:
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
    assert "1 of the 8 numbers of linear.bias" in refusal(in_folder(sentence))


def test_a_transformer_within_a_router_must_be_whole_too(sentence: Path) -> None:
    from safetensors.torch import load_file, save_file

    within = sentence / "R" / "query_T"
    shutil.copytree(sentence, within, ignore=shutil.ignore_patterns("R", "modules.json"))
    types = {"query_T": "sentence_transformers.models.Transformer"}
    router = {"types": types, "structure": {"query": ["query_T"]}, "parameters": {"default_route": "query"}}
    (sentence / "R" / "router_config.json").write_text(json.dumps(router))
    modules = [{"idx": 0, "name": "0", "path": "R", "type": "sentence_transformers.models.Router"}]
    (sentence / "modules.json").write_text(json.dumps(modules))
    assert locate(in_folder(sentence)).encoders == [sentence, within]
    tensors = load_file(within / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if "layer.1." not in key}
    save_file(kept, within / "model.safetensors", metadata={"format": "pt"})
    assert f"the checkpoint in {within} lacks 16" in refusal(in_folder(sentence))


def test_an_older_layout_with_the_encoder_in_a_subfolder_loads(server: LoopbackHub, sentence: Path) -> None:
    to_old_layout(sentence)
    server.add("org/mine", sentence)
    loader, spec = ModelLoader(), on_hub(sentence_encoder=True)
    found = loader.locate(spec)
    assert found.transformer == found.folder / "0_Transformer"
    assert loader.sequence_classifier(spec).num_labels == 2
    assert loader.sentence_encoder(spec).encode(["good"]).shape == (1, 32)
    server.stop()
    assert locate(spec).weights.source == "cache"


@pytest.fixture(params=[False, True], ids=["a module", "a module within a router"])
def routed(request: pytest.FixtureRequest) -> bool:
    found: bool = request.param
    return found


def test_the_digest_tells_encoders_apart_that_differ_in_a_dense_module(
    sentence: Path, tmp_path: Path, routed: bool
) -> None:
    other = Path(shutil.copytree(sentence, tmp_path / "other"))
    for number, folder in enumerate((sentence, other)):
        add_dense_module(folder, seed=number, routed=routed)
    loader = ModelLoader()
    rows = [loader.sentence_encoder(in_folder(folder)).encode(["good film"]) for folder in (sentence, other)]
    assert abs(rows[0] - rows[1]).max() > 1e-3
    assert loader.locate(in_folder(sentence)).weights.sha256 != loader.locate(in_folder(other)).weights.sha256


def test_the_revision_of_a_folder_knows_the_settings_of_a_dense_module(sentence: Path, routed: bool) -> None:
    config = add_dense_module(sentence, seed=0, routed=routed) / "config.json"
    before = locate_anew(sentence).weights
    config.write_text(config.read_text().replace("linear.Identity", "activation.Tanh"))
    after = locate_anew(sentence).weights
    assert after.sha256 == before.sha256
    assert after.revision != before.revision


def locate_anew(folder: Path) -> LocatedModel:
    return ModelLoader().locate(in_folder(folder))


def test_a_pickled_dense_module_is_refused_like_pickled_weights(sentence: Path, routed: bool) -> None:
    import torch
    from safetensors.torch import load_file

    dense = add_dense_module(sentence, seed=0, routed=routed)
    torch.save(load_file(dense / "model.safetensors"), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()
    assert "pickle" in refusal(in_folder(sentence), ModelLoader.sentence_encoder)


def test_a_dense_module_without_numbers_is_refused(sentence: Path, routed: bool) -> None:
    from safetensors.numpy import load_file, save_file

    weights = add_dense_module(sentence, seed=0, routed=routed) / "model.safetensors"
    tensors = load_file(weights)
    tensors["linear.bias"][3] = float("nan")
    save_file(tensors, weights)
    assert "NaN" in refusal(in_folder(sentence), ModelLoader.sentence_encoder)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("in_features", 10**12, "in_features = 1,000,000,000,000"),
        ("out_features", 9_999, "out_features = 9,999"),
        ("activation_function", "http.server.HTTPServer", "http.server.HTTPServer"),
    ],
)
def test_a_dense_module_that_asks_for_what_it_may_not_is_refused(
    sentence: Path, routed: bool, setting: str, value: object, said: str
) -> None:
    config = add_dense_module(sentence, seed=0, routed=routed) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), setting: value}))
    assert said in refusal(in_folder(sentence))


@pytest.mark.parametrize("name", ["../../elsewhere", "/elsewhere", "C:\\elsewhere"])
def test_a_router_leads_to_no_module_outside_of_the_models_folder(sentence: Path, name: str) -> None:
    router = add_dense_module(sentence, seed=0, routed=True).parent / "router_config.json"
    config = json.loads(router.read_text())
    router.write_text(json.dumps({**config, "types": {**config["types"], name: "sentence_transformers.models.Dense"}}))
    assert "outside of the model's folder" in refusal(in_folder(sentence))


def test_routers_that_lead_to_themselves_are_looked_at_once(sentence: Path) -> None:
    router = add_dense_module(sentence, seed=0, routed=True).parent / "router_config.json"
    config = json.loads(router.read_text())
    router.write_text(json.dumps({**config, "types": {**config["types"], ".": "sentence_transformers.models.Router"}}))
    assert locate_anew(sentence).weights.sha256


def add_dense_module(folder: Path, *, seed: int, routed: bool = False) -> Path:
    """Put a linear layer from 32 to 8 dimensions after the pooling, or within a router there; return its folder."""
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


# --- what loading leaves behind


@pytest.fixture
def verbosity() -> Iterator[Any]:
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    yield logging
    logging.set_verbosity(before)
    if bars:
        logging.enable_progress_bar()
    else:
        logging.disable_progress_bar()


@pytest.mark.parametrize("bars", [True, False])
def test_loading_says_nothing_and_leaves_verbosity_and_bars_as_they_were(
    plain: Path, verbosity: Any, bars: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    verbosity.set_verbosity_info()
    if bars:
        verbosity.enable_progress_bar()
    else:
        verbosity.disable_progress_bar()
    loader, spec = ModelLoader(), in_folder(plain)
    loader.locate(spec)
    loader.tokenizer(spec)
    loader.sequence_classifier(spec)
    loader.sentence_encoder(spec)
    broken = Path(shutil.copytree(plain, plain.parent / "broken"))
    (broken / "model.safetensors").write_bytes(b"broken")
    refusal(in_folder(broken))
    assert verbosity.get_verbosity() == verbosity.INFO
    assert verbosity.is_progress_bar_enabled() is bars
    out, err = capfd.readouterr()
    for noise in ("LOAD REPORT", "Loading weights", "it/s"):
        assert noise not in out + err


def test_loading_leaves_the_hubs_progress_bars_off_where_the_user_turned_them_off(plain: Path, verbosity: Any) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars

    verbosity.enable_progress_bar()
    disable_progress_bars()
    locate(in_folder(plain))
    assert are_progress_bars_disabled()
