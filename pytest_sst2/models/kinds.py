"""Explain models of a kind that encodes no sentences, or that the libraries load as no encoder or classifier."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_json

_NO_CLASS = re.compile(r"configuration class <class '[\w.]*?(\w+)Config'> for this kind of AutoModel: (\w+)")
_NO_PROCESSOR = re.compile(r"Can't load (image processor|video processor|feature extractor|processor) for ")
_OTHER_INPUT = re.compile(r"(audio|image|input|pixel|video|visual)_(feats|features|values)")
_NAME_ANOTHER = "Name a text encoder"


def library_reason(message: str) -> str:
    """Return why the libraries cannot load a kind of model, as a clause with the next step; empty for other errors.

    Args:
        message: The library's, which lists all kinds that it can load.
    """
    if no_class := _NO_CLASS.search(message):
        kind, wanted = no_class.groups()
        use = ", or try the probes: --methods=linear-probe,torch-probe" if wanted.endswith("Classification") else ""
        return f"transformers has no {wanted} for models of the kind {kind}. {_NAME_ANOTHER}{use}"
    if no_processor := _NO_PROCESSOR.search(message):
        return f"sentence-transformers needs its {no_processor[1]}, which its folder does not have. {_NAME_ANOTHER}"
    return ""


def refuse_other_inputs(name: str, model: Any, error: Sst2Error) -> None:
    """Refuse a model that failed on a sentence because it reads images, sound or series of numbers.

    Args:
        name: The model's name.
        model: The loaded model.
        error: How it failed.

    Raises:
        Sst2Error: Its ``forward`` has such an input.
    """
    inputs = [model.main_input_name, *inspect.signature(model.forward).parameters]
    other = next((key for key in inputs if key == inputs[0] != "input_ids" or _OTHER_INPUT.fullmatch(key)), "")
    if other:
        kind = f"{type(model).__name__} (model_type {model.config.model_type})"
        raise Sst2Error(
            f"model {name!r}: {kind} cannot encode sentences alone, because it reads {other}. {_NAME_ANOTHER}."
        ) from error


def encoder_class(folder: Path) -> str:
    """Return the class of transformers for an encoder that was saved without its decoder, such as T5EncoderModel.

    ``AutoModel`` would add a random decoder. Empty for other models.
    """
    import transformers

    name = _architecture(folder)
    return name if name.endswith("EncoderModel") and hasattr(transformers, name) else ""


def saved_from(folder: Path, model: Any, missing: Collection[str]) -> str:
    """Return why a checkpoint lacks tensors of the encoder, as a sentence with the next step."""
    if len(missing) < len(model.state_dict()) or not (saved := _architecture(folder)):
        return "Config and weights do not belong together. Use files of one checkpoint."
    loaded = type(model).__name__
    return f"Its config names {saved}, but transformers loads {loaded} for its model_type. {_NAME_ANOTHER}."


def _architecture(folder: Path) -> str:
    """Return the class that a config says the model was saved from; empty if it has none."""
    names = read_json(folder / "config.json").get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""
