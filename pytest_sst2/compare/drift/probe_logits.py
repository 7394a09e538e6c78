"""Compare the log-odds that two classifiers give to the probe sentences."""

from __future__ import annotations

import numpy as np

from pytest_sst2.compare.drift.common_sentences import common_sentences
from pytest_sst2.compare.drift.row_patterns import moved_rows
from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.packing import unpacked_floats

# Largest change of a probability that is not reported where everything before is the same. A hundred times the largest
# innocent one that was measured on a CPU (other threads, kernels and library releases): 3e-5.
ANSWER_TOLERANCE = 2e-3
# Smallest cosine between the logits of two equal classifiers that were trained in steps, which amplify rounding.
_LOGITS_COSINE = 0.98
# Largest change of the logits' scale that is not reported, relative.
_SCALE_TOLERANCE = 0.02
# Largest residual of log-odds that are a linear function of others, relative to the largest of them.
_LINEAR = 1e-3


def log_odds_formula(one: np.ndarray, other: np.ndarray) -> str:
    """Return the linear function that gives the later log-odds; empty if none does, or if nothing changed."""
    if np.ptp(one) < 1e-3:
        return ""
    slope, offset = np.polyfit(one, other, 1)
    residual = float(np.abs(slope * one + offset - other).max())
    scale = float(np.abs(other).max())
    if residual > _LINEAR * scale or (abs(slope - 1) < _SCALE_TOLERANCE and abs(offset) < _SCALE_TOLERANCE * scale):
        return ""
    parts = [f"{slope:.3g} × what they were" if abs(slope - 1) >= _LINEAR else "what they were"]
    parts += [f"{'plus' if offset > 0 else 'minus'} {abs(offset):.3g}"] if abs(offset) > _LINEAR * scale else []
    return " ".join(parts)


def both_logits(old: Fingerprint, new: Fingerprint) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-odds of the probe sentences that both sides answered, each of shape (n,)."""
    return common_sentences(*(np.array(unpacked_floats(side.logits)) for side in (old, new)))[1:]


def same_logits_after_training(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether two classifiers that were trained in steps give the same answers to the probe sentences."""
    return cosine(one, other) >= _LOGITS_COSINE and abs(_scale(one, other) - 1) <= 2 * (1 - _LOGITS_COSINE)


def same_probabilities(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether no probability of a probe sentence moved."""
    first, second = (1 / (1 + np.exp(-logits)) for logits in (one, other))
    return not moved_rows(first, second, ANSWER_TOLERANCE).any() and abs(_scale(one, other) - 1) <= _SCALE_TOLERANCE


def _scale(one: np.ndarray, other: np.ndarray) -> float:
    lengths = [float(np.linalg.norm(logits)) for logits in (one, other)]
    return lengths[1] / lengths[0] if all(lengths) else float(lengths[0] == lengths[1])


def logits_text(one: np.ndarray, other: np.ndarray) -> str:
    """Return how similar the log-odds of both sides are, in words."""
    return f"cosine of the probe sentences' logits {cosine(one, other):.4f}, their scale {_scale(one, other):.3g} ×"
