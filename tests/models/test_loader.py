"""Test the loaded tokenizer, classifier and sentence encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils.errors import Sst2Error
from tests.support import tiny_models
from tests.support.model_folders import (
    another_vocabulary,
    edit_json,
    in_folder,
    locate,
    refusal_of,
    sha256,
    write_roberta,
)


def test_a_checkpoint_that_lacks_encoder_tensors_is_refused_with_their_number(plain: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(plain / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "encoder.layer.1." not in name}
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    # A BERT layer has 16 tensors: weight and bias of query, key, value, attention output, intermediate and output (12),
    # and of two layer norms (4).
    message = refusal_of(in_folder(plain))
    assert f"lacks 16 of the encoder's {len(tensors)} tensors" in message
    assert "encoder.layer.1." in message


def test_a_checkpoint_without_a_pooler_is_accepted(plain: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(plain / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if "pooler" not in name}
    assert len(kept) == len(tensors) - 2
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    assert locate(in_folder(plain)).weights.sha256 == sha256(plain / "model.safetensors")


def test_weights_of_other_shapes_than_the_config_requires_are_refused(plain: Path) -> None:
    edit_json(plain / "config.json", intermediate_size=32)
    message = refusal_of(in_folder(plain))
    assert "ignore_mismatched_sizes" not in message
    assert "config" in message


def test_an_invalid_tokenizer_is_an_error(plain: Path) -> None:
    (plain / "vocab.txt").unlink()
    (plain / "tokenizer.json").write_text("{}")
    assert "tokenizer could not be loaded" in refusal_of(in_folder(plain), ModelLoader.tokenizer)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_half_precision_checkpoint_is_loaded_in_float32_by_default(sentence: Path, half: str) -> None:
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
    """Add a classification head to the checkpoint and return its weights."""
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
def test_a_head_for_another_number_of_classes_is_refused(plain: Path, labels: int) -> None:
    with_head(plain, labels)
    with pytest.raises(
        Sst2Error, match=f"its head in .* is for ({labels}|other) classes .classifier.weight.*save the encoder without"
    ):
        ModelLoader().sequence_classifier(in_folder(plain))


def test_such_a_head_is_refused_if_transformers_returns_its_name_without_its_shape(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    with_head(plain, 3)
    real = AutoModelForSequenceClassification.from_pretrained

    def without_shapes(*args: Any, **options: Any) -> Any:
        model, info = real(*args, **options)
        return model, {
            **info,
            "mismatched_keys": [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]],
        }

    monkeypatch.setattr(AutoModelForSequenceClassification, "from_pretrained", without_shapes)
    assert "is for other classes (classifier.weight)" in refusal_of(in_folder(plain), ModelLoader.sequence_classifier)


def test_an_encoder_without_modules_uses_mean_pooling(plain: Path) -> None:
    import torch
    from transformers import AutoModel

    loader, spec = ModelLoader(), in_folder(plain)
    rows = loader.sentence_encoder(spec).encode(["good film", "bad"], convert_to_tensor=True)
    tokens = loader.tokenizer(spec)(["good film"], return_tensors="pt")
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(plain).eval()(**tokens).last_hidden_state[0]
    assert torch.allclose(rows[0].cpu(), hidden.mean(dim=0), atol=1e-6)


@pytest.mark.parametrize(("max_length", "expected"), [(None, 32), (8, 8), (500, 32)])
def test_a_length_never_exceeds_the_encoders_own(sentence: Path, max_length: int | None, expected: int) -> None:
    assert ModelLoader().sentence_encoder(in_folder(sentence), max_length=max_length).max_seq_length == expected


def test_a_length_beyond_the_positions_is_reduced_to_them(sentence: Path) -> None:
    edit_json(sentence / "sentence_bert_config.json", max_seq_length=512)
    encoder = ModelLoader().sentence_encoder(in_folder(sentence))
    assert encoder.max_seq_length == 64
    assert encoder.encode(["good film " * 100]).shape == (1, 32)


def test_positions_reserved_for_padding_do_not_count(tmp_path: Path) -> None:
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
def test_a_classifier_uses_the_single_label_loss_whatever_its_config_says(
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


def with_second_model(folder: Path) -> Path:
    """Add another encoder in the folder of the first module, and keep the one in the root."""
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    second = tiny_models.write_encoder(folder / "0_Transformer", seed=7)
    shutil.copy(folder / "sentence_bert_config.json", second)
    return second


def test_of_two_models_the_one_in_modules_json_is_checked_and_used(sentence: Path) -> None:
    import torch

    second = with_second_model(sentence)
    loader, spec = ModelLoader(), in_folder(sentence)
    located = loader.locate(spec)
    assert located.transformer == second
    assert located.weights.sha256 == sha256(second / "model.safetensors")
    words = loader.sequence_classifier(spec).get_input_embeddings().weight
    assert torch.equal(loader.sentence_encoder(spec)[0].auto_model.get_input_embeddings().weight, words)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda second: edit_json(second / "config.json", num_hidden_layers=3), "lacks 16 of the encoder's"),
        (lambda second: another_vocabulary(second, tokens=200), "has 200 tokens"),
        (lambda second: edit_json(second / "config.json", layer_norm_eps=float("nan")), "returns NaN or infinity"),
    ],
    ids=["layers missing", "another tokenizer", "no answer"],
)
def test_the_loaded_model_is_checked_even_if_the_one_in_the_root_is_valid(
    sentence: Path, damage: Callable[[Path], None], part: str
) -> None:
    damage(with_second_model(sentence))
    assert part in refusal_of(in_folder(sentence))


def test_a_transformer_in_a_router_must_be_complete(sentence: Path) -> None:
    from safetensors.torch import load_file, save_file

    within = sentence / "R" / "query_T"
    shutil.copytree(sentence, within, ignore=shutil.ignore_patterns("R", "modules.json"))
    types = {"query_T": "sentence_transformers.models.Transformer"}
    router = {"types": types, "structure": {"query": ["query_T"]}, "parameters": {"default_route": "query"}}
    (sentence / "R" / "router_config.json").write_text(json.dumps(router))
    modules = [{"idx": 0, "name": "0", "path": "R", "type": "sentence_transformers.models.Router"}]
    (sentence / "modules.json").write_text(json.dumps(modules))
    assert locate(in_folder(sentence)).encoders == [within]
    tensors = load_file(within / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if "layer.1." not in key}
    save_file(kept, within / "model.safetensors", metadata={"format": "pt"})
    assert f"the checkpoint in {within} lacks 16" in refusal_of(in_folder(sentence))


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
def test_loading_prints_nothing_and_restores_verbosity_and_progress_bars(
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
    refusal_of(in_folder(broken))
    assert verbosity.get_verbosity() == verbosity.INFO
    assert verbosity.is_progress_bar_enabled() is bars
    out, err = capfd.readouterr()
    for noise in ("LOAD REPORT", "Loading weights", "it/s"):
        assert noise not in out + err


def test_loading_keeps_the_hubs_progress_bars_off_if_the_user_disabled_them(plain: Path, verbosity: Any) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars

    verbosity.enable_progress_bar()
    disable_progress_bars()
    locate(in_folder(plain))
    assert are_progress_bars_disabled()
