"""Methods: how a classifier is made from sentences, behind one small protocol.

A method is a callable that takes a ``Job`` and returns a classifier: a callable from n sentences to an array of
shape (n,) with the probability of the positive class. It may return a ``Trained`` instead, to say more of itself.
"""

from __future__ import annotations

import contextlib
import importlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_sst2.models import ModelLoader
from pytest_sst2.recipes import Recipe
from pytest_sst2.records import Epoch
from pytest_sst2.registry import MethodSpec, ModelSpec
from pytest_sst2.splits import Examples
from pytest_sst2.timing import PhaseClock

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
        model: The encoder to start from; None for methods that need none.
    """

    train: Examples
    evaluation: Examples
    recipe: Recipe
    seed: int
    clock: PhaseClock
    loader: ModelLoader
    model: ModelSpec | None = None

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
        settings: Effective training arguments or classifier parameters, as plain values.
        epochs: The learning curve, for methods that learn in epochs.
        warnings: What a reader of the number should know.
    """

    predict: Classifier
    settings: Mapping[str, Any] = field(default_factory=dict)
    epochs: Sequence[Epoch] = ()
    warnings: Sequence[str] = ()


def train(method: MethodSpec, job: Job) -> Trained:
    """Train one classifier with every random generator seeded by ``job.seed``.

    The caller's generators are put back as they were.
    """
    function = method.train
    if isinstance(function, str):
        module, _, name = function.partition(":")
        function = getattr(importlib.import_module(module), name)
    with seeded(job.seed):
        trained = function(job)
    return trained if isinstance(trained, Trained) else Trained(trained)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's global generators for the body, and put them back afterwards."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
