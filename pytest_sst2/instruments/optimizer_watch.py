"""OptimizerWatch: the options, learning rates and first update of a PyTorch optimiser."""

from __future__ import annotations

import weakref
from typing import Any

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

    def watch(self) -> None:
        """Record steps until ``stop``, or until this object is garbage-collected."""
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        reference = weakref.ref(self)

        def before(optimizer: Any, *_: Any) -> None:
            if (watch := reference()) is not None:
                watch._before_step(optimizer)

        def after(*_: Any) -> None:
            if (watch := reference()) is not None:
                watch._after_step()

        self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        for handle in self._handles:
            weakref.finalize(self, handle.remove)

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._before = [], []

    def training_fields(self) -> dict[str, Any]:
        """Return the recorded fields of ``TrainingFingerprint``; empty if there were no steps."""
        if not self._rates:
            return {}
        mean = float(f"{sum(self._rates) / len(self._rates):.6g}")
        return {"mean_learning_rate": mean, "optimizer": self._options, "first_update": self._first_update}

    def _before_step(self, optimizer: Any) -> None:
        groups = optimizer.param_groups
        self._rates.append(max(float(group["lr"]) for group in groups))
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
        if not self._before:
            return
        squares = sum(float((weight.detach() - old).double().square().sum()) for weight, old in self._before)
        count = sum(old.numel() for _, old in self._before)
        self._before = []
        self._first_update = float(f"{(squares / count) ** 0.5:.4g}")


def _option_text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)
