"""Test that a head whose classes run the other way is mapped by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.models.head_labels import SWAPPED, is_reversed
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils.errors import Sst2Error
from tests.support.model_folders import edit_json, in_folder


def with_labels(folder: Path, first: str, second: str) -> Path:
    edit_json(folder / "config.json", id2label={"0": first, "1": second}, label2id={first: 0, second: 1})
    return folder


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("POSITIVE", "NEGATIVE", True),
        ("pos", "neg", True),
        ("Positive sentiment", "negative_sentiment", True),
        ("good", "bad", True),
        ("LABEL_1", "LABEL_0", True),
        ("5 stars", "1 star", True),
        ("NEGATIVE", "POSITIVE", False),
        ("LABEL_0", "LABEL_1", False),
        ("1 star", "2 stars", False),
        ("entailment", "not_entailment", False),
        ("positive", "non-positive", False),
        ("a", "b", False),
    ],
)
def test_the_names_tell_the_order(plain: Path, first: str, second: str, expected: bool) -> None:
    assert is_reversed("mine", with_labels(plain, first, second)) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"POSITIVE": 0, "NEGATIVE": 1}}, True),
        ({"id2label": ["POSITIVE", "NEGATIVE"]}, True),
        ({"id2label": {"0": "pos", "1": "neutral", "2": "neg"}}, False),
        ({"id2label": None, "label2id": "pos"}, False),
        ({}, False),
    ],
)
def test_either_field_is_enough(plain: Path, labels: dict[str, Any], expected: bool) -> None:
    edit_json(plain / "config.json", **labels)
    assert is_reversed("mine", plain) is expected


def test_fields_that_contradict_each_other_are_refused(plain: Path) -> None:
    edit_json(plain / "config.json", id2label={"0": "neg", "1": "pos"}, label2id={"neg": 1, "pos": 0})
    with pytest.raises(Sst2Error, match="contradict each other"):
        is_reversed("mine", plain)


@pytest.mark.parametrize("architecture", ["BertForSequenceClassification", "DistilBertForSequenceClassification"])
def test_a_reversed_head_is_swapped_with_a_warning(tmp_path: Path, plain: Path, architecture: str) -> None:
    import torch
    import transformers

    from tests.support.tiny_models import write_encoder

    folder = write_encoder(tmp_path / "model", architecture.split("For")[0].lower())
    getattr(transformers, architecture).from_pretrained(folder, num_labels=2).save_pretrained(folder)
    right = ModelLoader()
    before = right.sequence_classifier(in_folder(folder)).classifier
    with_labels(folder, "POSITIVE", "NEGATIVE")
    loader = ModelLoader()
    after = loader.sequence_classifier(in_folder(folder)).classifier
    assert torch.equal(after.weight, before.weight.flip(0))
    assert torch.equal(after.bias, before.bias.flip(0))
    assert loader.head_warnings(in_folder(folder)) == (SWAPPED,)
    assert right.head_warnings(in_folder(folder)) == ()


def test_labels_without_a_head_swap_nothing(plain: Path) -> None:
    loader = ModelLoader()
    loader.sequence_classifier(in_folder(with_labels(plain, "POSITIVE", "NEGATIVE")))
    assert loader.head_warnings(in_folder(plain)) == ()
