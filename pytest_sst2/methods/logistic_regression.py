"""Logistic regression with every setting spelt out, so that a changed default cannot change a number."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np

from pytest_sst2.results.fingerprint import CONVERGED_GRADIENT, TrainingFingerprint
from pytest_sst2.utils.errors import Sst2Error

_SPELLINGS_OF_PENALTY = ("penalty", "l1_ratio")
C = 1.0
MAX_ITERATIONS = 1000
TOLERANCE = 1e-4


def fit_logistic(features: Any, labels: np.ndarray, seed: int) -> Any:
    """Return scikit-learn's ``LogisticRegression`` fitted to the rows of ``features``.

    It minimises C · Σ log-loss + ‖w‖² / 2 (the intercept is not penalised).

    Args:
        features: Array or sparse matrix of shape (n, d).
        labels: Array of shape (n,), 0 or 1, both present.
        seed: Passed on, though ``lbfgs`` draws no random numbers.

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
        **_l2(LogisticRegression),
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


def _l2(estimator: Any) -> dict[str, Any]:
    """Return how this scikit-learn spells the squared penalty: ``penalty`` is deprecated since 1.8."""
    penalty = inspect.signature(estimator).parameters.get("penalty")
    return {"penalty": "l2"} if penalty is not None and penalty.default == "l2" else {"l1_ratio": 0.0}


def course_of(model: Any, features: Any, labels: np.ndarray) -> TrainingFingerprint:
    """Return how many iterations a fitted regression took, and how steep its objective still is.

    The gradient is that of mean log-loss + ‖w‖² / (2 C n), at the weights and the intercept.
    """
    wrong_by = model.predict_proba(features)[:, 1] - labels
    weights = np.asarray(features.T @ wrong_by).ravel() / len(labels) + model.coef_[0] / (model.C * len(labels))
    steepest = max(float(np.abs(weights).max()), abs(float(wrong_by.mean())))
    return TrainingFingerprint(steps=int(np.max(model.n_iter_)), last_gradient=float(f"{steepest:.3g}"))


def stopping_warnings(course: TrainingFingerprint) -> tuple[str, ...]:
    """Say when a regression was stopped before it was anywhere near its minimum."""
    if course.last_gradient is None or course.last_gradient <= CONVERGED_GRADIENT:
        return ()
    return (
        f"the classifier did not converge: after {course.steps} iterations its gradient is {course.last_gradient:.1e}, "
        f"more than {CONVERGED_GRADIENT:g}",
    )


def settings_of(model: Any) -> dict[str, Any]:
    """Return the estimator's effective parameters as plain values.

    The penalty stands there as what it is (``l2``), not as this scikit-learn spells it.
    """
    given = model.get_params(deep=False).items()
    plain = {name: value for name, value in given if _is_plain(value) and name not in _SPELLINGS_OF_PENALTY}
    return {**plain, "regularization": "l2"}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
