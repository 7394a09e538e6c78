"""The head of a loaded classifier: whether it is one for two classes, and what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import shorten

_LEAVE_OUT = "Measure it by a method that trains, such as fine-tune, or leave its cell out with -k."


class NoHeadError(Sst2Error):
    """A checkpoint has no classification head for two classes."""


def check_head(name: str, folder: Path, model: Any, info: Mapping[str, Any], *, is_needed: bool) -> bool:
    """Return whether the checkpoint has a head for two classes; otherwise the model's head is random.

    Args:
        name: The model's name.
        folder: The folder of the checkpoint.
        model: The loaded classifier.
        info: What ``from_pretrained`` returned about the tensors of the checkpoint.
        is_needed: Whether a random head is refused.

    Raises:
        NoHeadError: The checkpoint has no head for two classes, and it is needed.
        Sst2Error: The head has another number of classes, or the checkpoint lacks tensors below the head.
    """
    if mismatched := sorted(info["mismatched_keys"]):
        # Some releases of transformers around 4.57 return names without shapes.
        last = mismatched[-1]
        key, count = (last, "other") if isinstance(last, str) else (last[0], last[1][0])
        problem = f"model {name!r}: its head in {folder} is for {count} classes ({key}), but SST-2 has two"
        if is_needed:
            raise NoHeadError(f"{problem}, so it cannot be measured as it is. {_LEAVE_OUT}")
        raise Sst2Error(
            f"{problem}. To train a new head, save the encoder without this one: "
            "AutoModel.from_pretrained(folder).save_pretrained(other_folder), and the tokenizer with it."
        )
    random = sorted(dict(model.named_parameters()).keys() & {*info["missing_keys"]})
    if is_needed and random:
        raise NoHeadError(
            f"model {name!r}: the checkpoint in {folder} has no trained classification head: its weights lack "
            f"{shorten(random, 3)}. {_LEAVE_OUT}"
        )
    # Prefixes of the tensors outside of the encoder.
    heads = tuple(f"{part}." for part, _ in model.named_children() if part != model.base_model_prefix)
    if body := [key for key in random if not key.startswith(heads) and "pooler" not in key]:
        raise Sst2Error(
            f"model {name!r}: its {type(model).__name__} has {len(body)} tensors that are not in {folder} (first: "
            f"{body[0]}), so they would be initialized randomly. It can be used by the probes only: "
            "--methods=linear-probe,torch-probe."
        )
    return not any(key.startswith(heads) for key in info["missing_keys"])


def set_single_label(config: Any) -> None:
    """Set the options that decide a classifier's loss and output format, which a checkpoint may have set otherwise."""
    config.problem_type = "single_label_classification"
    config.return_dict = True
    if getattr(config, "torchscript", False):  # before transformers 5; it turns all outputs into tuples
        config.torchscript = False
    # Not used, and large: one tensor per layer.
    config.output_hidden_states = False
    config.output_attentions = False
