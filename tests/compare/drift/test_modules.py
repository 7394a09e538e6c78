"""Test the first module that differs, with a real network."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sst2.compare.drift.modules import first_difference, same_last_output, same_modules
from pytest_sst2.instruments.module_watch import watch_modules
from pytest_sst2.results.fingerprint import ModuleSketches


class Net:
    """Three layers, the second one called through a function that can be changed."""

    def __init__(self) -> None:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(3)))

    def sketches(self, change: Any = None) -> ModuleSketches:
        import torch

        inputs = torch.arange(64, dtype=torch.float32).reshape(8, 8) / 64
        with watch_modules(self.net) as watch, torch.no_grad():
            for row in inputs:
                hidden = self.net[1](self.net[0](row))
                self.net[2](change(hidden) if change else hidden)
        sketches = watch.sketches()
        assert sketches is not None
        return sketches


def test_equal_networks_have_no_difference() -> None:
    net = Net()
    assert first_difference(net.sketches(), net.sketches()) is None
    assert same_modules(net.sketches(), net.sketches())
    assert not same_modules(None, net.sketches())


def test_units_in_another_order_change_only_what_is_inside() -> None:
    import torch

    net = Net()
    before = net.sketches()
    with torch.no_grad():
        for values in (net.net[0].weight, net.net[0].bias):
            values.copy_(values.flip(0))
        net.net[1].weight.copy_(net.net[1].weight.flip(1))
    after = net.sketches()
    assert (same_modules(before, after), same_last_output(before, after)) == (False, True)
    assert not same_last_output(before, net.sketches(lambda hidden: 1.1 * hidden))
    assert not same_last_output(None, after)


@pytest.mark.parametrize("factor", [1.0001, 2.0])
def test_a_module_whose_weights_moved_is_found(factor: float) -> None:
    import torch

    net = Net()
    before = net.sketches()
    with torch.no_grad():
        net.net[1].weight.mul_(factor)
    difference = first_difference(before, net.sketches())
    assert difference is not None
    assert difference.module == "1"
    assert "the first difference is in 1: its first input is equal" in difference.sentence


def test_what_happens_between_modules_is_told_as_the_input_of_the_next() -> None:
    net = Net()
    difference = first_difference(net.sketches(), net.sketches(lambda hidden: 1.1 * hidden))
    assert difference is not None
    assert difference.sentence.startswith("the first difference is the input of 2 (roughly ")


def test_an_output_that_is_no_array_ends_nothing() -> None:
    class Broken:
        def is_floating_point(self) -> bool:
            raise RuntimeError("no array")

        def numel(self) -> int:
            return 1

    with watch_modules(object()) as watch:
        watch.collect("a", None, (), {}, Broken())
        watch.collect("b", None, (), {}, "text")
    assert watch.sketches() is None
