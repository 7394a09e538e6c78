"""Test that a model's modules load nothing but the verified files, and that published layouts are accepted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.module_classes import MODULE_CLASSES
from pytest_sst2.utils.errors import Sst2Error
from tests.models.test_safety import refusal
from tests.support.model_folders import add_dense_module, edit_json, in_folder, locate, pickle_weights
from tests.support.tiny_models import add_sentence_modules, write_encoder

OLD, NEW = "sentence_transformers.models", "sentence_transformers.sentence_transformer.modules"
WHOLE_MODEL = "sentence_transformers.SentenceTransformer"
HAS_ROUTER = Version(metadata.version("sentence-transformers")) >= Version("5.0")
HAS_NEW_PATHS = Version(metadata.version("sentence-transformers")) >= Version("5.4")
needs_new_paths = pytest.mark.skipif(not HAS_NEW_PATHS, reason="sentence-transformers before 5.4")
WORDS_CONFIG = "wordembedding_config.json"


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def copy_of(model: Path, name: str) -> Path:
    """Copy a model to a folder of itself, with a pickle as its weights; return the folder."""
    shutil.copytree(model, model.parent / "copy")
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    return pickle_weights(Path(shutil.move(model.parent / "copy", model / name)))


def encoder_copy(model: Path, name: str) -> Path:
    """Copy a model's encoder, without modules, to a folder of the model; return the folder."""
    shutil.copytree(model, model.parent / "copy", ignore=shutil.ignore_patterns("modules.json", "[12]_*"))
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(model.parent / "copy", model / name))


def set_modules(model: Path, *modules: tuple[str, object]) -> None:
    entries = [
        {"idx": number, "name": str(number), "path": path, "type": kind} for number, (path, kind) in enumerate(modules)
    ]
    (model / "modules.json").write_text(json.dumps(entries))


def set_type(model: Path, kind: object, *, position: int = 1) -> None:
    modules = json.loads((model / "modules.json").read_text())
    modules[position]["type"] = kind
    (model / "modules.json").write_text(json.dumps(modules))


def add_router(model: Path, types: dict[str, object], name: str = "R", file: str = "router_config.json") -> Path:
    """Make a Router with these routes the first module, before the Pooling; return its folder."""
    (model / name).mkdir(exist_ok=True)
    content = {"types": types, "structure": {"document": list(types)}, "parameters": {}}
    (model / name / file).write_text(json.dumps(content))
    set_modules(model, (name, f"{OLD}.Router"), ("1_Pooling", f"{OLD}.Pooling"))
    return model / name


def add_words(model: Path, tokenizer: object) -> None:
    folder = model / "W"
    folder.mkdir()
    (folder / WORDS_CONFIG).write_text(json.dumps({"tokenizer_class": tokenizer, "update_embeddings": False}))
    set_modules(model, ("", f"{OLD}.Transformer"), ("W", f"{OLD}.WordEmbeddings"), ("1_Pooling", f"{OLD}.Pooling"))


