"""Refuse sentence-transformers settings that would load other files than the verified ones.

sentence-transformers passes the arguments in ``sentence_bert_config.json`` (its name varies) to transformers, where
they override ``config.json`` and ``tokenizer_config.json``: other weights, more layers, another vocabulary. Its own
``save`` writes no such arguments. Arguments that people add and that load no other file are allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_sst2.models.safety import json_settings
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

MIN_TOKENS = 3
"""Minimum input length in tokens: one word and two special tokens."""

_FILES = "sentence_*_config.json"
_KIND_FILE, _KIND = "config_sentence_transformers.json", "SentenceTransformer"
_ARGUMENTS = re.compile(r"(model|config|tokenizer|processor)_(?:kw)?args")
_TOKENIZER_ARGUMENTS = frozenset(
    {
        *("add_prefix_space", "clean_up_tokenization_spaces", "do_lower_case", "model_max_length", "padding_side"),
        *("trust_remote_code", "truncation_side", "use_fast"),
    }
)
# The loader overrides ``dtype`` and ``use_safetensors``, and the library overrides ``trust_remote_code``.
# ``safety.remote_code`` refuses an attention implementation from a repository.
_HARMLESS = {
    "model": frozenset(
        {
            *("add_pooling_layer", "attn_implementation", "dtype", "low_cpu_mem_usage", "torch_dtype"),
            *("trust_remote_code", "use_safetensors"),
        }
    ),
    "config": frozenset({"output_attentions", "output_hidden_states", "trust_remote_code", "use_cache"}),
    "tokenizer": _TOKENIZER_ARGUMENTS,
    "processor": _TOKENIZER_ARGUMENTS,
}
# The other settings of a Transformer. Further ones, such as ``backend`` and ``cache_dir``, load other files.
_SETTINGS = frozenset(
    {
        *("do_lower_case", "document_length", "max_seq_length", "modality_config", "module_output_name"),
        *("processing_kwargs", "query_expansion", "query_length", "tokenizer_name_or_path", "transformer_task"),
        "unpad_inputs",
    }
)
_LENGTHS = ("max_seq_length", "model_max_length")
# Model methods that sentence-transformers writes itself. It would call any method that is named.
_METHODS = re.compile(r"forward|get_\w+_features")
_TASK = "feature-extraction"
TASKS = {
    _TASK: "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
}
"""Allowed tasks of a module, and the class of transformers that loads it, with its head."""
# Tokenizer settings for the vocabulary file, which ``save_pretrained`` omits. Other settings count if they have a path.
_VOCABULARIES = ("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "spm_file")
# Information about the origin, which no library reads.
_ORIGINS = ("name_or_path", "special_tokens_map_file")


def refuse_loading_arguments(name: str, place: Path) -> None:
    """Refuse settings of a module that would load another model than the verified one.

    Args:
        name: The model's name.
        place: The module's folder.

    Raises:
        Sst2Error: There is such a setting. The message names it and its file.
    """
    for path in sorted(place.glob(_FILES)):
        settings = json_settings(name, path)
        for key, value in settings.items():
            if (arguments := _ARGUMENTS.fullmatch(key)) and value:
                _refuse_arguments(name, path, key, value, _HARMLESS[arguments[1]])
            elif not arguments and key not in _SETTINGS:
                raise _refused(name, path, key, value, f"Allowed are {', '.join(sorted(_SETTINGS))}.")
        _refuse_length(name, path, settings)
        if other := settings.get("tokenizer_name_or_path"):
            raise _refused(name, path, "tokenizer_name_or_path", other, "The tokenizer must be in the same folder.")
        if str(task := settings.get("transformer_task", _TASK)) not in TASKS:
            raise _refused(name, path, "transformer_task", task, f"Allowed are {', '.join(TASKS)}.")
        if (modalities := settings.get("modality_config")) and "text" not in modalities:
            raise _refused(name, path, "modality_config", modalities, "It must have text.")
        for method in _methods(settings):
            if not _METHODS.fullmatch(str(method)):
                raise _refused(name, path, "method", method, "Allowed are forward and get_..._features.")


def refuse_external_vocabulary(name: str, folder: Path) -> None:
    """Refuse a tokenizer's config that names an existing file outside its folder.

    Paths of the machine that wrote the config are common; they do not exist here.

    Raises:
        Sst2Error: There is such a setting. The message names it and the file.
    """
    path = folder / "tokenizer_config.json"
    settings = json_settings(name, path)
    for key, value in settings.items():
        if not isinstance(value, str) or "\0" in value or key in _ORIGINS:
            continue
        can_be_path = key in _VOCABULARIES or "/" in value or "\\" in value
        if can_be_path and _is_outside(Path(value), folder):
            raise _refused(name, path, key, value, "This file is outside the model's folder.")


def refuse_other_model_type(name: str, folder: Path) -> None:
    """Refuse a sparse encoder or cross encoder as a sentence encoder.

    sentence-transformers since 5 would load only its transformer, with mean pooling, and ignore its modules.

    Raises:
        Sst2Error: The model has another type.
    """
    path = folder / _KIND_FILE
    kind = json_settings(name, path).get("model_type")
    if kind not in (None, _KIND):
        raise Sst2Error(
            f"model {name!r}: its model_type in {path} is {quoted(kind)}, but the probes need a {_KIND}. Use a "
            "sentence encoder, or fine-tune this model: --methods=fine-tune."
        )


def is_sentence_encoder(folder: Path) -> bool:
    """Return whether the model's type is a sentence encoder. Without a type it is one."""
    path = folder / _KIND_FILE
    content = read_json(path) if path.is_file() else None
    return not isinstance(content, dict) or content.get("model_type") in (None, _KIND)


