"""scikit-learn's logistic regression with every setting spelled out, so that a changed default changes no result."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.utils.errors import Sst2Error

C = 1.0
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4
# A regression that reached its tolerance ends well below this gradient; one that was stopped ends well above.
_GRADIENT_ACCEPTED = 1e-3


def fit_logistic(features: Any, labels: np.ndarray, seed: int) -> Any:
    """Return scikit-learn's ``LogisticRegression`` fitted to features of shape (n, d), dense or sparse.

    It minimises C · Σ log-loss + ‖w‖² / 2. The intercept is not penalised. ``lbfgs`` draws no random numbers.

    Raises:
        Sst2Error: One class is missing, or the solver stopped before it converged.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise Sst2Error(
            "all training rows have the same label, so there is nothing to learn. Raise --sst2-train-size, or add rows "
            "with the other label."
        )
    model = LogisticRegression(
        C=C,
        solver="lbfgs",
        tol=TOLERANCE,
        max_iter=MAX_ITERATIONS,
        fit_intercept=True,
        class_weight=None,
        random_state=seed,
        warm_start=False,
        **_l2_argument(LogisticRegression),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return model.fit(features, labels)
        except ConvergenceWarning as warning:
            raise Sst2Error(
                f"the logistic regression did not converge in {MAX_ITERATIONS} iterations, so its accuracy means "
                f"nothing ({str(warning).splitlines()[0]})."
            ) from warning


def train_logistic(job: Job, features: Any, encode: Callable[[Sequence[str]], Any]) -> Trained:
    """Return a logistic regression fitted to the features of the training rows; ``encode`` makes those of others."""
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(features, job.train.labels, job.seed)
    training = training_fingerprint(model, features, job.train.labels)
    job.recorder.record_training(training)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(encode(sentences))[:, 1])

    return Trained(predict, regression_settings(model), warnings=convergence_warnings(training))


def _l2_argument(estimator: Any) -> dict[str, Any]:
    """Return the argument for the L2 penalty. scikit-learn 1.8 deprecates ``penalty``."""
    penalty = inspect.signature(estimator).parameters.get("penalty")
    return {"penalty": "l2"} if penalty is not None and penalty.default == "l2" else {"l1_ratio": 0.0}


def training_fingerprint(model: Any, features: Any, labels: np.ndarray) -> TrainingFingerprint:
    """Return the number of iterations of a fitted regression and the largest component of its gradient.

    The gradient is that of mean log-loss + ‖w‖² / (2 C n), at the weights and the intercept. ``predict_proba`` is not
    used, so that a change of predicting does not look like one of the fit.
    """
    from scipy.special import expit

    residuals = expit(np.asarray(features @ model.coef_[0]).ravel() + model.intercept_[0]) - labels
    gradient = np.asarray(features.T @ residuals).ravel() / len(labels) + model.coef_[0] / (model.C * len(labels))
    largest = max(float(np.abs(gradient).max()), abs(float(residuals.mean())))
    return TrainingFingerprint(steps=int(np.max(model.n_iter_)), last_gradient=float(f"{largest:.3g}"))


def convergence_warnings(training: TrainingFingerprint) -> tuple[str, ...]:
    """Warn if a regression stopped far from its minimum."""
    if training.last_gradient is None or training.last_gradient <= _GRADIENT_ACCEPTED:
        return ()
    return (
        f"the classifier did not converge: after {training.steps} iterations its gradient is "
        f"{training.last_gradient:.1e}, more than {_GRADIENT_ACCEPTED:g}",
    )


def regression_settings(model: Any) -> dict[str, Any]:
    """Return the estimator's effective parameters as plain values.

    The penalty is recorded as ``l2`` or ``l1`` for example, whichever argument of scikit-learn it comes from.
    """
    parameters = model.get_params(deep=False)
    plain = {
        name: value
        for name, value in parameters.items()
        if isinstance(value, bool | int | float | str | None) and name not in ("penalty", "l1_ratio")
    }
    return {**plain, "regularization": _regularization(parameters)}


def _regularization(parameters: Mapping[str, Any]) -> str:
    """Return the penalty of an estimator; scikit-learn 1.8 replaces ``penalty`` by ``l1_ratio``."""
    penalty, ratio = parameters.get("penalty", "deprecated"), parameters.get("l1_ratio") or 0.0
    if penalty not in ("deprecated", "elasticnet"):
        return str(penalty or "none")
    return {0.0: "l2", 1.0: "l1"}.get(ratio, f"elasticnet {ratio:g}")
