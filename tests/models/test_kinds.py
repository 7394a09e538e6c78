"""Test models of kinds that encode no sentences, or that the libraries load as no encoder or classifier."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.models import repository_files
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils.errors import Sst2Error
from tests.support.model_folders import EMBEDDINGS, in_folder, locate, refusal_of
from tests.support.tiny_models import write_fast_tokenizer, write_tokenizer

TEXT = {
    **{"vocab_size": EMBEDDINGS, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 32, "max_position_embeddings": 64, "pad_token_id": 0, "eos_token_id": 3},
}
IMAGE = {**{key: TEXT[key] for key in TEXT if key.startswith(("hid", "num", "int"))}, "image_size": 8, "patch_size": 8}
T5 = {
    **{"vocab_size": EMBEDDINGS, "d_model": 32, "d_kv": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2},
    **{"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0},
}
SOUND = {
    **{"vocab_size": EMBEDDINGS, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1},
    **{"encoder_attention_heads": 2, "decoder_attention_heads": 2, "pad_token_id": 0, "num_mel_bins": 8},
}


def write_kind(folder: Path, kind: str, class_name: str, *, ends_with: str = "", **settings: Any) -> Path:
    """Write a model of any kind with a tokenizer of words; ``ends_with`` is a token after each sentence."""
    import transformers

    config = transformers.AutoConfig.for_model(kind, **settings)
    getattr(transformers, class_name)(config).save_pretrained(folder)
    write_tokenizer(folder)
    write_fast_tokenizer(folder, pad_token="[PAD]", model_max_length=64)
    if ends_with:
        content = json.loads((folder / "tokenizer.json").read_text())
        end = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": ends_with, "type_id": 0}}]
        number = content["model"]["vocab"][ends_with]
        tokens = {ends_with: {"id": ends_with, "ids": [number], "tokens": [ends_with]}}
        content["post_processor"] = {"type": "TemplateProcessing", "single": end, "pair": [*end, *end]}
        content["post_processor"]["special_tokens"] = tokens
        (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("kind", "class_name", "settings", "clause"),
    [
        (
            "clip",
            "CLIPModel",
            {"text_config": TEXT, "vision_config": IMAGE},
            "CLIPModel (model_type clip) cannot",
        ),
        ("vit", "ViTModel", IMAGE, "because it reads pixel_values"),
        ("whisper", "WhisperModel", SOUND, "because it reads input_features"),
        ("dpr", "DPRContextEncoder", TEXT, "names DPRContextEncoder, but transformers loads DPRQuestionEncoder"),
    ],
)
def test_a_model_that_encodes_no_sentences_is_refused_by_its_kind(
    kind: str, class_name: str, settings: dict[str, Any], clause: str, tmp_path: Path
) -> None:
    message = refusal_of(in_folder(write_kind(tmp_path, kind, class_name, **settings)))
    assert clause in message
    assert message.endswith(". Name a text encoder.")


def test_an_image_model_without_tokenizer_is_not_told_to_save_one(tmp_path: Path) -> None:
    write_kind(tmp_path, "vit", "ViTModel", **IMAGE)
    for name in ("tokenizer.json", "vocab.txt"):
        (tmp_path / name).unlink()
    (tmp_path / "preprocessor_config.json").write_text("{}")
    assert "it reads images or sound. Name a text encoder." in refusal_of(in_folder(tmp_path))


def test_a_kind_without_classifier_is_for_the_probes_only(tmp_path: Path) -> None:
    spec = in_folder(write_kind(tmp_path, "mamba", "MambaModel", vocab_size=EMBEDDINGS, hidden_size=32, state_size=4))
    message = refusal_of(spec, ModelLoader.sequence_classifier)
    assert "transformers has no AutoModelForSequenceClassification for models of the kind Mamba" in message
    assert "or try the probes" in message
    assert ModelLoader().sentence_encoder(spec).encode(["good"]).shape == (1, 32)


def test_a_kind_without_encoder_is_refused(tmp_path: Path) -> None:
    text = {"model_type": "bert", **TEXT}
    decoder = {**text, "is_decoder": True, "add_cross_attention": True}
    write_kind(tmp_path, "encoder-decoder", "EncoderDecoderModel", encoder=text, decoder=decoder)
    assert "has no AutoModel for models of the kind EncoderDecoder. Name" in refusal_of(in_folder(tmp_path))


def test_an_encoder_that_was_saved_without_its_decoder_is_for_the_probes_only(tmp_path: Path) -> None:
    spec = in_folder(write_kind(tmp_path, "t5", "T5EncoderModel", **T5))
    assert ModelLoader().sentence_encoder(spec).encode(["good"]).shape == (1, 32)
    message = refusal_of(spec, ModelLoader.sequence_classifier)
    assert "T5ForSequenceClassification has" in message
    assert "decoder.block.0" in message


def test_a_classifier_that_needs_an_end_token_is_refused_without_one(tmp_path: Path) -> None:
    spec = in_folder(write_kind(tmp_path, "t5", "T5Model", **T5))
    assert locate(spec)
    assert "its classifier could not be used" in refusal_of(spec, ModelLoader.sequence_classifier)
    spec = in_folder(write_kind(tmp_path / "ends", "t5", "T5Model", ends_with="[SEP]", **T5))
    model, tokenizer = ModelLoader().sequence_classifier(spec), ModelLoader().tokenizer(spec)
    assert SequenceClassifier(model, tokenizer, 16, "float32").embed(["good"]).shape == (1, 32)


def test_a_tokenizer_of_sentencepiece_names_the_extra_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(Sst2Error, match=r"needs protobuf and sentencepiece.*extra pytest-sst2\[deberta\]"):
        repository_files.select({"config.json": 2, "spm.model": 9}, lambda names: Path("never"))