def task_of(place: Path) -> str:
    """Return the task that a module's settings load its transformer for, one of ``TASKS``."""
    tasks = (settings.get("transformer_task") for settings in _transformer_settings(place))
    return next((str(task) for task in tasks if task is not None), _TASK)


def uses_pooler(place: Path) -> bool:
    """Return whether a module's output is computed from the encoder's pooler."""
    return any("pooler_output" in str(settings.get("modality_config")) for settings in _transformer_settings(place))


def _transformer_settings(place: Path) -> list[dict[str, Any]]:
    """Return a transformer's settings files, in the order of sentence-transformers."""
    files = sorted(place.glob(_FILES), key=lambda path: (path.name != "sentence_bert_config.json", path.name))
    return [read_json(path) for path in files]


def _is_outside(path: Path, folder: Path) -> bool:
    """Return whether a path is an existing file outside a folder."""
    try:
        return path.is_file() and not path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # too long, or a circular link: not readable
        return False


def _refuse_arguments(name: str, path: Path, key: str, value: Any, harmless: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise _refused(name, path, key, value, "It must be a JSON object.")
    for argument, content in sorted(value.items()):
        if argument not in harmless:
            allowed = f"Allowed in {key} are {', '.join(sorted(harmless))}."
            raise _refused(name, path, f"{key}.{argument}", content, allowed)
    _refuse_length(name, path, value)


def _refuse_length(name: str, path: Path, settings: dict[str, Any]) -> None:
    for key in _LENGTHS:
        value = settings.get(key)
        if value is not None and not (isinstance(value, int | float) and value >= MIN_TOKENS):
            raise Sst2Error(
                f"model {name!r}: {path} allows {quoted(value)} tokens ({key}); at least {MIN_TOKENS} are needed for "
                "one word and two special tokens. Correct this setting."
            )


def _methods(settings: dict[str, Any]) -> list[Any]:
    """Return the names of the model methods that a module's settings would call."""
    modalities = settings.get("modality_config")
    parameters = modalities.values() if isinstance(modalities, dict) else ()
    return [entry.get("method", "forward") for entry in parameters if isinstance(entry, dict)]


def _refused(name: str, path: Path, key: str, value: Any, allowed: str) -> Sst2Error:
    return Sst2Error(
        f"model {name!r}: {path} sets {key} to {quoted(value)}, which would load other files than the verified ones. "
        f"{allowed} Remove the setting, or save the model with it: save_pretrained()."
    )
