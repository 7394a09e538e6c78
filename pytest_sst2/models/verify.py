"""Verify a model's files before a library loads them: settings, tokenizer, weights and digests."""

from __future__ import annotations

from pathlib import Path

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.layout import (
    STATIC_FILES,
    all_folders,
    listed_modules,
    loaded_folders,
    transformer_folder,
    weight_files,
    weighted_folders,
)
from pytest_sst2.models.module_classes import named_classes, refuse_nested_models
from pytest_sst2.models.not_a_model import missing_config, missing_tokenizer, missing_weights, refuse_placeholders
from pytest_sst2.models.safety import json_settings, refuse_unverified_weights, remote_code
from pytest_sst2.models.sentence_transformers_config import refuse_external_vocabulary, refuse_loading_arguments
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest, sha256_digest

_OTHER_SUFFIXES = (".json", ".txt", ".model", ".py")


def check_settings(spec: ModelSpec, folder: Path, *, trust_remote_code: bool) -> None:
    """Refuse settings that cannot or must not be loaded, before anything reads the weights."""
    transformer = transformer_folder(folder)
    if transformer and not (transformer / "config.json").is_file():
        raise Sst2Error(f"model {spec.name!r}: {transformer} {missing_config(transformer)}.")
    if spec.sentence_encoder and not (folder / "modules.json").is_file():
        raise Sst2Error(
            f"model {spec.name!r} is a sentence encoder, but {folder} has no modules.json, which defines its pooling. "
            "Copy or download it again."
        )
    refuse_nested_models(spec.name, folder)
    places = all_folders(folder)
    refuse_placeholders(spec.name, places)
    for place in places:
        refuse_unverified_weights(spec.name, place, json_settings(spec.name, place / "config.json"))
        refuse_loading_arguments(spec.name, place)
        refuse_external_vocabulary(spec.name, place)
    _check_static(spec.name, folder)
    if transformer and (clause := missing_tokenizer({path.name for path in transformer.iterdir() if path.is_file()})):
        raise Sst2Error(f"model {spec.name!r}: {transformer} {clause}.")
    config_files = [path for place in places for path in sorted(place.glob("*config.json"))]
    code = remote_code(config_files) or next(
        (f"{named.name} in its {named.source.name}" for named in named_classes(folder) if not named.is_allowed), ""
    )
    if code and not trust_remote_code:
        raise Sst2Error(
            f"model {spec.name!r} requires code that is not part of the libraries ({code}). If you have read it and "
            "trust it, add --sst2-trust-remote-code."
        )


def _check_static(name: str, folder: Path) -> None:
    """Refuse a table of word vectors without its vocabulary."""
    for module in listed_modules(folder):
        if module.is_static and not (module.folder / STATIC_FILES[module.kind]).is_file():
            raise Sst2Error(
                f"model {name!r}: its {module.kind} in {module.folder} has no {STATIC_FILES[module.kind]}. Copy or "
                "download it again."
            )


def check_weights(spec: ModelSpec, folder: Path) -> None:
    """Refuse a model without all its weight files."""
    for place in weighted_folders(folder):
        if not weight_files(place):
            raise Sst2Error(f"model {spec.name!r}: {place} {missing_weights(place)}.")


def files_digest(folder: Path) -> str:
    """Return ``sha256:`` and the digest of all files of a folder except weights: configs, tokenizer, code."""
    digests = []
    for place in all_folders(folder):
        files = (path for path in place.glob("*") if path.suffix in _OTHER_SUFFIXES and path.is_file())
        digests += [f"{path.relative_to(folder)} {file_digest(path)}" for path in sorted(files)]
    return "sha256:" + sha256_digest("\n".join(digests))


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of the weight file, or of the list of digests if there are several.

    The weights of all modules of a sentence encoder are included. A bag of words has its weights in its config.
    """
    files = [path for place in loaded_folders(folder) for path in weight_files(place)]
    files += [module.folder / STATIC_FILES["BoW"] for module in listed_modules(folder) if module.kind == "BoW"]
    digests = [file_digest(path) for path in files]
    return digests[0] if len(digests) == 1 else sha256_digest("\n".join(digests))