class TestClasses:
    @pytest.mark.parametrize(
        "kind",
        [
            WHOLE_MODEL,
            "sentence_transformers.sentence_transformer.model.SentenceTransformer",
            "sentence_transformers.SentenceTransformer.SentenceTransformer",
            "sentence_transformers.cross_encoder.CrossEncoder",
            "sentence_transformers.SparseEncoder",
            "sentence_transformers.sparse_encoder.modules.MLMTransformer",
            f"{OLD}.CLIPModel",
            f"{OLD}.Transformer.load",
            f"{OLD}.Transformer.load.__self__",
            f"{OLD}.transformer",
            f"{OLD}.TRANSFORMER",
            f" {WHOLE_MODEL}",
            "sentence_transformers.models..Transformer",
            "sentence_transformers.util.http_get",
            "sentence_transformers.models.tokenizer.WhitespaceTokenizer",
        ],
    )
    def test_other_classes_of_the_library_are_refused(self, model: Path, kind: str) -> None:
        copy_of(model, "nested")
        set_modules(model, ("", f"{OLD}.Transformer"), ("nested", kind), ("1_Pooling", f"{OLD}.Pooling"))
        assert kind.strip() in refusal(model)
        set_type(model, f"{OLD}.Dense")
        add_router(model, {"nested": kind})
        assert kind.strip() in refusal(model)

    @pytest.mark.parametrize("kind", [[f"{OLD}.Transformer"], None, 1, True, {"a": f"{OLD}.Transformer"}])
    def test_a_class_that_is_not_text_is_refused(self, model: Path, kind: object) -> None:
        set_type(model, kind)
        assert "names the class" in refusal(model)

    @pytest.mark.parametrize(
        "kind",
        [
            "SentenceTransformer",
            "sentence_transformers .SentenceTransformer",
            "\N{CYRILLIC SMALL LETTER DZE}entence_transformers.models.Pooling",
            "Pooling",
            "",
        ],
    )
    def test_names_of_other_packages_require_the_option(self, model: Path, kind: str) -> None:
        set_type(model, kind)
        assert "add --sst2-trust-remote-code" in refusal(model)

    def test_trusted_code_does_not_allow_nested_models(self, model: Path) -> None:
        set_type(model, WHOLE_MODEL)
        with pytest.raises(Sst2Error, match="SentenceTransformer"):
            ModelLoader(trust_remote_code=True).locate(in_folder(model))

    @pytest.mark.parametrize("file", ["router_config.json", "config.json"])
    def test_a_whole_model_as_a_route_is_refused(self, model: Path, file: str) -> None:
        copy_of(model, "R/query")
        add_router(model, {"query": WHOLE_MODEL}, file=file)
        assert WHOLE_MODEL in refusal(model)

    def test_an_older_router_config_is_checked_too(self, model: Path) -> None:
        encoder_copy(model, "R/document")
        copy_of(model, "R/query")
        add_router(model, {"query": WHOLE_MODEL}, file="config.json")
        add_router(model, {"document": f"{OLD}.Transformer"})
        assert WHOLE_MODEL in refusal(model)

    def test_a_route_of_a_route_is_checked_too(self, model: Path) -> None:
        add_router(model, {"inner": f"{OLD}.Router"})
        (model / "R" / "inner").mkdir()
        (model / "R" / "inner" / "config.json").write_text(json.dumps({"types": {"query": WHOLE_MODEL}}))
        assert WHOLE_MODEL in refusal(model)

    @pytest.mark.parametrize(
        "tokenizer",
        [
            WHOLE_MODEL,
            f"{OLD}.tokenizer.TransformersTokenizerWrapper",
            f"{OLD}.Transformer",
            "transformers.AutoTokenizer",
            ["x"],
            None,
        ],
    )
    def test_other_tokenizers_of_words_are_refused(self, model: Path, tokenizer: object) -> None:
        add_words(model, tokenizer)
        assert any(part in refusal(model) for part in ("names the class", "that is not part of the libraries"))

    @pytest.mark.parametrize("name", [WHOLE_MODEL, "torch.nn.Module", "torch.nn.utils.parametrize", "torch.hub.load"])
    def test_other_activations_are_refused(self, model: Path, name: str) -> None:
        edit_json(add_dense_module(model, seed=0) / "config.json", activation_function=name)
        assert name in refusal(model)

    def test_the_classes_of_the_installed_release_are_listed(self) -> None:
        from sentence_transformers import models

        names = {name.rpartition(".")[2] for name in MODULE_CLASSES}
        classes = [getattr(models, name) for name in names if hasattr(models, name)]
        assert len(classes) > 10
        assert {f"{found.__module__}.{found.__name__}" for found in classes} <= MODULE_CLASSES


