"""QuickDropout has the share, scale and gradient of PyTorch's dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_sst2.methods.fast.quick_dropout import QuickDropout, quick_dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_as_many_are_dropped_and_the_mean_is_kept(p: float) -> None:
    torch.manual_seed(0)
    out = QuickDropout(p)(torch.ones(1000, 1000))
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=0.002)
    assert float(out.max()) == pytest.approx(1 / (1 - p), rel=1e-4)
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (QuickDropout(0.5)(torch.ones(10**6)) == 0).double()
    for lag in (1, 2, 3, 4, 8):
        assert abs(float(torch.corrcoef(torch.stack((dropped[:-lag], dropped[lag:])))[0, 1])) < 0.005


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shape_and_type_are_kept(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    out = QuickDropout(0.1)(torch.ones(shape, dtype=dtype))
    assert (out.shape, out.dtype) == (shape, dtype)


def test_the_gradient_is_that_of_what_was_kept() -> None:
    values = torch.ones(1000, requires_grad=True)
    out = QuickDropout(0.25)(values)
    out.sum().backward()
    assert torch.equal(values.grad, out.detach())


def test_the_seed_decides() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return QuickDropout(0.5)(torch.ones(100))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


@pytest.mark.parametrize(("p", "training"), [(0.3, False), (0.0, True)])
def test_nothing_is_dropped_in_evaluation_or_at_zero(p: float, training: bool) -> None:
    values = torch.randn(100)
    assert torch.equal(QuickDropout(p).train(training)(values), values)


def test_everything_is_dropped_at_one() -> None:
    assert float(QuickDropout(1.0)(torch.ones(10)).abs().sum()) == 0


def test_a_model_is_given_back_as_it_was() -> None:
    class Own(nn.Dropout):
        pass

    model = nn.Sequential(nn.Dropout(0.1), nn.Sequential(nn.Dropout(0.2)), Own(0.3))
    with quick_dropout(model):
        assert [type(part).__name__ for part in (model[0], model[1][0], model[2])] == ["QuickDropout"] * 2 + ["Own"]
        assert model[1][0].p == 0.2
    assert [type(part) for part in (model[0], model[1][0], model[2])] == [nn.Dropout, nn.Dropout, Own]
