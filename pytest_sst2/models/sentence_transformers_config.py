"""What a sentence encoder's own settings may say of how it is loaded: nothing that no check has looked at.

sentence-transformers hands arguments on to transformers that stand in ``sentence_bert_config.json`` (its names vary),
and there they come before what ``config.json`` and ``tokenizer_config.json`` say: other weights, more layers, another
vocabulary. Its own ``save`` writes none of them. People add a few by hand; those that change no file stay allowed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

SHORTEST = 3
"""The fewest tokens of an input: one word between the two special ones."""

_FILES = "sentence_*_config.json"
_KIND_FILE, _KIND = "config_sentence_transformers.json", "SentenceTransformer"
_ARGUMENTS = re.compile(r"(model|config|tokenizer|processor)_(?:kw)?args")
_OF_TOKENIZERS = frozenset(
    {
        *("add_prefix_space", "clean_up_tokenization_spaces", "do_lower_case", "model_max_length", "padding_side"),
        *("trust_remote_code", "truncation_side", "use_fast"),
    }
)
# ``dtype`` and ``use_safetensors`` are overruled by what we ask for, and ``trust_remote_code`` is by the library. An
# attention that is somebody's code is refused with all others that are.
_HARMLESS = {
    "model": frozenset(
        {
            *("add_pooling_layer", "attn_implementation", "dtype", "low_cpu_mem_usage", "torch_dtype"),
            *("trust_remote_code", "use_safetensors"),
        }
    ),
    "config": frozenset({"output_attentions", "output_hidden_states", "trust_remote_code", "use_cache"}),
    "tokenizer": _OF_TOKENIZERS,
    "processor": _OF_TOKENIZERS,
}
_LENGTHS = ("max_seq_length", "model_max_length")
# The methods of a model that sentence-transformers itself writes down; it would call any other that is named.
_METHODS = re.compile(r"forward|get_\w+_features")
_TASK = "feature-extraction"
TASKS = {
    _TASK: "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
}
"""What a module may be loaded for, and by which class of transformers it then is, head included."""
# Under these names a tokenizer's config can name the file of its vocabulary; ``save_pretrained`` leaves them out. So it
# can under others that a class of tokenizers has, by a path that shows.
_VOCABULARIES = ("vocab", "merges", "vocab_file", "merges_file", "tokenizer_file", "spm_file")
# These say where it came from, and nobody reads them.
_ORIGINS = ("name_or_path", "special_tokens_map_file")


def refuse_loading_settings(name: str, place: Path) -> None:
    """Refuse settings of a module that would have another model loaded than the one that is verified.

    Args:
        name: The model's.
        place: The module's folder.

    Raises:
        Sst2Error: Which setting, in which file.
    """
    for path in sorted(place.glob(_FILES)):
        settings = _settings(name, path)
        for key, value in settings.items():
            if (arguments := _ARGUMENTS.fullmatch(key)) and value:
                _refuse_arguments(name, path, key, value, _HARMLESS[arguments[1]])
        _refuse_length(name, path, settings)
        if other := settings.get("tokenizer_name_or_path"):
            raise _refused(name, path, "tokenizer_name_or_path", other, "The tokenizer must lie beside the weights.")
        if str(task := settings.get("transformer_task", _TASK)) not in TASKS:
            raise _refused(name, path, "transformer_task", task, f"What is checked is {', '.join(TASKS)}.")
        for method in _methods(settings):
            if not _METHODS.fullmatch(str(method)):
                raise _refused(name, path, "method", method, "It may be forward or get_..._features.")


def refuse_vocabulary_elsewhere(name: str, folder: Path) -> None:
    """Refuse a tokenizer's config that names a vocabulary outside of its folder which is there to be read.

    A path of the machine that it was written on is common, and leads nowhere here.

    Raises:
        Sst2Error: Which setting, and the file.
    """
    path = folder / "tokenizer_config.json"
    settings = _settings(name, path) if path.is_file() else {}
    for key, value in settings.items():
        if not isinstance(value, str) or "\0" in value or key in _ORIGINS:
            continue
        may_be_read = key in _VOCABULARIES or "/" in value or "\\" in value
        if may_be_read and _leads_out(Path(value), folder):
            raise _refused(name, path, key, value, "That is a file outside of the model's folder.")


def refuse_other_kind(name: str, folder: Path) -> None:
    """Refuse a sparse or a cross encoder as a sentence encoder, which sentence-transformers would make of it.

    From release 5 on it takes the transformer alone then, and pools by mean, whatever the modules say.

    Raises:
        Sst2Error: What the model is.
    """
    path = folder / _KIND_FILE
    kind = _settings(name, path).get("model_type") if path.is_file() else None
    if kind not in (None, _KIND):
        raise Sst2Error(
            f"model {name!r}: {path} says that it is a {quoted(kind)} and not a {_KIND}, so that its modules would be "
            "left out and its tokens pooled by mean. Take a sentence encoder for the probes, or have it fine-tuned: "
            "--methods fine-tune."
        )


def task_of(place: Path) -> str:
    """Return what a module's settings have its transformer loaded for, one of ``TASKS``."""
    tasks = (settings.get("transformer_task") for settings in _of_transformer(place))
    return next((str(task) for task in tasks if task is not None), _TASK)


def reads_pooler(place: Path) -> bool:
    """Tell whether a module's settings make its output of the encoder's pooler, which most have no use for."""
    return any("pooler_output" in str(settings.get("modality_config")) for settings in _of_transformer(place))


def _of_transformer(place: Path) -> list[dict[str, Any]]:
    """Return a transformer's settings, those first that sentence-transformers looks for first."""
    files = sorted(place.glob(_FILES), key=lambda path: (path.name != "sentence_bert_config.json", path.name))
    return [read_json(path) for path in files]


def _leads_out(named: Path, folder: Path) -> bool:
    try:
        return named.is_file() and not named.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # too long, or a link in a circle: nothing that can be read
        return False


def _settings(name: str, path: Path) -> dict[str, Any]:
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise Sst2Error(f"model {name!r}: {path} holds no settings (a JSON object).")
    return settings


def _refuse_arguments(name: str, path: Path, key: str, value: Any, harmless: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise _refused(name, path, key, value, "It may be a JSON object.")
    for argument, given in sorted(value.items()):
        if argument not in harmless:
            allowed = f"Of those in {key}, {', '.join(sorted(harmless))} may be set there."
            raise _refused(name, path, f"{key}.{argument}", given, allowed)
    _refuse_length(name, path, value)


def _refuse_length(name: str, path: Path, settings: dict[str, Any]) -> None:
    for key in _LENGTHS:
        value = settings.get(key)
        if value is not None and not (isinstance(value, int | float) and value >= SHORTEST):
            raise Sst2Error(
                f"model {name!r}: {path} allows {quoted(value)} tokens "
                f"({key}); at least {SHORTEST} are needed for one word between the two special ones."
            )


def _methods(settings: dict[str, Any]) -> list[Any]:
    """Return the names of the model's methods that a module's settings would have called."""
    modalities = settings.get("modality_config")
    each = modalities.values() if isinstance(modalities, dict) else ()
    return [params.get("method", "forward") for params in each if isinstance(params, dict)]


def _refused(name: str, path: Path, key: str, value: Any, allowed: str) -> Sst2Error:
    return Sst2Error(
        f"model {name!r}: {path} sets {key} to {quoted(value)}, with which another model would be loaded than the "
        f"files that are verified make. {allowed} Take it out, and save the model as it is to be with "
        "save_pretrained()."
    )
