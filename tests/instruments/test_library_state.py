"""Settings that another test leaves in the process do not reach a cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import sklearn
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_full_backward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_sst2.instruments.library_state import default_library_state


def observed() -> tuple[object, ...]:
    """Return what the settings decide: of a product, of an overflow, of a training step, and of scikit-learn."""
    weight = torch.ones(2, 2, requires_grad=True)
    product = weight @ torch.ones(2, 2)
    state = torch.is_anomaly_enabled(), torch.is_inference_mode_enabled(), np.geterr()["over"]
    libraries = sklearn.get_config()["transform_output"], tuple(step()) if torch.is_grad_enabled() else ()
    return weight.dtype, product.dtype, product.device.type, product.requires_grad, *state, *libraries


def step() -> list[float]:
    """Return the weights after a step of training, on the CPU; empty if torch cannot train as usual."""
    layer = torch.nn.Linear(1, 1, device="cpu", dtype=torch.float32)
    try:
        torch.nn.init.ones_(layer.weight), torch.nn.init.zeros_(layer.bias)
        row = torch.ones(1, 1, device="cpu", dtype=torch.float32, requires_grad=True)
        layer(row).sum().backward()
        torch.optim.SGD(layer.parameters(), lr=1.0).step()
        return [parameter.item() for parameter in layer.parameters()]
    except RuntimeError:
        return []


class Doubles(TorchFunctionMode):
    """Makes tensors in double precision."""

    def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = function(*args, **(kwargs or {}))
        return result.double() if function is torch.ones else result


class Halting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Refuses to add up."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if "sum" in str(function):
            raise RuntimeError("no sum")
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def hook(register: Callable[..., Any], function: Callable[..., object]) -> Iterator[None]:
    handle = register(function)
    try:
        yield
    finally:
        handle.remove()


def no_gradient(_optimizer: torch.optim.Optimizer, *_: object) -> None:
    _optimizer.zero_grad()


@contextlib.contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (lambda: default_dtype(torch.float64), "default dtype torch.float64"),
        (lambda: default_device("meta"), "default device meta"),
        (lambda: torch.set_grad_enabled(mode=False), "gradients off"),
        (torch.inference_mode, "inference mode"),
        (lambda: torch.autocast("cpu", dtype=torch.bfloat16), "autocast to torch.bfloat16"),
        (lambda: torch.autograd.set_detect_anomaly(mode=True), "anomaly detection"),
        (lambda: torch.device("meta"), "default device meta"),
        (Doubles, "torch function mode Doubles"),
        (Halting, "torch dispatch mode Halting"),
        (
            lambda: hook(register_module_forward_hook, lambda _module, _inputs, output: output * 3),
            "global forward hooks",
        ),
        (
            lambda: hook(register_module_full_backward_pre_hook, lambda _module, outputs: (outputs[0] * 3,)),
            "global backward pre hooks",
        ),
        (lambda: hook(register_optimizer_step_pre_hook, no_gradient), "global optimizer pre hooks"),
        (lambda: sklearn.config_context(transform_output="pandas"), "sklearn.set_config(transform_output='pandas')"),
        (lambda: np.errstate(over="raise"), "np.seterr(divide='warn', over='raise', under='ignore', invalid='warn')"),
    ],
)
def test_a_setting_of_another_test_is_put_aside_named_and_restored(
    setting: Callable[[], AbstractContextManager[object]], named: str
) -> None:
    usual = observed()
    with setting():
        left = observed()
        assert left != usual
        with default_library_state("cpu") as warnings:
            assert observed() == usual
        assert observed() == left
    assert observed() == usual
    assert warnings == (f"measured with the libraries' defaults, not with what was set: {named}",)


def test_without_such_a_setting_nothing_is_said() -> None:
    with default_library_state("cpu") as warnings:
        assert warnings == ()


def test_a_release_of_torch_without_a_private_function_ends_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.utils._python_dispatch, "_get_current_dispatch_mode_stack")
    with torch.no_grad(), default_library_state("cpu") as warnings:
        assert "gradients off" in warnings[0]
