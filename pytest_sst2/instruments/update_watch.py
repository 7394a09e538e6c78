"""UpdateWatch: whether the weights move by the rule that the optimiser states, on samples of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pytest_sst2.instruments.update_rule import (
    RULES,
    State,
    deviates,
    deviation,
    expected_update,
    outside_change,
    ratio_and_cosine,
)

# Values that are sampled of each tensor.
_VALUES = 64
# Tensors that are sampled in every step; the first two steps sample all of them.
_TENSORS = 24
_ALL_TENSORS_STEPS = 2
# A tensor deviates if a larger share of its sampled values does.
_SHARE = 0.1


# What PyTorch's optimisers call the moving averages of ``State``.
_STATE_NAMES = {
    "first": ("exp_avg", "momentum_buffer"),
    "second": ("exp_avg_sq",),
    "largest": ("max_exp_avg_sq",),
}


@dataclass
class _Tensor:
    """One sampled tensor of a parameter group."""

    weight: Any
    group: int
    name: str

    def values(self, tensor: Any) -> Any:
        """Return the sampled values of a tensor of the weight's shape, in the type float32."""
        import torch

        count = tensor.numel()
        flat = tensor.detach().contiguous()
        return torch.as_strided(flat, (min(count, _VALUES),), (max(1, count // _VALUES),)).float()


class UpdateWatch:
    """Compares every step with the stated rule.

    Attributes:
        rule: The optimiser's class, or empty if its rule is not known.
        steps: Number of steps seen.
        group_sizes: Number of weights of each parameter group.
        first_updates: Ratio and cosine of each group's update to the expected one, in the first two steps.
        deviating, first_deviating, deviation, tensor, outside, first_outside, outside_change: As in ``TrainingSteps``.
    """

    def __init__(self) -> None:
        self.rule = ""
        self.steps = 0
        self.group_sizes: tuple[int, ...] = ()
        self.first_updates: list[float] = []
        self.deviating = self.first_deviating = 0
        self.deviation = self.tensor = ""
        self.outside = self.first_outside = 0
        self.outside_change = ""
        self._tensors: list[_Tensor] = []
        self._few: Sequence[int] = range(0)
        self._chosen: Sequence[int] = range(0)
        self._states: dict[int, State] = {}
        self._start: list[np.ndarray] = []
        self._before: list[np.ndarray] = []
        self._gradients: list[np.ndarray | None] = []
        self._after: list[np.ndarray] = []
        self._groups: Sequence[Mapping[str, Any]] = ()
        self._optimizer: Any = None

    def before_step(self, optimizer: Any, names: Mapping[int, str]) -> None:
        """Sample weights and gradients before a step. ``names`` maps the id of a weight to its name."""
        if not self._tensors:
            self._choose(optimizer, names)
        self._optimizer = optimizer
        self.steps += 1
        self._groups = [{**group, "params": None} for group in optimizer.param_groups]
        self._chosen = range(len(self._tensors)) if self.steps <= _ALL_TENSORS_STEPS else self._few
        self._before = self._sampled(self._chosen)
        if self._after:
            self._check_outside(self._before)
        gradients = [self._tensors[number].weight.grad for number in self._chosen]
        present = [
            self._tensors[number].values(gradient)
            for number, gradient in zip(self._chosen, gradients, strict=True)
            if gradient is not None
        ]
        arrays = iter(_arrays(present))
        self._gradients = [None if gradient is None else next(arrays) for gradient in gradients]

    def after_step(self) -> None:
        """Compare the update of this step with the rule."""
        if not self._before:
            return
        self._after = self._sampled(self._chosen)
        if self.rule:
            self._check_update()
        if self.steps == _ALL_TENSORS_STEPS:
            self._after = [self._after[number] for number in self._few]
            self._states = {number: self._states[number] for number in self._few if number in self._states}
        self._before = []

    def finish(self) -> None:
        """Compare the weights after the last step with those at the end of the training."""
        if self._after and self._tensors:
            chosen = self._few if self.steps >= _ALL_TENSORS_STEPS else self._chosen
            self.steps += 1
            self._check_outside(self._sampled(chosen))
            self.steps -= 1

    def distances(self, part_of: Any) -> dict[str, float]:
        """Return the root mean square distance of each part's samples from the start; ``part_of`` maps a name to it."""
        squares: dict[str, list[np.ndarray]] = {}
        for tensor, start, now in zip(
            self._tensors, self._start, self._sampled(range(len(self._tensors))), strict=True
        ):
            squares.setdefault(part_of(tensor.name), []).append(np.square(now - start))
        return {part: float(np.sqrt(np.concatenate(values).mean())) for part, values in squares.items()}

    def forget(self) -> None:
        """Drop the references to the weights."""
        self._tensors, self._before, self._after, self._optimizer = [], [], [], None

    def _choose(self, optimizer: Any, names: Mapping[int, str]) -> None:
        kind = type(optimizer)
        self.rule = kind.__name__ if kind.__module__.startswith("torch.optim") and kind.__name__ in RULES else ""
        self.group_sizes = tuple(sum(weight.numel() for weight in group["params"]) for group in optimizer.param_groups)
        self._tensors = [
            _Tensor(weight, number, names.get(id(weight), ""))
            for number, group in enumerate(optimizer.param_groups)
            for weight in group["params"]
            if weight.grad is not None and not weight.grad.is_sparse and weight.is_floating_point()
        ]
        count = len(self._tensors)
        self._few = sorted({int(place) for place in np.linspace(0, count - 1, min(_TENSORS, count))})
        self._start = self._sampled(range(count))

    def _sampled(self, chosen: Sequence[int]) -> list[np.ndarray]:
        return _arrays([self._tensors[number].values(self._tensors[number].weight) for number in chosen])

    def _check_outside(self, now: Sequence[np.ndarray]) -> None:
        """Compare the weights with those after the step before."""
        count = min(len(now), len(self._after))
        chosen = self._chosen if count == len(self._chosen) else self._few
        before, later = np.concatenate(self._after[:count]), np.concatenate([*now][:count])
        if np.array_equal(before, later, equal_nan=True):
            return
        self.outside += 1
        if self.outside == 1:
            self.first_outside = self.steps
            start = np.concatenate([self._start[number] for number in chosen])
            self.outside_change = outside_change(before, later, start)

    def _check_update(self) -> None:
        import torch

        per_group: dict[int, list[tuple[np.ndarray, ...]]] = {}
        odd: list[int] = []
        states = dict(self._states)
        for place, number in enumerate(self._chosen):
            tensor, gradient, weights = self._tensors[number], self._gradients[place], self._before[place]
            if gradient is None:
                continue
            options = self._groups[tensor.group]
            state = states.get(number) or State.zero(len(weights))
            expected, self._states[number] = expected_update(self.rule, options, weights, gradient, state)
            actual = self._after[place] - weights
            per_group.setdefault(tensor.group, []).append((actual, expected))
            precision = float(torch.finfo(tensor.weight.dtype).eps)
            if deviates(actual, expected, weights, precision).mean() > _SHARE:
                odd.append(place)
        if self.steps <= _ALL_TENSORS_STEPS:
            for group in range(len(self.group_sizes)):
                pairs = per_group.get(group, [])
                actual, expected = (np.concatenate([pair[side] for pair in pairs] or [np.zeros(0)]) for side in (0, 1))
                self.first_updates += ratio_and_cosine(actual, expected)
        if odd:
            self.deviating += 1
            if self.deviating == 1:
                self._explain(odd, states)
            self._follow_optimizer()

    def _follow_optimizer(self) -> None:
        """Go on from the optimiser's own state after a deviation, so that each deviation counts once."""
        for number, state in self._states.items():
            tensor = self._tensors[number]
            actual = self._optimizer.state.get(tensor.weight, {})
            present = {
                field: _arrays([tensor.values(actual[name])])[0]
                for field, names in _STATE_NAMES.items()
                for name in names
                if getattr(actual.get(name), "shape", None) == tensor.weight.shape
            }
            steps = int(actual["step"]) if "step" in actual else state.steps
            self._states[number] = replace(state, steps=steps, **present) if present else State.zero(len(state.first))

    def _explain(self, odd: Sequence[int], states: Mapping[int, State]) -> None:
        """Describe the update of the deviating tensors of the group that has the first of them."""
        numbers = [self._chosen[place] for place in odd]
        group = self._tensors[numbers[0]].group
        places = [place for place, number in zip(odd, numbers, strict=True) if self._tensors[number].group == group]
        weights, actual = (
            np.concatenate(arrays)
            for arrays in (
                [self._before[place] for place in places],
                [self._after[place] - self._before[place] for place in places],
            )
        )
        gradients = np.concatenate(
            [array for array in (self._gradients[place] for place in places) if array is not None]
        )
        found = [states.get(self._chosen[place]) or State.zero(len(self._before[place])) for place in places]
        state = State(
            found[0].steps,
            *(np.concatenate([getattr(one, name) for one in found]) for name in ("first", "second", "largest")),
        )
        self.first_deviating = self.steps
        self.deviation = deviation(self.rule, self._groups[group], weights, gradients, state, actual)
        self.tensor = self._tensors[numbers[0]].name if 2 * len(odd) <= len(self._chosen) else ""


def _arrays(tensors: Sequence[Any]) -> list[np.ndarray]:
    """Return one-dimensional tensors as float64 arrays, by one copy from the device."""
    import torch

    if not tensors:
        return []
    flat = torch.cat(list(tensors)).cpu().numpy().astype(np.float64)
    return np.split(flat, np.cumsum([len(tensor) for tensor in tensors])[:-1])
