"""The protocol of a method: a callable that takes a ``Job`` and returns a classifier.

A classifier is a callable from n sentences to an array of shape (n,) with the probability of the positive class. A
method may return a ``Trained`` instead, which also carries settings, a learning curve and warnings.
"""

from __future__ import annotations

import contextlib
import pkgutil
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_sst2.config.recipes import ComputationPath, Recipe
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.record import Epoch
from pytest_sst2.utils.errors import Sst2Error

Classifier = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Job:
    """Everything a method needs to train one classifier.

    Attributes:
        train: The training rows: ``len(train)`` = n, ``train.sentences``, n texts, and ``train.labels``, shape (n,),
            int64, 0 or 1, read-only.
        evaluation: The evaluation rows, for learning curves only.
        recipe: ``recipe.epochs``, ``batch_size``, ``learning_rate``, ``max_length`` in tokens, ``dtype`` and so on.
        seed: Seed of everything random; the global generators are seeded with it.
        clock: Times phases; a ``PhaseClock``.
        loader: Loads tokenizers and models onto ``loader.device``; a ``ModelLoader``.
        recorder: Takes fingerprints of tokenizer, encoder and training; a ``FingerprintRecorder``.
        model: The encoder to start from; None for methods without a model.
        cache: Caches embeddings of frozen encoders between runs; None to compute all of them.
        frozen: Keeps the frozen encoder of the cell before; None to load each encoder anew.
        parts: Number of parts into which each batch is divided; more than 1 after the accelerator ran out of memory.
        path: ``fast``, or ``stock`` for the libraries' own Trainer, modules and ``encode()``.
    """

    train: Examples
    evaluation: Examples
    recipe: Recipe
    seed: int
    clock: PhaseClock
    loader: ModelLoader
    recorder: FingerprintRecorder
    model: ModelSpec | None = None
    cache: EmbeddingCache | None = None
    frozen: FrozenEncoder | None = None
    parts: int = 1
    path: ComputationPath = "fast"

    @property
    def is_fast(self) -> bool:
        """Whether ``methods.fast`` may stand in for the libraries' own modules and batches."""
        return self.path == "fast"

    @property
    def encoder(self) -> ModelSpec:
        """The model of a method that needs one, a ``ModelSpec``."""
        assert self.model is not None, "planned without a model"  # noqa: S101 - MethodSpec.needs_model sees to it
        return self.model


@dataclass(frozen=True)
class Trained:
    """A classifier and how it was trained.

    Attributes:
        predict: Maps n sentences to an array of shape (n,) with the probability of the positive class.
        settings: Effective training arguments or classifier parameters, as plain values. The Record adds ``code``
            for a method that a conftest defines, a digest of its module.
        epochs: The learning curve of a method that trains in epochs, an ``Epoch`` each, without the last epoch. The
            classifier itself gives the last point.
        last_train_loss: Mean training loss of the last epoch; None for methods that do not train in epochs.
        warnings: Sentences that a reader of the accuracy should know.
    """

    predict: Classifier
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Epoch] = ()
    last_train_loss: float | None = None
    warnings: Sequence[str] = ()


def epoch_of(number: int, train_loss: float, probabilities: np.ndarray, labels: np.ndarray) -> Epoch:
    """Return one point of a learning curve: loss and accuracy on the evaluation rows."""
    of_label = np.where(labels == 1, probabilities, 1 - probabilities)
    loss = -np.log(np.clip(of_label, 1e-12, 1.0)).mean()
    accuracy = float(((probabilities > 0.5) == (labels == 1)).mean())
    return Epoch(number, train_loss, round(float(loss), 6), accuracy)


def overflow_remedy(dtype: str) -> str:
    """Return the advice for a model that returns NaN or infinity in ``dtype``."""
    return "Use another checkpoint." if dtype == "float32" else f"Use --sst2-dtype float32 instead of {dtype}."


def train(method: MethodSpec, job: Job) -> Trained:
    """Train one classifier with every random generator seeded by ``job.seed``, then restore their states.

    Raises:
        Sst2Error: The classifier cannot be called, or settings or warnings have the wrong type.
    """
    function = function_of(method)
    with seeded(job.seed, job.loader.device):
        trained = function(job)
    if not isinstance(trained, Trained):
        trained = Trained(trained)
    _check_trained(trained, method.name)
    return trained


def function_of(method: MethodSpec) -> Callable[[Job], Any]:
    """Return the method's function, imported if the method names it as text."""
    if not isinstance(method.train, str):
        return method.train
    function: Callable[[Job], Any] = pkgutil.resolve_name(method.train)
    return function


def _check_trained(trained: Trained, name: str) -> None:
    if not callable(trained.predict):
        raise Sst2Error(
            f"method {name!r} returned {type(trained.predict).__name__}; expected a callable from a list of sentences "
            "to their probabilities."
        )
    if not isinstance(trained.settings, Mapping) or not all(isinstance(key, str) for key in trained.settings):
        raise Sst2Error(f"method {name!r}: settings must map names to plain values, not {trained.settings!r:.80}.")
    if isinstance(trained.warnings, str) or not all(isinstance(warning, str) for warning in trained.warnings):
        raise Sst2Error(f"method {name!r}: warnings must be a sequence of strings, not {trained.warnings!r:.80}.")


@contextlib.contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed the global generators of Python, numpy, torch and the device for the body, then restore their states."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[]))
        if device in ("cuda", "mps"):
            accelerator = getattr(torch, device)
            stack.callback(accelerator.set_rng_state, accelerator.get_rng_state())
            accelerator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
