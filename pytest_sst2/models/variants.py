"""Serve a verified model as a variant, through PyTorch or the backends of sentence-transformers."""

from __future__ import annotations

import contextlib
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.config.variants import VARIANTS
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command
from pytest_sst2.utils.hashing import file_digest, sha256_digest

# The exported files that sentence-transformers looks for.
_EXPORTED = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
# What a variant imports, and its distribution, whose requirements can contradict the installed releases.
_LIBRARIES = {
    "int8": ("torchao.quantization:quantize_", "torchao"),
    "onnx": ("optimum.onnxruntime:ORTModelForFeatureExtraction", "optimum-onnx"),
    "openvino": ("optimum.intel.openvino:OVModelForFeatureExtraction", "optimum-intel"),
}


@dataclass(frozen=True)
class Backend:
    """How sentence-transformers serves a variant.

    ``arguments`` are for ``SentenceTransformer`` and ``model_kwargs`` for its transformer. ``settings`` are for the
    record: where an exported file came from.
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


def dtype_of(spec: ModelSpec, dtype: str) -> str:
    """Return the type in which a model's weights are loaded, by its variant or else as asked."""
    return "bfloat16" if spec.variant == "bf16" else dtype


def check_variant(spec: ModelSpec, device: str, *, is_here: bool = True) -> None:
    """Raise an Sst2Error if a variant cannot run on the device, or if its libraries are missing or do not fit.

    Exported files are not sent to other machines, so their variants must run on this one (``is_here``).
    """
    if not spec.variant:
        return
    if not VARIANTS[spec.variant].is_torch and device != "cpu":
        raise Sst2Error(f"model {spec.name!r} runs on a CPU only. Replace --sst2-device {device} by cpu.")
    if not VARIANTS[spec.variant].is_torch and not is_here:
        raise Sst2Error(f"model {spec.name!r} runs on this machine only. Leave out --sst2-executor ray.")
    if spec.variant in _LIBRARIES:
        _require(spec.name, spec.variant)


def backend_of(spec: ModelSpec, located: LocatedModel) -> Backend:
    """Return the backend of a model; an empty one for PyTorch.

    An exported file in the model's own folder is used. Without one, the library exports the verified weights in
    memory, as it does for a model from the Hub or a package.

    Raises:
        Sst2Error: The model has no transformer.
    """
    if not spec.variant:
        return Backend()
    if located.transformer is None:
        raise Sst2Error(f"model {spec.name!r}: only a single transformer has variants, and {located.folder} has none.")
    if VARIANTS[spec.variant].is_torch:
        return Backend(settings={"variant": spec.variant})
    name = _EXPORTED[spec.variant]
    found = _exported_file(located, spec.variant, name)
    kwargs: dict[str, Any] = {"export": found is None}
    settings = {"variant": spec.variant, "exported": "in this run, from the weights"}
    if found is not None:
        kwargs |= {"file_name": name, "subfolder": "" if found.parent == located.folder else spec.variant}
        settings["exported"] = f"{found.relative_to(located.folder).as_posix()} sha256 {_digest_next_to(found)[:12]}"
    if spec.variant == "onnx":
        kwargs["provider"] = "CPUExecutionProvider"
    return Backend({"backend": spec.variant}, kwargs, settings)


def transform(spec: ModelSpec, model: Any) -> None:
    """Serve a loaded PyTorch transformer as the variant, in place; nothing is done for other models."""
    if spec.variant == "bf16":
        import torch

        model.to(torch.bfloat16)
    elif spec.variant == "int8":
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

        quantize_(model, Int8DynamicActivationInt8WeightConfig())
    elif spec.variant == "compile":
        import torch

        # Not the model: sentence-transformers calls its forward() directly. The encoder inside a classifier keeps its
        # own hooks, which run outside the compiled graph.
        encoder = model.base_model
        encoder.forward = torch.compile(encoder.forward, dynamic=True)


def _require(name: str, variant: str) -> None:
    imported, distribution = _LIBRARIES[variant]
    try:
        with quiet():
            pkgutil.resolve_name(imported)
    except Exception as error:  # an AttributeError, for example, of a library that expects another release
        reason = _conflict(distribution) or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        is_backend = not VARIANTS[variant].is_torch
        how = (
            "It may need older releases of transformers, so use an environment of its own: " if is_backend else "Type: "
        )
        command = f"python -m pip install 'sentence-transformers[{variant}]'" if is_backend else install_command("int8")
        raise Sst2Error(
            f"model {name!r} needs {distribution}, which cannot be used ({reason}). {how}{command}."
        ) from error


def _conflict(distribution: str) -> str:
    """Return the first requirement of a distribution that the installed release does not meet; empty if none."""
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError, InvalidRequirement):
        for text in metadata.requires(distribution) or ():
            requirement = Requirement(text)
            with contextlib.suppress(metadata.PackageNotFoundError):
                if requirement.marker is None and not requirement.specifier.contains(
                    installed := metadata.version(requirement.name), prereleases=True
                ):
                    return f"{distribution} {metadata.version(distribution)} requires {requirement}, not {installed}"
    return ""


def _exported_file(located: LocatedModel, variant: str, name: str) -> Path | None:
    if located.weights.source != "folder":
        return None
    candidates = (located.folder / variant / name, located.folder / name)
    return next((path for path in candidates if path.is_file()), None)


def _digest_next_to(path: Path) -> str:
    """Return the digest of an exported file and of all others in its folder, which may hold its weights."""
    files = sorted(other for other in path.parent.iterdir() if other.is_file() and other.stem == path.stem)
    files += sorted(other for other in path.parent.iterdir() if other.is_file() and other.name.startswith(path.name))
    return sha256_digest("\n".join(file_digest(file) for file in dict.fromkeys(files)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' warnings off the terminal during the body."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
