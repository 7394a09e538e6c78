"""Methods: how a classifier is made from sentences, behind one small protocol.

A method is a callable that takes a ``Job`` and returns a classifier: a callable from n sentences to an array of
shape (n,) with the probability of the positive class. It may return a ``Trained`` instead, to say more of itself.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pytest_sst2.config.recipes import Recipe
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.record import UNREADABLE_CODE, Epoch
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import sha256_digest

Classifier = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Job:
    """All a method needs to train one classifier.

    Attributes:
        train: The rows to learn from.
        evaluation: The rows it will be measured on; for learning curves, never for learning.
        recipe: Sizes, rates and lengths.
        seed: Decides everything random.
        clock: ``with job.clock.phase("fit", examples=n):`` around the work.
        loader: Loads tokenizers and models; knows the device.
        recorder: Shown tokenizer, encoder and the course of training, it takes their fingerprints.
        model: The encoder to start from; None for methods that need none.
        cache: Keeps embeddings of frozen encoders from run to run; None where everything is to be computed.
        frozen: Keeps the frozen encoder of the cell before; None where each is to be loaded.
        parts: Into how many parts a batch is divided, because whole ones did not fit onto the accelerator.
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

    @property
    def encoder(self) -> ModelSpec:
        """The model, for methods that need one."""
        assert self.model is not None, "planned without a model"  # noqa: S101 - MethodSpec.needs_model sees to it
        return self.model


@dataclass(frozen=True)
class Trained:
    """A classifier and what it has to say of itself.

    Attributes:
        predict: From n sentences to an array of shape (n,): the probability of the positive class.
        settings: Effective training arguments or classifier parameters, as plain values. In the Record, an added
            method's have ``code`` beside them, a digest of its module.
        epochs: The learning curve, for methods that learn in epochs, without the last: that is the classifier itself.
        last_train_loss: The last epoch's mean training loss; None for methods that do not learn in epochs.
        warnings: What a reader of the number should know.
    """

    predict: Classifier
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Epoch] = ()
    last_train_loss: float | None = None
    warnings: Sequence[str] = ()


def epoch_of(number: int, train_loss: float, probabilities: np.ndarray, labels: np.ndarray) -> Epoch:
    """Return one point of a learning curve: what a classifier's answers to the evaluation rows are worth."""
    of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
    loss = -np.log(np.clip(of_truth, 1e-12, 1.0)).mean()
    accuracy = float(((probabilities > 0.5) == (labels == 1)).mean())
    return Epoch(number, train_loss, round(float(loss), 6), accuracy)


def overflow_remedy(dtype: str) -> str:
    """Return what to do about a model whose numbers become NaN or infinite in a type."""
    return "Use another checkpoint." if dtype == "float32" else f"Use --sst2-dtype float32 instead of {dtype}."


def train(method: MethodSpec, job: Job) -> Trained:
    """Train one classifier with every random generator seeded by ``job.seed``.

    The caller's generators are put back as they were.
    """
    function = _function(method)
    with seeded(job.seed, job.loader.device):
        trained = function(job)
    if not isinstance(trained, Trained):
        trained = Trained(trained)
    _check_trained(trained, method.name)
    return trained


def code_digest(method: MethodSpec) -> str:
    """Return a digest of the module that an added method's ``train`` stands in; empty for those of this package.

    The version of this package stands in the environment. What the module imports is not looked at.

    Returns:
        The SHA-256 of the source file; ``UNREADABLE_CODE`` where there is none, as with compiled code.
    """
    function = innermost(_function(method))
    if function.__module__.startswith("pytest_sst2."):
        return ""
    try:
        source = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
        return sha256_digest(Path(source or "").read_bytes())
    except (TypeError, OSError):
        return UNREADABLE_CODE


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the code that a callable comes down to, whatever it is wrapped into."""
    while isinstance(function, functools.partial):
        function = function.func
    unwrapped: Callable[..., Any] = inspect.unwrap(function)
    return unwrapped


def _function(method: MethodSpec) -> Callable[[Job], Any]:
    if not isinstance(method.train, str):
        return method.train
    module, _, name = method.train.partition(":")
    function: Callable[[Job], Any] = getattr(importlib.import_module(module), name)
    return function


def _check_trained(trained: Trained, name: str) -> None:
    """Refuse, by the method's name, what a report could not hold.

    Raises:
        Sst2Error: The classifier cannot be called, or settings or warnings are of another shape.
    """
    if not callable(trained.predict):
        raise Sst2Error(
            f"method {name!r} returned {type(trained.predict).__name__}; a callable from a list of sentences to their "
            "probabilities is wanted."
        )
    if not isinstance(trained.settings, Mapping) or not all(isinstance(key, str) for key in trained.settings):
        raise Sst2Error(f"method {name!r}: settings must map names to plain values, not {trained.settings!r:.80}.")
    if isinstance(trained.warnings, str) or not all(isinstance(warning, str) for warning in trained.warnings):
        raise Sst2Error(f"method {name!r}: warnings must be several texts, not {trained.warnings!r:.80}.")


@contextlib.contextmanager
def seeded(seed: int, device: str = "cpu") -> Iterator[None]:
    """Seed Python's, numpy's and torch's global generators for the body, and put them back afterwards.

    On an accelerator its own generator is seeded and put back as well; other devices are left alone.
    """
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
