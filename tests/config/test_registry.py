"""Registry: look-up of names with suggestions; aliases, Hub ids and folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.registry import Registry
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.utils.errors import Sst2Error

REGISTRY = Registry(CATALOG, METHODS)
MINILM, ALBERT = REGISTRY.models["minilm"], REGISTRY.models["albert"]


def model_folder(folder: Path, file: str = "config.json") -> Path:
    folder.mkdir(parents=True)
    (folder / file).write_text("{}", encoding="utf-8")
    return folder


def look_up(text: str, base: Path) -> ModelSpec:
    return REGISTRY.model(text, base=base)


def refusal(text: str, base: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        look_up(text, base)
    return str(caught.value)


@pytest.mark.parametrize("spec", CATALOG, ids=lambda spec: spec.name)
def test_an_alias_and_its_hub_id_are_the_same_entry(tmp_path: Path, spec: ModelSpec) -> None:
    assert look_up(spec.name, tmp_path) is spec
    assert look_up(spec.hub_id, tmp_path) is spec
    assert look_up(spec.hub_id.upper(), tmp_path) is spec


def test_a_hub_id_that_is_not_in_the_table_is_taken_as_it_is(tmp_path: Path) -> None:
    assert look_up("someone/Their-Model_2.1", tmp_path) == ModelSpec(
        "someone/Their-Model_2.1", "someone/Their-Model_2.1"
    )


@pytest.mark.parametrize("revision", ["main", "v1.0", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", "my_branch-2"])
def test_a_revision_is_part_of_the_name_so_that_no_floor_of_another_holds(tmp_path: Path, revision: str) -> None:
    spec = look_up(f"{MINILM.hub_id}@{revision}", tmp_path)
    assert (spec.name, spec.hub_id, spec.revision) == (f"{MINILM.hub_id}@{revision}", MINILM.hub_id, revision)
    assert spec.weights_sha256 == ""


@pytest.mark.parametrize("revision", ["refs/pr/1", "refs/convert/parquet", "feature/new-head"])
def test_a_revision_may_hold_slashes_as_pull_requests_do(tmp_path: Path, revision: str) -> None:
    assert look_up(f"someone/model@{revision}", tmp_path).revision == revision


def test_another_revision_of_a_known_sentence_encoder_is_known_to_be_one(tmp_path: Path) -> None:
    # Otherwise a cached copy without modules.json passes for complete, and the pooling silently is another.
    assert look_up(f"{MINILM.hub_id}@main", tmp_path).sentence_encoder


@pytest.mark.parametrize("file", ["config.json", "modules.json"])
@pytest.mark.parametrize("text", ["my-model", "./my-model", "../{here}/my-model", "{here_path}/my-model"])
def test_a_folder_with_a_model_is_taken_however_it_is_named(tmp_path: Path, file: str, text: str) -> None:
    folder = model_folder(tmp_path / "my-model", file)
    spec = look_up(text.format(here=tmp_path.name, here_path=tmp_path), tmp_path)
    assert (spec.name, spec.hub_id, spec.folder) == ("my-model", "", folder)


def test_a_folder_in_a_folder_wins_over_a_hub_id_of_the_same_spelling(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "out" / "checkpoint-500")
    assert look_up("out/checkpoint-500", tmp_path).folder == folder
    assert look_up("out/checkpoint-600", tmp_path).hub_id == "out/checkpoint-600"


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = model_folder(tmp_path / "my-model")
    assert look_up("~/my-model", tmp_path / "elsewhere").folder == folder


def test_an_alias_wins_over_a_folder_of_its_name(tmp_path: Path) -> None:
    model_folder(tmp_path / "minilm")
    assert look_up("minilm", tmp_path) is MINILM


def test_a_folder_called_like_an_alias_does_not_pass_for_it(tmp_path: Path) -> None:
    model_folder(tmp_path / "minilm")
    assert look_up("./minilm", tmp_path).name != "minilm"


def test_a_folder_without_a_model_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    message = refusal("./empty", tmp_path)
    assert [part for part in ["'./empty'", "config.json", "save_pretrained"] if part not in message] == []


def test_a_folder_without_a_model_does_not_hide_what_a_bare_word_could_mean(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    assert "unknown model 'tests'" in refusal("tests", tmp_path)


@pytest.mark.parametrize("text", ["./nothing", "/nothing/here", "a/b/c", "~/nothing-here", r"C:\models\mine"])
def test_a_path_to_nothing_is_refused_with_the_forms_there_are(tmp_path: Path, text: str) -> None:
    message = refusal(text, tmp_path)
    parts = [f"no folder {text!r}", "aliases", "org/name@revision", "config.json"]
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("text", "near"),
    [("MiniLM", "minilm"), ("distillbert", "distilbert"), ("tiny-bert", "tinybert")],
)
def test_a_misspelt_model_is_refused_with_the_nearest_and_all_there_are(tmp_path: Path, text: str, near: str) -> None:
    message = refusal(text, tmp_path)
    assert message.startswith(f"unknown model {text!r}. Did you mean {near!r}?")
    assert [spec.name for spec in CATALOG if spec.name not in message] == []
    assert "org/name" in message


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("all-MiniLM-L6-v2", "minilm"),
        ("all-mpnet-base-v2", "mpnet"),
        ("TinyBERT_General_4L_312D", "tinybert"),
    ],
)
def test_a_hub_id_without_its_owner_gets_its_own_alias_as_the_guess(tmp_path: Path, text: str, near: str) -> None:
    assert f"Did you mean {near!r}?" in refusal(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "alias"),
    [("bert-base-uncased", "bert-base"), ("roberta-base", "roberta"), ("DistilBERT-base-uncased", "distilbert")],
)
def test_the_name_from_before_a_model_had_an_owner_is_its_alias(tmp_path: Path, text: str, alias: str) -> None:
    assert look_up(text, tmp_path) is look_up(alias, tmp_path)


def test_a_name_like_no_other_gets_no_guess(tmp_path: Path) -> None:
    assert "Did you mean" not in refusal("zzz", tmp_path)


@pytest.mark.parametrize("text", ["org/name@", "org name", "org/na me", "@main", "org/näme"])
def test_what_is_no_hub_id_is_refused(tmp_path: Path, text: str) -> None:
    assert f"unknown model {text!r}" in refusal(text, tmp_path)


def test_a_home_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "~nobody-of-this-name" in refusal("~nobody-of-this-name/model", tmp_path)


def test_a_name_too_long_for_any_file_is_refused(tmp_path: Path) -> None:
    assert "unknown model" in refusal(300 * "x", tmp_path)


def test_an_unknown_method_is_refused_with_the_nearest_and_all_there_are() -> None:
    with pytest.raises(Sst2Error) as caught:
        REGISTRY.method("finetune")
    message = str(caught.value)
    assert "unknown method 'finetune'. Did you mean 'fine-tune'?" in message
    assert [method.name for method in METHODS if method.name not in message] == []


def test_a_model_needs_a_place_it_is_found_at() -> None:
    with pytest.raises(Sst2Error) as caught:
        ModelSpec("mine")
    assert [part for part in ["'mine'", "hub_id", "org/name", "folder"] if part not in str(caught.value)] == []


def test_a_later_entry_replaces_an_earlier_one_of_its_name(tmp_path: Path) -> None:
    pinned = ModelSpec("minilm", "someone/their-minilm", "v2")
    method = MethodSpec("tfidf", lambda job: job, needs_model=False)
    registry = Registry([*CATALOG, pinned], [*METHODS, method], added=["tfidf"])
    assert registry.model("minilm", base=tmp_path) is pinned
    assert registry.method("tfidf") is method
    assert list(registry.models) == [spec.name for spec in CATALOG]
    assert registry.added_methods == frozenset(), "its own benchmark runs it, so it must not run a second time"


# The catalogue.


def test_a_model_in_a_folder_whose_name_is_no_utf8_is_refused_before_a_library_stumbles_over_it(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"mod\xe8le")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names in UTF-8 alone")
    (folder / "config.json").write_text("{}")
    with pytest.raises(Sst2Error, match="is not valid UTF-8") as caught:
        REGISTRY.model(str(folder), base=tmp_path)
    assert "Rename the folder" in str(caught.value)


@pytest.mark.parametrize("text", ["minilm:int8", f"{MINILM.hub_id}:int8"])
def test_a_variant_is_the_model_served_otherwise(tmp_path: Path, text: str) -> None:
    spec = look_up(text, tmp_path)
    assert (spec.name, spec.variant, spec.hub_id) == ("minilm:int8", "int8", MINILM.hub_id)
    assert spec.plain == MINILM


def test_a_variant_may_follow_a_revision_or_a_folder(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "mine")
    assert look_up("someone/model@v1:onnx", tmp_path).revision == "v1"
    assert (look_up("./mine:bf16", tmp_path).folder, look_up("mine:bf16", tmp_path).variant) == (folder, "bf16")


@pytest.mark.skipif(os.name == "nt", reason="no file name has a colon there")
def test_a_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    model_folder(tmp_path / "mine:int8")
    assert look_up("mine:int8", tmp_path).variant == ""
    assert look_up("mine:int8:bf16", tmp_path).plain == look_up("mine:int8", tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("minilm:int9", "no variant 'int9'. Did you mean 'int8'? Variants: bf16, int8, compile, onnx, openvino."),
        ("someone/model:latest", "A revision follows an @, as in org/name@revision."),
        ("minilm:int8:bf16", "names two variants, int8 and bf16"),
        ("minlm:int8", "unknown model 'minlm'. Did you mean 'minilm'?"),
        ("minilm:", "unknown model 'minilm:'. Did you mean 'minilm'?"),
        (r"C:\models\mine", "Windows path"),
        ("./missing:int8", "no folder './missing'"),
    ],
)
def test_a_wrong_variant_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    assert words in refusal(text, tmp_path)
