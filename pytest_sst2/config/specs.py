"""Model specs, method specs, and cells.

This module imports nothing heavy, because a conftest that adds models or methods imports it in every run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pytest_sst2.config.variants import VARIANTS
from pytest_sst2.utils.errors import Sst2Error


class TrainFunction(Protocol):
    """A function that trains a classifier."""

    def __call__(self, job: Any, /) -> Any:
        """Train on a ``Job``, and return a classifier or a ``Trained``."""


# Owners that adopted the first models of the Hub, whose names had no owner.
_ADOPTERS = frozenset({"albert", "distilbert", "facebookai", "google-bert", "openai-community", "xlnet"})


@dataclass(frozen=True)
class ModelSpec:
    """A pretrained encoder: where to find it, and its properties.

    Attributes:
        name: The name for ``--models``, tables and test ids.
        hub_id: ``org/name`` on the Hub; empty for a model that is only a folder.
        revision: A branch, tag or commit; None follows the Hub's main branch. The resolved commit is recorded.
        licence: SPDX identifier from the model card; ``unstated`` if the card has none.
        parameters_millions: Number of parameters of the encoder, in millions; None if unknown.
        notes: One line that helps to choose a model.
        folder: A local folder with config, weights and tokenizer; used instead of ``hub_id``.
        sentence_encoder: Whether the repository has sentence-transformers modules, which define the pooling. A cached
            copy without them is then incomplete.
        weights_sha256: SHA-256 that ``model.safetensors`` must have; empty if none was verified.
        bundled: Name of an installed package with the weights, used if neither the cache nor the Hub has them.
        variant: A key of ``VARIANTS`` if the model is served otherwise than as float32 PyTorch modules, else empty.
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
    variant: str = ""

    def __post_init__(self) -> None:
        if not self.hub_id and self.folder is None:
            raise Sst2Error(f"model {self.name!r} needs a hub_id ('org/name') or a folder.")

    @property
    def plain(self) -> ModelSpec:
        """The model itself, whose files and weights a variant has."""
        if not self.variant:
            return self
        return replace(self, name=self.name.removesuffix(f":{self.variant}"), variant="")

    @property
    def place(self) -> tuple[str, str | None, Path | None, str]:
        """What is loaded, whatever its name."""
        return self.hub_id, self.revision, self.folder, self.variant


def former_name(hub_id: str) -> str:
    """Return a repository's name from before it had an owner, such as ``bert-base-uncased``, or an empty string."""
    owner, _, name = hub_id.partition("/")
    return name if owner.lower() in _ADOPTERS else ""


@dataclass(frozen=True)
class MethodSpec:
    """A method that trains a classifier.

    Attributes:
        name: The name for ``--methods``, tables and test ids.
        train: A function from a ``Job`` to a classifier, or to a ``Trained`` with a classifier. A classifier is a
            function from n sentences to an array of shape (n,) with the probabilities of the positive class.
            ``"package.module:function"`` names a function to import when the first cell needs it.
        needs_model: False for methods without an encoder; they run once per seed, not once per model.
        frozen: Whether the encoder stays untrained, so that cells of one model can share it. Under pytest-xdist they
            run in one worker.
        trains: False for a method that measures the head of an already trained checkpoint. It runs once per model
            whatever the seeds, and only if ``--methods`` names it.
        notes: One line for ``pytest-sst2 methods``.
    """

    name: str
    train: str | TrainFunction
    needs_model: bool = True
    notes: str = ""
    frozen: bool = False
    trains: bool = True

    def refusal(self, model: ModelSpec | None) -> str:
        """Return why the method cannot measure a variant of a model; empty if it can."""
        variant = VARIANTS.get(model.variant) if model else None
        if variant is None or self.frozen:
            return ""
        if self.trains:
            return "a variant is served, not trained, and the method's spec does not say that its encoder is frozen"
        return "" if variant.is_torch else f"{variant.name} serves sentence embeddings, not a classification head"


def cell_name(key: tuple[str | None, str]) -> str:
    """Return ``minilm × linear-probe`` for model and method, or ``tfidf`` for a method without a model."""
    return " × ".join(part for part in key if part)


def training_name(model: str | None, method: str, seed: int) -> str:
    """Return ``minilm × linear-probe seed 42``: the name of one seed of a cell, as people read it."""
    return f"{cell_name((model, method))} seed {seed}"


def separator_of(model: ModelSpec, method: MethodSpec, methods: Iterable[str]) -> str:
    """Return the separator of model and method that makes a cell's id unique.

    The id ``a-b-c`` can be model ``a-b`` with method ``c``, or ``a`` with ``b-c``. If both methods exist, the hyphen is
    read as in the latter, and the former is ``a-b+c``.

    Args:
        model: The model of the cell.
        method: The method of the cell.
        methods: The names of all methods that the run knows.
    """
    text = f"{model.name}-{method.name}"
    longer = (name for name in methods if len(name) > len(method.name))
    return "+" if any(f"-{text}".endswith(f"-{name}") for name in longer) else "-"


@dataclass(frozen=True, repr=False)
class Cell:
    """One cell of the matrix: model × method × seed.

    Attributes:
        separator: What stands between model and method in the id; ``separator_of`` chooses it.
    """

    model: ModelSpec | None
    method: MethodSpec
    seed: int
    separator: str = "-"

    @property
    def id(self) -> str:
        """The pytest id: ``minilm-linear-probe-seed42``, or ``tfidf-seed42`` without a model."""
        model = f"{self.model.name}{self.separator}" if self.model else ""
        return f"{model}{self.method.name}-seed{self.seed}"

    @property
    def model_name(self) -> str | None:
        """The model's name; None for a method without a model."""
        return self.model.name if self.model else None

    @property
    def name(self) -> str:
        """What people read: ``minilm × linear-probe seed 42``."""
        return training_name(self.model_name, self.method.name, self.seed)

    @property
    def key(self) -> tuple[str | None, str]:
        """The names of model and method, which all seeds of a comparison share."""
        return self.model_name, self.method.name

    @property
    def shared_encoder(self) -> str:
        """The model whose frozen encoder the cell shares with other cells; empty if it shares none."""
        return self.model.name if self.model and self.method.frozen else ""

    def __repr__(self) -> str:
        # Without paths and addresses, because pytest-benchmark writes it into its files.
        return self.id
