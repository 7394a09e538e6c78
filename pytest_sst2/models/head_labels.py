"""The order of a checkpoint's classes: SST-2 has 0 for negative and 1 for positive, and some heads have it reversed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

SWAPPED = (
    "the checkpoint's head has the classes of SST-2 in reverse order (id2label in its config.json); they were swapped"
)
_POLARITY = re.compile(r"(?<![a-z])(neg|negative|bad|pos|positive|good)(?![a-z])")
_NUMBER = re.compile(r"\d+")


def is_reversed(name: str, folder: Path) -> bool:
    """Return whether the config names class 0 positive and class 1 negative; False if the names do not tell.

    Names are words (``POSITIVE``, ``neg``) or have a number each (``LABEL_1``, ``5 stars``), where the lower one is the
    negative class.

    Raises:
        Sst2Error: ``id2label`` and ``label2id`` contradict each other.
    """
    path = folder / "config.json"
    config = read_json(path)
    by_id = config.get("id2label") if isinstance(config, dict) else None
    by_label = config.get("label2id") if isinstance(config, dict) else None
    labelings = [_names(by_id), {str(number): label for label, number in _items(by_label)}]
    # Words first: transformers writes LABEL_0 and LABEL_1 if only the other field was set.
    named = _orders(labelings, _sign_of_word) or _orders(labelings, _number)
    if len(named) > 1:
        raise Sst2Error(
            f"model {name!r}: id2label and label2id in {path} contradict each other ({quoted(by_id, 80)}, "
            f"{quoted(by_label, 80)}), so nothing tells which class of its head is positive. Correct them."
        )
    return named == {True}


def swap_classes(name: str, model: Any) -> None:
    """Exchange the two classes in a classifier's last layer.

    Raises:
        Sst2Error: The model has no or several layers that can be the last one.
    """
    import torch

    encoder = set(model.base_model.modules()) if model.base_model is not model else set()
    layers = [
        module
        for module in model.modules()
        if module not in encoder and isinstance(module, torch.nn.Linear) and module.out_features == 2
    ]
    if len(layers) != 1:
        raise Sst2Error(
            f"model {name!r}: class 0 of its head is positive, and its last layer could not be found to swap them. "
            "Save the encoder without the head: AutoModel.from_pretrained(folder).save_pretrained(other_folder)."
        )
    with torch.no_grad():
        for parameter in layers[0].parameters():
            parameter.copy_(parameter.flip(0))


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _names(value: Any) -> dict[str, Any]:
    if isinstance(value, list):
        return {str(number): label for number, label in enumerate(value)}
    return {str(number): label for number, label in _items(value)}


def _orders(labelings: Iterable[Mapping[str, Any]], rank: Callable[[str], int | None]) -> set[bool]:
    """Return for each pair of names that tells its order whether it is reversed."""
    orders = set()
    for labels in labelings:
        first, second = (rank(str(labels.get(number, "")).lower().replace("_", " ")) for number in ("0", "1"))
        if len(labels) == 2 and None not in (first, second) and first != second:
            orders.add(first > second)  # type: ignore[operator]
    return orders


def _sign_of_word(text: str) -> int | None:
    """Return 1 for a positive name, 0 for a negative one, None if it does not tell."""
    found = _POLARITY.findall(text)
    return int(found[0] in ("pos", "positive", "good")) if len(found) == 1 else None


def _number(text: str) -> int | None:
    found = _NUMBER.findall(text)
    return int(found[0]) if len(found) == 1 and len(found[0]) < 9 else None
