"""OptimizerWatch: the options, learning rates and updates of a PyTorch optimiser."""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pytest_sst2.instruments.tensor_sketch import storable
from pytest_sst2.instruments.update_watch import UpdateWatch
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.training_steps import TrainingSteps, kept_steps

# Options of an optimiser that change its steps; the others change how the steps are computed.
_OPTIONS = ("betas", "eps", "weight_decay", "momentum", "nesterov", "amsgrad", "maximize", "alpha", "rho")
# The first update is measured on tensors up to this size: biases, norms, a head.
_SMALL_TENSOR = 5000


class OptimizerWatch:
    """Records every step of every PyTorch optimiser between ``watch`` and ``stop``."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._rates: list[float] = []
        self._options: dict[str, Any] = {}
        self._before: list[tuple[Any, Any]] = []
        self._first_update: float | None = None
        # A step that a library wraps calls the hooks once inside the other; the outermost is the step.
        self._depth = 0
        self._updates = UpdateWatch()
        self._group_rates: list[list[float]] = []
        self._losses: dict[int, tuple[Any, Any]] = {}
        self._clipped: dict[int, Any] = {}
        self._distances: list[dict[str, float]] = []
        self._named_parameters: Callable[[], Mapping[int, str]] = dict

    def watch(self, named_parameters: Callable[[], Mapping[int, str]] = dict) -> None:
        """Record steps until ``stop``, or until this object is garbage-collected.

        ``named_parameters`` maps the id of each weight to its name.
        """
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        reference = weakref.ref(self)

        def before(optimizer: Any, *_: Any) -> None:
            if (watch := reference()) is not None:
                watch._depth += 1
                if watch._depth == 1:
                    watch._before_step(optimizer)

        def after(*_: Any) -> None:
            if (watch := reference()) is not None:
                watch._depth = max(0, watch._depth - 1)
                if watch._depth == 0:
                    watch._after_step()

        self._named_parameters = named_parameters
        self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        for handle in self._handles:
            weakref.finalize(self, handle.remove)

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._before = [], []
        self._updates.forget()

    def training_fields(self) -> dict[str, Any]:
        """Return the recorded fields of ``TrainingFingerprint``; empty if there were no steps."""
        if not self._rates:
            return {}
        mean = float(f"{sum(self._rates) / len(self._rates):.6g}")
        return {"mean_learning_rate": mean, "optimizer": self._options, "first_update": self._first_update}

    def record_loss(self, loss: Any, parameters: Any, *, total: int) -> None:
        """Record the loss of the next step, one of ``total``, and the norm of its gradient before clipping."""
        if (step := len(self._rates) + 1) in _kept(total):
            self._losses[step] = loss.detach(), _norm([weight.grad for weight in parameters])

    def record_epoch(self, part_of: Callable[[str], str]) -> None:
        """Record how far the weights are from the start; ``part_of`` maps a weight's name to its part."""
        with contextlib.suppress(Exception):  # no measurement may end a run
            self._distances.append(self._updates.distances(part_of))

    def training_steps(self, total: int) -> TrainingSteps | None:
        """Return the evidence of ``total`` steps of a training; None if there were none."""
        updates = self._updates
        if not self._losses or not self._group_rates:
            return None
        with contextlib.suppress(Exception):  # as above
            updates.finish()
        kept = kept_steps(total)
        nothing = float("nan")
        losses = [self._losses.get(step, (nothing, nothing)) for step in kept]
        trace = [(*pair, self._clipped.get(step, nothing)) for step, pair in zip(kept, losses, strict=True)]
        rates = [self._group_rates[min(step, len(self._group_rates)) - 1] for step in kept]
        parts = sorted({part for epoch in self._distances for part in epoch})
        return TrainingSteps(
            trace=packed_floats(storable(float(value) for row in trace for value in row)),
            rates=packed_floats(storable(rate for group in zip(*rates, strict=True) for rate in group)),
            group_sizes=updates.group_sizes,
            rule=updates.rule,
            first_updates=packed_floats(storable(updates.first_updates)),
            deviating=updates.deviating,
            first_deviating=updates.first_deviating,
            deviation=updates.deviation,
            tensor=updates.tensor,
            outside=updates.outside,
            first_outside=updates.first_outside,
            outside_change=updates.outside_change,
            skipped=max(0, total - len(self._rates)),
            distances=packed_floats(storable(epoch.get(part, 0.0) for epoch in self._distances for part in parts)),
        )

    def _before_step(self, optimizer: Any) -> None:
        groups = optimizer.param_groups
        self._rates.append(max(float(group["lr"]) for group in groups))
        self._group_rates.append([float(group["lr"]) for group in groups])
        with contextlib.suppress(Exception):  # as above
            self._updates.before_step(optimizer, self._named_parameters() if len(self._rates) == 1 else {})
            if len(self._rates) in self._losses:
                self._clipped[len(self._rates)] = _norm([weight.grad for group in groups for weight in group["params"]])
        if len(self._rates) > 1:
            return
        self._options = {"optimizer": type(optimizer).__name__}
        for name in _OPTIONS:
            values = dict.fromkeys(_option_text(group[name]) for group in groups if name in group)
            if values:
                self._options[name] = " / ".join(values)
        small = [weight for group in groups for weight in group["params"] if weight.numel() <= _SMALL_TENSOR]
        self._before = [(weight, weight.detach().clone()) for weight in small if weight.grad is not None]

    def _after_step(self) -> None:
        with contextlib.suppress(Exception):  # as above
            self._updates.after_step()
        if not self._before:
            return
        squares = sum(float((weight.detach() - old).double().square().sum()) for weight, old in self._before)
        count = sum(old.numel() for _, old in self._before)
        self._before = []
        self._first_update = float(f"{(squares / count) ** 0.5:.4g}")


@functools.cache
def _kept(total: int) -> frozenset[int]:
    return frozenset(kept_steps(total))


def _norm(gradients: Iterable[Any]) -> Any:
    """Return the norm of all gradients that are not None, as a tensor."""
    import torch

    present = [gradient.detach().float().norm() for gradient in gradients if gradient is not None]
    return torch.stack(present).norm() if present else torch.zeros(())


def _option_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)
