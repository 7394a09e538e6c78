"""scikit-learn's logistic regression with every setting spelled out, so that a changed default changes no result."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.utils.errors import Sst2Error

_PENALTY_ARGUMENTS = ("penalty", "l1_ratio")
C = 1.0
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4
# A regression that reached its tolerance ends well below this gradient; one that was stopped ends well above.
_GRADIENT_ACCEPTED = 1e-3


def fit_logistic(features: Any, labels: np.ndarray, seed: int) -> Any:
    """Return scikit-learn's ``LogisticRegression`` fitted to the rows of ``features``.

    It minimises C · Σ log-loss + ‖w‖² / 2. The intercept is not penalised.

    Args:
        features: Array or sparse matrix of shape (n, d).
        labels: Array of shape (n,), 0 or 1. Both must occur.
        seed: Passed to the estimator, although ``lbfgs`` draws no random numbers.

    Raises:
        Sst2Error: One class is missing, or the solver stopped before it converged.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) < 2:
        raise Sst2Error("all training rows have the same label, so there is nothing to learn. Raise --sst2-train-size.")
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


def _l2_argument(estimator: Any) -> dict[str, Any]:
    """Return the argument for the L2 penalty. scikit-learn 1.8 deprecates ``penalty``."""
    penalty = inspect.signature(estimator).parameters.get("penalty")
    return {"penalty": "l2"} if penalty is not None and penalty.default == "l2" else {"l1_ratio": 0.0}


def training_fingerprint(model: Any, features: Any, labels: np.ndarray) -> TrainingFingerprint:
    """Return the number of iterations of a fitted regression and the largest component of its gradient.

    The gradient is that of mean log-loss + ‖w‖² / (2 C n), at the weights and the intercept.
    """
    residuals = model.predict_proba(features)[:, 1] - labels
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

    The penalty is recorded as ``l2``, independent of the arguments of the installed scikit-learn.
    """
    parameters = model.get_params(deep=False).items()
    plain = {name: value for name, value in parameters if _is_plain(value) and name not in _PENALTY_ARGUMENTS}
    return {**plain, "regularization": "l2"}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
