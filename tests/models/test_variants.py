"""Variants: the verified weights, served by PyTorch in another way or by another backend."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.instruments.encoder_fingerprint import measure_encoder
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.models import variants
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.variants import check_variant
from pytest_sst2.utils.errors import Sst2Error

SENTENCES = ["a good film", "a film that is far too long to be good", "bad"]


def variant_of(folder: Path, variant: str) -> ModelSpec:
    return ModelSpec(f"{folder.name}:{variant}", folder=folder, variant=variant)


def usable(variant: str) -> bool:
    try:
        check_variant(ModelSpec("model", "a/b", variant=variant), "cpu")
    except Sst2Error:
        return False
    return True


def needs(variant: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(f"not usable({variant!r})", reason=f"the libraries of the variant {variant} are missing")


def embeddings(encoder: object) -> np.ndarray:
    rows = Embedder(encoder)(SENTENCES)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("variant", "least_cosine"),
    [
        ("bf16", 0.999),
        ("compile", 0.99999),
        pytest.param("int8", 0.9, marks=needs("int8")),
        pytest.param("onnx", 0.99999, marks=needs("onnx")),
        pytest.param("openvino", 0.999, marks=needs("openvino")),
    ],
)
def test_a_variant_embeds_like_the_plain_model_but_is_another_encoder(
    sentence: Path, variant: str, least_cosine: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    # Without a C++ compiler, and without the seconds that it takes.
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: functools.partial(function))
    loader = ModelLoader()
    spec = variant_of(sentence, variant)
    files = sorted(sentence.rglob("*"))
    plain, served = loader.sentence_encoder(spec.plain), loader.sentence_encoder(spec)
    assert float((embeddings(plain) * embeddings(served)).sum(axis=1).min()) > least_cosine
    assert isinstance(served[0].auto_model.forward, functools.partial) == (variant == "compile")
    assert loader.locate(spec) is loader.locate(spec.plain)
    assert sorted(sentence.rglob("*")) == files
    measured = [measure_encoder(encoder, Embedder(encoder)) for encoder in (plain, served)]
    if variant not in ("compile", "onnx"):  # these may give the same bits
        assert measured[0].identity != measured[1].identity


def test_the_head_of_a_checkpoint_is_served_too(plain: Path) -> None:
    import torch

    model = ModelLoader().sequence_classifier(variant_of(plain, "bf16"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


class TestExportedFiles:
    def test_only_one_in_the_models_own_folder_is_used_and_its_digest_is_recorded(self, sentence: Path) -> None:
        loader, spec = ModelLoader(), variant_of(sentence, "onnx")
        assert loader.variant_settings(spec) == {"variant": "onnx", "exported": "in this run, from the weights"}
        (sentence / "onnx").mkdir()
        seen = set()
        for content in ("one", "other"):
            (sentence / "onnx" / "model.onnx").write_text("graph", encoding="utf-8")
            (sentence / "onnx" / "model.onnx_data").write_text(content, encoding="utf-8")
            seen.add(loader.variant_settings(spec)["exported"])
        assert len(seen) == 2
        assert all(text.startswith("onnx/model.onnx sha256 ") for text in seen)
        located = loader.locate(spec)
        bundled = dataclasses.replace(located, weights=dataclasses.replace(located.weights, source="cache"))
        assert variants.backend_of(spec, bundled).model_kwargs["export"]


class TestRefusals:
    def test_another_device_is_refused(self) -> None:
        with pytest.raises(Sst2Error, match="runs on a CPU only"):
            check_variant(ModelSpec("minilm:onnx", "a/b", variant="onnx"), "cuda")

    @pytest.mark.parametrize(
        ("variant", "packages"),
        # An editable installation that is older than the extra has no requirements of it.
        [("int8", r"torchao>=|\[int8\]"), ("onnx", r"\[onnx\]"), ("openvino", r"\[openvino\]")],
    )
    def test_missing_libraries_are_named_with_the_command_that_installs_them(
        self, variant: str, packages: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing(name: str) -> object:
            raise ModuleNotFoundError(f"No module named {name!r}")

        monkeypatch.setattr("pkgutil.resolve_name", missing)
        monkeypatch.setattr(variants, "_conflict", lambda _name: "")
        with pytest.raises(Sst2Error, match=rf"cannot be used \(ModuleNotFoundError.*pip install .*({packages})"):
            check_variant(ModelSpec(f"minilm:{variant}", "a/b", variant=variant), "cpu")

    def test_libraries_that_contradict_the_installed_ones_are_the_reason(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(metadata, "requires", lambda _name: ["extra; extra == 'x'", "transformers>=4,<4.1"])
        real: Callable[[str], str] = metadata.version
        monkeypatch.setattr(metadata, "version", lambda name: "0.1.0" if name == "optimum-onnx" else real(name))
        words = f"optimum-onnx 0.1.0 requires transformers<4.1,>=4, not {real('transformers')}"
        assert variants._conflict("optimum-onnx") == words

    def test_word_vectors_have_no_variants(self, tmp_path: Path) -> None:
        from tests.support.tiny_models import write_word_vectors

        folder = write_word_vectors(tmp_path / "vectors", "StaticEmbedding")
        with pytest.raises(Sst2Error, match="only a single transformer has variants"):
            ModelLoader().sentence_encoder(variant_of(folder, "bf16"))
