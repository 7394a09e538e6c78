"""Explain folders and files that look like a model but are something else: adapters, exports, pointers, web pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pytest_sst2.models.layout import encoder_folders, first_module, listed_modules, pickle_files, weight_files
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, shorten
from pytest_sst2.utils.safe_read import beginning_of, placeholder

ADAPTER = (
    "is an adapter of PEFT (adapter_config.json), not a whole model. Load it with its base model and save both as one: "
    "model.merge_and_unload().save_pretrained(folder), and the tokenizer"
)
TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "spm.model", "spiece.model", "sentencepiece.bpe.model"),
    "tokenizer.model",
)
# Formats that other runtimes read.
_EXPORTS = {
    ".onnx": "ONNX",
    ".gguf": "GGUF",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".tflite": "TensorFlow Lite",
    ".mlmodel": "Core ML",
    ".engine": "TensorRT",
    ".xml": "OpenVINO",
}
_TEXT_FILES = ("*.json", "*.txt")
_BINARY_FILES = ("*.model",)


def missing_config(folder: Path) -> str:
    """Return why a folder without config.json contains no model, as a clause with the next step."""
    if (folder / "adapter_config.json").is_file():
        return ADAPTER
    if module := first_module(folder):
        return f"has no config.json: its first module is a {module.kind}, which cannot be measured without one"
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    if below:
        return f"has no config.json, so it contains no model, but {shorten(below, 3)} in it has one. Name that folder"
    return "has no config.json, so it contains no model"


def missing_weights(folder: Path) -> str:
    """Return why weights are missing from a folder, as a clause with the next step."""
    if (folder / "adapter_config.json").is_file():
        return ADAPTER
    exports = sorted(path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.suffix in _EXPORTS)
    if exports and not any(folder.glob("*.index.json")):
        name, kind = exports[0].relative_to(folder).as_posix(), _EXPORTS[exports[0].suffix]
        return (
            f"has weights for {kind} only ({name}), which is not read here. Name the model that they were made from, "
            "which has model.safetensors or pytorch_model.bin"
        )
    return "has no (or not all) weights; model.safetensors or pytorch_model.bin is needed. Copy or download it again"


def missing_tokenizer(names: Collection[str]) -> str:
    """Return that a folder with these files has no tokenizer, as a clause with the next step; empty if it has one."""
    if not {*TOKENIZER_FILES}.isdisjoint(names):
        return ""
    if "preprocessor_config.json" in names:
        return "has a preprocessor_config.json and no tokenizer: it reads images or sound. Name a text encoder"
    return (
        f"has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}, ...). Save the tokenizer it was trained with to this "
        "folder: tokenizer.save_pretrained(folder)"
    )


def no_transformer(folder: Path) -> str:
    """Return why a model of several modules cannot be fine-tuned, as a clause with the next step."""
    kind = listed_modules(folder)[0].kind
    if encoders := [path.relative_to(folder).as_posix() for path in encoder_folders(folder)]:
        return (
            f"fine-tuning needs one transformer, but its first module is a {kind} with {shorten(encoders, 3)}. Name "
            "one of these folders, or use the probes: --methods=linear-probe,torch-probe"
        )
    return (
        f"its first module is a {kind}, so it has no transformer to fine-tune. Use the probes: "
        "--methods=linear-probe,torch-probe"
    )


def refuse_placeholders(name: str, places: Iterable[Path]) -> None:
    """Refuse files that something else was saved in place of: a Git LFS pointer, a log-in page, an error's text.

    Args:
        name: The model's name.
        places: The folders of the model and its modules.

    Raises:
        Sst2Error: A file is a placeholder. The message names it and the next step.
    """
    for place in places:
        binary = [*(weight_files(place) or pickle_files(place)), *_matches(place, _BINARY_FILES)]
        for path in (*binary, *_matches(place, _TEXT_FILES)):
            beginning = beginning_of(path)
            if kind := placeholder(beginning):
                raise Sst2Error(f"model {name!r}: {path} {kind}.")
            if path in binary and _is_printable(text := beginning.decode(errors="replace")):
                raise Sst2Error(
                    f"model {name!r}: {path} contains text in place of data: {quoted(' '.join(text.split()), 60)}. "
                    "Download it again."
                )


def wrapped(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Return the traces of wrappers in the names of a checkpoint's tensors, as a clause with the next step.

    The result is empty unless the checkpoint has all missing tensors without it.
    """
    if prefix := _prefix_of_wrapped(missing, unexpected):
        return (
            f"begin with {prefix!r}, as a wrapper around the model leaves them. Save the model inside it: "
            f"wrapper.{prefix}save_pretrained(folder)"
        )
    if parts := _parts_of_wrapped(missing, unexpected):
        return (
            f"contain {' and '.join(map(repr, parts))}, as wrappers around parts of the model leave them. Save the "
            f"tensors again under names without {'it' if len(parts) == 1 else 'them'}"
        )
    return ""


def _parts_of_wrapped(missing: Collection[str], unexpected: Collection[str]) -> list[str]:
    """Return the parts of names, such as ``_orig_mod.``, without which a checkpoint has all missing tensors."""
    known = {part for key in missing for part in key.split(".")}
    plain = {".".join(part for part in key.split(".") if part in known) for key in unexpected}
    if not missing or not set(missing) <= plain:
        return []
    return sorted({f"{part}." for key in unexpected for part in key.split(".")[:-1] if part not in known})


def _prefix_of_wrapped(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Return the prefix with which a checkpoint has all missing tensors, or an empty string.

    Such prefixes are left by wrappers: ``module.`` by DataParallel, ``_orig_mod.`` by torch.compile.
    """
    first = min(missing, default="")
    prefixes = sorted(key.removesuffix(first) for key in unexpected if key != first and key.endswith(f".{first}"))
    return next((prefix for prefix in prefixes if {prefix + key for key in missing} <= set(unexpected)), "")


def _matches(place: Path, patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(place.glob(pattern)) if path.is_file()]


def _is_printable(text: str) -> bool:
    return text.isascii() and all(character.isprintable() or character.isspace() for character in text) and text != ""
