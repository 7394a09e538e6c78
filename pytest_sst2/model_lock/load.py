"""Load the model of a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.registry import Registry
from pytest_sst2.instruments.environment import resolve_device
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.record import Weights


def load_encoder(name: str, *, device: str = "cpu", trust_remote_code: bool = False) -> tuple[Any, Weights]:
    """Return a model's ``SentenceTransformer`` in float32, and where its weights came from.

    Args:
        name: An alias, a Hub id or a folder; relative folders start from the working folder.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        trust_remote_code: Allow code from the model's repository to run.

    Raises:
        Sst2Error: The device or the model is not available, or the model is refused.
    """
    spec = Registry(CATALOG, METHODS).model(name, base=Path.cwd())
    loader = ModelLoader(resolve_device(device), trust_remote_code=trust_remote_code)
    return loader.sentence_encoder(spec), loader.locate(spec).weights
