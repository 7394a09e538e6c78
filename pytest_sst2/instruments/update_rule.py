"""The update that an optimiser of PyTorch states, replayed on samples of its weights in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# Optimisers whose rule is known, by the name of their class in torch.optim.
RULES = frozenset({"Adam", "AdamW", "SGD"})
# A change this close to another explanation, by cosine, follows it.
_SAME_DIRECTION = 0.9999
# Bits of a float32's mantissa that narrower types lack.
_LACKING_BITS = {"bfloat16": 16, "float16": 13}


@dataclass(frozen=True)
class State:
    """What an optimiser remembers of samples: its moving averages, float64, and the number of steps."""

    steps: int
    first: np.ndarray
    second: np.ndarray
    largest: np.ndarray

    @classmethod
    def zero(cls, count: int) -> State:
        """Return the state before the first step."""
        return cls(0, np.zeros(count), np.zeros(count), np.zeros(count))


def expected_update(
    rule: str, options: Mapping[str, Any], weights: np.ndarray, gradients: np.ndarray, state: State
) -> tuple[np.ndarray, State]:
    """Return the change of the weights in one step, and the state after it.

    Adam: Kingma and Ba 2015, algorithm 1; AdamW: Loshchilov and Hutter 2019, algorithm 2; SGD as PyTorch documents
    it. ``options`` is a parameter group.
    """
    rate, decay = float(options["lr"]), float(options.get("weight_decay", 0.0))
    gradients = -gradients if options.get("maximize") else gradients
    if rule == "SGD":
        return _sgd(options, rate, gradients + decay * weights, state)
    if options.get("decoupled_weight_decay", rule == "AdamW"):
        decayed = -rate * decay * weights
    else:
        decayed, gradients = np.zeros_like(weights), gradients + decay * weights
    beta, other_beta = (float(value) for value in options["betas"])
    steps = state.steps + 1
    first = beta * state.first + (1 - beta) * gradients
    second = other_beta * state.second + (1 - other_beta) * gradients**2
    largest = np.maximum(state.largest, second)
    unbiased = (largest if options.get("amsgrad") else second) / (1 - other_beta**steps)
    update = -rate * (first / (1 - beta**steps)) / (np.sqrt(unbiased) + float(options["eps"]))
    return decayed + update, State(steps, first, second, largest)


def _sgd(options: Mapping[str, Any], rate: float, gradients: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    momentum = float(options.get("momentum", 0.0))
    first = gradients
    if momentum:
        damped = gradients if state.steps == 0 else (1 - float(options.get("dampening", 0.0))) * gradients
        first = momentum * state.first + damped
    direction = gradients + momentum * first if options.get("nesterov") else first
    return -rate * direction, replace(state, steps=state.steps + 1, first=first)


def deviates(actual: np.ndarray, expected: np.ndarray, weights: np.ndarray, precision: float) -> np.ndarray:
    """Return whether each change differs from the expected one by more than rounding, bool.

    ``precision`` is the distance from 1 to the next larger number of the weights' type.
    """
    rounding = 2 * precision * (np.abs(weights) + np.abs(expected))
    typical = float(np.sqrt(np.square(expected).mean())) if len(expected) else 0.0
    tolerance = 1e-3 * np.abs(expected) + rounding + 1e-4 * typical
    return np.asarray((np.abs(actual - expected) > tolerance) & np.isfinite(expected))


def deviation(
    rule: str, options: Mapping[str, Any], weights: np.ndarray, gradients: np.ndarray, state: State, actual: np.ndarray
) -> str:
    """Return the parts of an update that do not follow the rule.

    ``nothing moved``; ``state lost``, as in a first step; ``no bias correction``; ``rounded`` and a type; ``scaled``
    and a factor; ``decay`` and the weight decay that explains the rest; ``other``, ratio and cosine.
    """
    expected, _ = expected_update(rule, options, weights, gradients, state)
    if not actual.any():
        return "nothing moved"
    if name := _rounded_to(weights + actual):
        return f"rounded {name}"
    fresh, _ = expected_update(rule, options, weights, gradients, State.zero(len(weights)))
    if state.steps and _explains(fresh, actual):
        return "state lost"
    if rule != "SGD" and _explains(_without_correction(rule, options, weights, gradients, state), actual):
        return "no bias correction"
    ratio, cosine = ratio_and_cosine(actual, expected)
    if abs(cosine) > _SAME_DIRECTION:
        return f"scaled {ratio * np.sign(cosine):.3g}"
    rest = actual - expected
    share, along = ratio_and_cosine(rest, weights)
    if abs(along) > _SAME_DIRECTION and options["lr"]:
        total = float(options.get("weight_decay", 0.0)) - np.sign(along) * share / float(options["lr"])
        return f"decay {total:.3g}"
    return f"other {ratio:.3g} {cosine:.2f}"


def _without_correction(
    rule: str, options: Mapping[str, Any], weights: np.ndarray, gradients: np.ndarray, state: State
) -> np.ndarray:
    """Return Adam's update with moving averages that are not divided by 1 − βᵗ."""
    many = replace(state, steps=10**9)
    update, _ = expected_update(rule, options, weights, gradients, many)
    return update


def _explains(candidate: np.ndarray, actual: np.ndarray) -> bool:
    ratio, cosine = ratio_and_cosine(actual, candidate)
    return cosine > _SAME_DIRECTION and abs(ratio - 1) < 0.01


def ratio_and_cosine(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the ratio of the lengths of two vectors, and their cosine; 1 and 1 if both are zero."""
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return (1.0, 1.0) if lengths[0] == lengths[1] else (0.0 if lengths[1] else float("inf"), 0.0)
    return lengths[0] / lengths[1], float(one @ other) / (lengths[0] * lengths[1])


def _rounded_to(weights: np.ndarray) -> str:
    """Return the narrower type that stores all the weights, which float32 weights in training do not fit; or empty."""
    bits = weights.astype(np.float32).view(np.uint32)
    for name, lacking in _LACKING_BITS.items():
        if len(bits) > 8 and not (bits & ((1 << lacking) - 1)).any():
            return name
    return ""


def outside_change(before: np.ndarray, now: np.ndarray, start: np.ndarray) -> str:
    """Return how weights changed between two steps: ``rounded``, ``reset``, ``scaled`` and a factor, or ``other``."""
    if name := _rounded_to(now):
        return f"rounded {name}"
    if np.array_equal(now, start):
        return "reset"
    ratio, cosine = ratio_and_cosine(now, before)
    moved = now != before
    if moved.all() and cosine > 1 - 1e-9:
        return f"scaled {ratio:.4g}"
    return "other"
