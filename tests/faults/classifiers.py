"""Faults of the classifier on top of the features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import LINEAR, TORCH, WORDS, World, fault
from tests.faults.injecting import around, regression


@fault(
    "solver changed",
    (LINEAR, WORDS),
    "named",
    r"solver liblinear, was lbfgs",
    replays="default solver (scikit-learn#13805)",
)
def _solver(patch: pytest.MonkeyPatch, world: World) -> None:
    regression(patch, lambda fit, model, *data: fit(model.set_params(solver="liblinear"), *data))


@fault(
    "C a hundred times as large",
    (LINEAR, TORCH, WORDS),
    "named",
    r"C 100, was 1",
    replays="another classifier on the same embeddings (mteb#2780)",
)
def _large_c(patch: pytest.MonkeyPatch, world: World) -> None:
    _c(patch, 100.0)


@fault("C a thousandth", (LINEAR, TORCH, WORDS), "named", r"C 0\.001, was 1")
def _small_c(patch: pytest.MonkeyPatch, world: World) -> None:
    _c(patch, 0.001)


def _c(patch: pytest.MonkeyPatch, value: float) -> None:
    from pytest_sst2.methods import logistic_regression as logistic
    from pytest_sst2.methods import torch_probe

    patch.setattr(logistic, "C", value)
    patch.setattr(torch_probe, "C", value)


@fault(
    "C a thousandth inside the library, where no setting shows it",
    (LINEAR, WORDS),
    "named",
    r"minimum|minimises",
    replays="another classifier on the same embeddings (mteb#2780)",
)
def _small_c_silently(patch: pytest.MonkeyPatch, world: World) -> None:
    def wrapper(fit: Any, model: Any, features: Any, labels: Any) -> Any:
        kept = model.C
        return fit(model.set_params(C=kept / 1000), features, labels).set_params(C=kept)

    regression(patch, wrapper)


@fault("penalty dropped", (LINEAR,), "named", r"C [Ii]nf\w*, was 1", replays="penalty deprecated (scikit-learn#32659)")
def _no_penalty(patch: pytest.MonkeyPatch, world: World) -> None:
    regression(patch, lambda fit, model, *data: fit(model.set_params(C=np.inf), *data))


@fault("stopped after two iterations, the warning swallowed", (LINEAR, WORDS), "named", r"stopped before it converged")
def _stopped(patch: pytest.MonkeyPatch, world: World) -> None:
    def wrapper(fit: Any, model: Any, features: Any, labels: Any) -> Any:
        kept = model.max_iter
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return fit(model.set_params(max_iter=2), features, labels).set_params(max_iter=kept)

    regression(patch, wrapper)


@fault(
    "stopped after two iterations, and said so", (LINEAR, TORCH), "incomparable", r"did not converge in 2 iterations"
)
def _stopped_aloud(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods import logistic_regression as logistic
    from pytest_sst2.methods import torch_probe

    patch.setattr(logistic, "MAX_ITERATIONS", 2)
    patch.setattr(torch_probe, "MAX_ITERATIONS", 2)


@fault("tolerance of the solver large", (LINEAR, WORDS), "named", r"tol 0\.1, was 0\.0001")
def _tolerance(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods import logistic_regression as logistic

    patch.setattr(logistic, "TOLERANCE", 0.1)


@fault("features standardised before the regression", (LINEAR,), "named", r"minimum|minimises|training itself")
def _standardised(patch: pytest.MonkeyPatch, world: World) -> None:
    from sklearn.linear_model import LogisticRegression

    moments: dict[str, Any] = {}

    def fit(original: Any, model: Any, features: Any, labels: Any) -> Any:
        moments["mean"], moments["sd"] = features.mean(axis=0), features.std(axis=0) + 1e-9
        return original(model, (features - moments["mean"]) / moments["sd"], labels)

    regression(patch, fit)
    around(
        patch,
        LogisticRegression,
        "predict_proba",
        lambda original, model, features: original(model, (features - moments["mean"]) / moments["sd"]),
    )


@fault("half of the training rows lost before the fit", (LINEAR, WORDS), "named", r"minimum|minimises")
def _half_the_rows(patch: pytest.MonkeyPatch, world: World) -> None:
    def wrapper(fit: Any, model: Any, features: Any, labels: Any) -> Any:
        kept = len(labels) // 2
        return fit(model, features[:kept], labels[:kept])

    regression(patch, wrapper)


@fault("classes weighted", (LINEAR,), "named", r"class_weight balanced, was none")
def _class_weight(patch: pytest.MonkeyPatch, world: World) -> None:
    regression(patch, lambda fit, model, *data: fit(model.set_params(class_weight="balanced"), *data))


@fault("TF-IDF on words and pairs of words", (WORDS,), "named", r"vocabulary [\d,]+, was [\d,]+")
def _bigrams(patch: pytest.MonkeyPatch, world: World) -> None:
    _vectoriser(patch, ngram_range=(1, 2))


@fault("TF-IDF without the idf", (WORDS,), "named", r"answers? changed, and no other recorded step differs")
def _no_idf(patch: pytest.MonkeyPatch, world: World) -> None:
    _vectoriser(patch, use_idf=False)


def _vectoriser(patch: pytest.MonkeyPatch, **changes: Any) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    def wrapper(fit: Any, self: Any, *args: Any) -> Any:
        return fit(self.set_params(**changes), *args)

    around(patch, TfidfVectorizer, "fit_transform", wrapper)


@fault("intercept dropped", (LINEAR,), "named", r"fit_intercept False, was True")
def _no_intercept(patch: pytest.MonkeyPatch, world: World) -> None:
    regression(patch, lambda fit, model, *data: fit(model.set_params(fit_intercept=False), *data))