class TestFiles:
    def test_modules_of_a_module_are_refused(self, model: Path) -> None:
        (model / "1_Pooling" / "modules.json").write_text("[]")
        assert "has its own modules.json" in refusal(model)

    @pytest.mark.parametrize("target", ["../modules.json", "nowhere"])
    def test_a_link_as_modules_of_a_module_is_refused(self, model: Path, target: str) -> None:
        (model / "1_Pooling" / "modules.json").symlink_to(target)
        assert "has its own modules.json" in refusal(model)

    def test_a_checkpoint_of_the_training_next_to_the_modules_is_accepted(self, model: Path) -> None:
        shutil.copytree(model, model.parent / "copy")
        shutil.move(model.parent / "copy", model / "checkpoint-500")
        assert locate(in_folder(model)).weights.sha256

    @pytest.mark.parametrize("model_type", [{}, {"model_type": "bert"}])
    def test_shards_next_to_a_pickle_of_a_dense_module_are_refused(
        self, model: Path, model_type: dict[str, str]
    ) -> None:
        dense = add_dense_module(model, seed=0)
        (dense / "model.safetensors").rename(dense / "model-1.safetensors")
        index = {"weight_map": {"linear.weight": "model-1.safetensors", "linear.bias": "model-1.safetensors"}}
        (dense / "model.safetensors.index.json").write_text(json.dumps(index))
        (dense / "pytorch_model.bin").write_bytes(b"\x80\x04never read this")
        edit_json(dense / "config.json", **model_type)
        assert "sharded weights" in refusal(model)

    @pytest.mark.parametrize("name", ["", ".", "../R", "link"])
    def test_a_router_that_contains_itself_is_refused(self, model: Path, name: str) -> None:
        router = add_router(model, {name: f"{OLD}.Router"})
        (router / "link").symlink_to(".")
        assert any(part in refusal(model) for part in ("more than 30 modules", "outside the model's folder"))

    def test_two_modules_with_one_name_are_refused(self, model: Path) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[1]["name"] = modules[0]["name"]
        (model / "modules.json").write_text(json.dumps(modules))
        assert "two modules with one name" in refusal(model)

    def test_a_tokenizer_class_that_is_no_tokenizer_is_refused(self, model: Path) -> None:
        edit_json(model / "tokenizer_config.json", tokenizer_class="AutoModel")
        assert "loads a BertModel, which is not a tokenizer" in refusal(model)

    @pytest.mark.parametrize("path", [1, ["1_Pooling"], True])
    def test_a_path_that_is_not_text_is_refused(self, model: Path, path: object) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[1]["path"] = path
        (model / "modules.json").write_text(json.dumps(modules))
        assert "does not contain a list of modules" in refusal(model)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("backend", "onnx"),
            ("cache_dir", "/elsewhere"),
            ("processor_name", "org/other"),
            ("model_name_or_path", "org/other"),
            ("tokenizer_name_or_path", "org/other"),
        ],
    )
    def test_settings_that_load_other_files_are_refused(self, model: Path, key: str, value: str) -> None:
        edit_json(model / "sentence_bert_config.json", **{key: value})
        assert f"sets {key} to {value!r}" in refusal(model)


class TestWeights:
    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_an_encoder_has_the_dtype_that_is_asked_for(self, model: Path, dtype: str) -> None:
        add_dense_module(model, seed=0)
        encoder = ModelLoader().sentence_encoder(in_folder(model), dtype=dtype)
        assert dtype in {str(parameter.dtype).removeprefix("torch.") for parameter in encoder.parameters()}

    def test_an_encoder_without_pooler_is_accepted(self, model: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(model / "model.safetensors")
        kept = {f"bert.{key}": tensor for key, tensor in tensors.items() if "pooler" not in key}
        save_file(kept, model / "model.safetensors", metadata={"format": "pt"})
        assert ModelLoader().sentence_encoder(in_folder(model)).encode("good").shape == (32,)

    def test_tensors_that_transformers_computes_are_accepted(self, tmp_path: Path) -> None:
        """RoFormer computes its sinusoidal positions and saves none."""
        from transformers import AutoConfig, AutoModel

        folder = add_sentence_modules(write_encoder(tmp_path / "roformer"))
        size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        config = AutoConfig.for_model("roformer", vocab_size=100, max_position_embeddings=64, **size)
        AutoModel.from_config(config).save_pretrained(folder)
        assert ModelLoader().sentence_encoder(in_folder(folder)).encode("good").shape == (32,)


@needs_new_paths
def test_a_chat_template_is_not_rendered(model: Path) -> None:
    def vector() -> list[float]:
        return list(ModelLoader().sentence_encoder(in_folder(model)).encode("good film").tolist())

    before = vector()
    params = {"method": "forward", "method_output_name": "last_hidden_state"}
    (model / "chat_template.jinja").write_text("{% for i in range(10**12) %}{% endfor %}")
    edit_json(
        model / "sentence_bert_config.json",
        modality_config={"text": params, "message": {**params, "format": "flat"}},
        module_output_name="token_embeddings",
    )
    assert vector() == before
    edit_json(model / "sentence_bert_config.json", modality_config={"message": params})
    assert "It must have text" in refusal(model)


def test_a_chat_template_of_a_model_without_modules_is_not_rendered(plain: Path) -> None:
    (plain / "chat_template.jinja").write_text("{% for i in range(10**12) %}{% endfor %}")
    assert ModelLoader().sentence_encoder(in_folder(plain)).encode("good film").shape == (32,)


class TestOffline:
    def test_the_libraries_are_offline_while_they_are_called(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub
        from huggingface_hub.errors import OfflineModeIsEnabled

        from pytest_sst2.models.guarded_calls import LibraryCall

        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)

        def ask() -> Any:
            return huggingface_hub.HfApi(endpoint="http://127.0.0.1:9").model_info("org/other")

        with pytest.raises(Sst2Error, match="OfflineModeIsEnabled") as caught:
            LibraryCall("mine")("encoder", ask)
        assert isinstance(caught.value.__cause__, OfflineModeIsEnabled)
        assert huggingface_hub.constants.HF_HUB_OFFLINE is False


def dense(folder: Path) -> None:
    add_dense_module(folder, seed=0)


def dense_and_normalize(folder: Path) -> None:
    """Write the modules of LaBSE."""
    add_dense_module(folder, seed=0)
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Normalize", "type": f"{OLD}.Normalize"})
    (folder / "3_Normalize").mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))


