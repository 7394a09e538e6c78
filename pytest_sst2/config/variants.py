"""Variants: ways to serve a model other than as float32 PyTorch modules, written ``minilm:int8``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.suggest import closest, did_you_mean

_WORD = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Variant:
    """A way to serve a model.

    Attributes:
        name: What follows the colon.
        notes: One line that says what is done to the model.
        is_torch: Whether PyTorch runs it; otherwise the backend of sentence-transformers that has its name.
    """

    name: str
    notes: str
    is_torch: bool = True


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("bf16", "weights and arithmetic in bfloat16"),
        Variant(
            "int8", "linear layers in int8, by torchao's Int8DynamicActivationInt8WeightConfig; needs the extra int8"
        ),
        Variant("compile", "the encoder compiled by torch.compile; needs a C++ compiler on a CPU"),
        Variant("onnx", "ONNX Runtime, on a CPU; needs sentence-transformers[onnx]", is_torch=False),
        Variant("openvino", "OpenVINO, on a CPU; needs sentence-transformers[openvino]", is_torch=False),
    )
}


def split_variant(text: str) -> tuple[str, str]:
    """Return a model's name and what follows its last colon; empty without a colon, or if a path follows it."""
    name, _, word = text.rpartition(":")
    return (name, word) if name and _WORD.fullmatch(word) else (text, "")


def unknown_variant(name: str, word: str) -> Sst2Error:
    """Return the error for a known model with an unknown variant."""
    guess = did_you_mean(closest(word.lower(), VARIANTS))
    return Sst2Error(
        f"model {quoted(name)} has no variant {quoted(word)}.{guess} Variants: {', '.join(VARIANTS)}. A revision "
        "follows an @, as in org/name@revision."
    )
