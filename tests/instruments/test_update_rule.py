"""The replayed rules are those of PyTorch's optimisers, and a deviation from them is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.instruments.optimizer_watch import OptimizerWatch
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.training_steps import TrainingSteps

Change = Callable[[torch.optim.Optimizer, int], Any]


def watched(
    optimizer: str = "AdamW",
    change: Change = lambda *_: None,
    steps: int = 12,
    after: Change = lambda *_: None,
    **options: Any,
) -> TrainingSteps:
    """Train two tensors with a change before and after the steps; return the evidence."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((40, 30), (30,))]
    trained: Any = getattr(torch.optim, optimizer)([{"params": [weight]} for weight in weights], lr=1e-3, **options)
    watch = OptimizerWatch()
    watch.watch()
    try:
        for step in range(1, steps + 1):
            loss = (weights[0] * torch.randn((40, 30), generator=generator)).sum() + weights[1].square().sum()
            trained.zero_grad()
            loss.backward()
            watch.record_loss(loss, weights, total=steps)
            change(trained, step)
            trained.step()
            after(trained, step)
        evidence = watch.training_steps(steps)
    finally:
        watch.stop()
    assert evidence is not None
    return evidence


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("AdamW", {}),
        ("AdamW", {"weight_decay": 0.3, "fused": True}),
        ("AdamW", {"amsgrad": True, "betas": (0.5, 0.6), "maximize": True}),
        ("Adam", {"weight_decay": 0.1}),
        ("SGD", {"weight_decay": 0.1}),
        ("SGD", {"momentum": 0.9, "nesterov": True}),
        ("SGD", {"momentum": 0.9, "dampening": 0.5}),
    ],
)
def test_an_optimiser_of_pytorch_follows_its_rule(optimizer: str, options: dict[str, Any]) -> None:
    steps = watched(optimizer, **options)
    assert (steps.rule, steps.deviating, steps.outside, steps.skipped) == (optimizer, 0, 0, 0)
    assert unpacked_floats(steps.first_updates) == pytest.approx([1.0] * 8, abs=1e-3)


def test_another_optimiser_has_no_known_rule() -> None:
    assert watched("RMSprop").rule == ""


def _reset(optimizer: torch.optim.Optimizer, step: int) -> None:
    if step == 5:
        optimizer.state.clear()


def _late(optimizer: torch.optim.Optimizer, step: int) -> None:
    if step == 5:
        for state in optimizer.state.values():
            state["step"].fill_(1e6)


@pytest.mark.parametrize(("change", "words"), [(_reset, "state lost"), (_late, "no bias correction")])
def test_a_changed_state_is_told_from_the_step_in_which_it_changed(change: Change, words: str) -> None:
    steps = watched(change=change)
    assert (steps.deviating, steps.first_deviating, steps.deviation) == (1, 5, words)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (lambda weight, _: weight.mul_(1 - 1e-3 * 0.2), "decay 0.2"),
        (lambda weight, old: weight.copy_(old + 3 * (weight - old)), "scaled 3"),
        (lambda weight, old: weight.copy_(old), "nothing moved"),
        (lambda weight, _: weight.copy_(weight.bfloat16()), "rounded bfloat16"),
        (lambda weight, _: weight.add_(0.01 * torch.ones_like(weight)), "other"),
    ],
)
def test_what_a_step_did_instead_is_described(
    inside: Callable[[Any, Any], Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.optim.AdamW.step

    @torch.no_grad()
    def step(self: Any, *args: Any) -> None:
        old = [weight.clone() for group in self.param_groups for weight in group["params"]]
        original(self, *args)
        for weight, before in zip((one for group in self.param_groups for one in group["params"]), old, strict=True):
            inside(weight, before)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    steps = watched(weight_decay=0.0)
    assert (steps.deviating, steps.first_deviating) == (12, 1)
    assert steps.deviation.startswith(words)


@torch.no_grad()
def _halve(optimizer: torch.optim.Optimizer, step: int) -> None:
    if step in (3, 12):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.mul_(0.5)


def test_a_change_of_the_weights_between_steps_is_none_of_the_optimiser() -> None:
    steps = watched(after=_halve)
    assert (steps.deviating, steps.outside, steps.first_outside, steps.outside_change) == (0, 2, 4, "scaled 0.5")


def test_clipping_shows_as_the_norm_before_and_after() -> None:
    def clip(optimizer: torch.optim.Optimizer, _: int) -> None:
        torch.nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], 1.0)

    trace = np.array(unpacked_floats(watched(change=clip).trace)).reshape(-1, 3)
    assert (trace[:, 1] > 1).all()
    assert trace[:, 2] == pytest.approx(1, abs=1e-4)