def router(folder: Path) -> None:
    """Write a Router with an encoder for queries and one for documents."""
    types: dict[str, object] = {}
    for name in ("query_0_Transformer", "document_0_Transformer"):
        encoder_copy(folder, f"0_Router/{name}")
        types[name] = "sentence_transformers.base.modules.transformer.Transformer"
    for name in ("query_1_Pooling", "document_1_Pooling"):
        shutil.copytree(folder / "1_Pooling", folder / "0_Router" / name)
        types[name] = f"{NEW}.pooling.Pooling"
    structure = {task: [f"{task}_0_Transformer", f"{task}_1_Pooling"] for task in ("query", "document")}
    content = {"types": types, "structure": structure, "parameters": {"default_route": "document"}}
    (folder / "0_Router" / "router_config.json").write_text(json.dumps(content))
    set_modules(folder, ("0_Router", "sentence_transformers.base.modules.router.Router"))


LAYOUTS: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None]] = {
    "all-MiniLM, all-mpnet, e5": ({}, None),
    "bge": ({"pooling": "cls"}, None),
    "gte, paraphrase-MiniLM": ({"normalize": False}, None),
    "distiluse": ({"normalize": False}, dense),
    "LaBSE": ({"pooling": "cls", "normalize": False}, dense_and_normalize),
    "Router": ({"normalize": False}, router),
}


@pytest.mark.parametrize(
    "layout", [pytest.param(name, marks=needs_new_paths) if name == "Router" else name for name in LAYOUTS]
)
@pytest.mark.parametrize("path", [OLD, pytest.param(NEW, marks=needs_new_paths)])
def test_published_layouts_are_accepted(tmp_path: Path, layout: str, path: str) -> None:
    arguments, change = LAYOUTS[layout]
    folder = add_sentence_modules(write_encoder(tmp_path / "model"), **arguments)
    if change:
        change(folder)
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace(f"{OLD}.", f"{path}."))
    assert ModelLoader().sentence_encoder(in_folder(folder)).encode(["good film"]).shape[0] == 1


@pytest.mark.parametrize("kind", ["SparseEncoder", "CrossEncoder"])
def test_a_model_of_another_type_can_be_fine_tuned(model: Path, kind: str) -> None:
    """Its modules are not loaded, whatever their classes."""
    set_type(model, "sentence_transformers.sparse_encoder.models.SpladePooling.SpladePooling")
    edit_json(model / "config_sentence_transformers.json", model_type=kind)
    assert ModelLoader().sequence_classifier(ModelSpec("mine", folder=model)).num_labels == 2


OPENED_FILES = """
import sys, os
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
import safetensors
original = safetensors.safe_open
def safe_open(path, *arguments, **options):  # opens files without an audit event
    opened.append(str(path))
    return original(path, *arguments, **options)
safetensors.safe_open = safe_open
from pathlib import Path
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.loader import ModelLoader
import sentence_transformers
folder = Path(sys.argv[1])
loader, spec = ModelLoader(), ModelSpec("mine", folder=folder)
located = loader.locate(spec)
opened.clear()
loader.sequence_classifier(spec)
loader.sentence_encoder(spec).encode("good film")
verified = {str(folder / name) for name in located.contents} | {str(folder / "README.md")}
libraries = tuple({sys.prefix, sys.base_prefix, os.path.dirname(os.__file__), os.getcwd(), "/proc/", "/sys/", "/dev/"})
others = {name for name in opened if os.path.isfile(name) and not os.path.realpath(name).startswith(libraries)}
others = {name for name in others if not name.startswith("/etc/")}
assert {str(folder / "model.safetensors"), str(folder / "config.json")} <= set(opened), opened
print(sorted(others - verified))
"""


def test_only_verified_files_are_opened(model: Path, tmp_path: Path) -> None:
    add_dense_module(model, seed=0, routed=HAS_ROUTER)
    for name in ("other.json", "training_args.bin", "optimizer.pt", "README.md"):
        (model / name).write_text("{}")
    script = tmp_path / "opened.py"
    script.write_text(OPENED_FILES)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(model)],
        cwd=root,
        env={"PYTHONPATH": os.pathsep.join([*sys.path[:1], str(root)]), "PATH": "/usr/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"
