"""Settings that another test leaves in the process do not reach a cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch

from pytest_sst2.instruments.library_state import default_library_state


def observed() -> tuple[object, ...]:
    """Return what the settings decide: precision, device and gradients of a product, and what an overflow does."""
    weight = torch.ones(2, 2, requires_grad=True)
    product = weight @ torch.ones(2, 2)
    state = torch.is_anomaly_enabled(), torch.is_inference_mode_enabled(), np.geterr()["over"]
    return weight.dtype, product.dtype, product.device.type, product.requires_grad, *state


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
