"""Model specs, method specs, and cells.

Light on purpose: a conftest that adds models or methods imports this module in every run of its tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_sst2.utils.errors import Sst2Error


class TrainFunction(Protocol):
    """A function that trains a classifier."""

    def __call__(self, job: Any, /) -> Any:
        """Train on a ``Job``, and return a classifier or a ``Trained``."""


@dataclass(frozen=True)
class ModelSpec:
    """Where a pretrained encoder is found and what is known of it; light, since loading is elsewhere.

    Attributes:
        name: What people type after ``--models`` and what tables and ids show.
        hub_id: ``org/name`` on the Hub; empty for a model that is only a folder.
        revision: A branch, tag or commit; None follows the Hub's main branch. The resolved commit is recorded.
        licence: SPDX identifier as the model card states it, ``unstated`` where it states none.
        parameters_millions: Size of the encoder, for choosing; None where unknown.
        notes: One line a person choosing a model wants to know.
        folder: A local folder with config, weights and tokenizer; wins over ``hub_id``.
        sentence_encoder: True where the repository is known to carry sentence-transformers modules, which decide
            the pooling: a cached copy without them is then incomplete.
        weights_sha256: Digest that ``model.safetensors`` must have; empty where none was verified.
        bundled: Name of an installed package that carries the weights, used when neither cache nor Hub has them.
    """

    name: str
    hub_id: str = ""
    revision: str | None = None
    licence: str = "unstated"
    parameters_millions: float | None = None
    notes: str = ""
    folder: Path | None = None
    sentence_encoder: bool = False
    weights_sha256: str = ""
    bundled: str = ""

    def __post_init__(self) -> None:
        if not self.hub_id and self.folder is None:
            raise Sst2Error(f"model {self.name!r} needs a hub_id ('org/name') or a folder.")


@dataclass(frozen=True)
class MethodSpec:
    """How a classifier is made.

    Attributes:
        name: What people type after ``--methods``.
        train: A callable that takes a ``Job`` and returns a classifier: a callable from a list of sentences to
            an array with the probability of the positive class for each (or a ``Trained`` that carries one).
            ``"package.module:function"`` names one that is imported when the first cell needs it.
        needs_model: False for methods that read the sentences alone; they run once, not once a model.
        frozen: True where the encoder is never trained, so that cells of one model can share it: under pytest-xdist
            they go to one worker.
        notes: One line for ``pytest-sst2 methods``.
    """

    name: str
    train: str | TrainFunction
    needs_model: bool = True
    notes: str = ""
    frozen: bool = False


@dataclass(frozen=True, repr=False)
class Cell:
    """One square of the matrix: model × method × seed."""

    model: ModelSpec | None
    method: MethodSpec
    seed: int

    @property
    def id(self) -> str:
        """The pytest id: ``minilm-linear-probe-seed42``, or ``tfidf-seed42`` where no model is used."""
        names = [self.model.name] if self.model else []
        return "-".join([*names, self.method.name, f"seed{self.seed}"])

    @property
    def model_name(self) -> str | None:
        """The model's name, None for a method without one."""
        return self.model.name if self.model else None

    @property
    def shared_encoder(self) -> str:
        """The model whose frozen encoder the cell has in common with others; empty where it has none."""
        return self.model.name if self.model and self.method.frozen else ""

    def __repr__(self) -> str:
        # Short, since pytest-benchmark writes it into its files: no paths, no addresses.
        return self.id
