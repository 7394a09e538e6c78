"""The fixed batch: what a training computes for four probe sentences, and that measuring it changes no training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.instruments.fixed_batch import measure_fixed_batch


class Normalised(torch.nn.Module):
    """A classifier with BatchNorm, whose buffers change at each call in training mode, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2)

    def forward(self, rows: Any, labels: Any) -> dict[str, Any]:
        logits = self.head(torch.nn.functional.dropout(self.norm(rows), 0.5, self.training))
        return {"logits": logits, "loss": torch.nn.functional.cross_entropy(logits, labels)}


def test_measuring_changes_neither_the_model_nor_the_random_numbers_of_its_training() -> None:
    torch.manual_seed(1)
    model, generator = Normalised().train(), torch.get_rng_state()
    batch = {"rows": torch.arange(12.0).reshape(4, 3) ** 2, "labels": torch.tensor([0, 1, 0, 1])}
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def backward(inputs: dict[str, Any]) -> Any:
        loss = model(**inputs)["loss"]
        loss.backward()
        return loss.detach()

    measured = measure_fixed_batch(model, batch, backward, lambda inputs: model(**inputs)["loss"])
    assert measured.mode.startswith("norm ")  # what differs between the modes, without dropout
    assert measured.dropout == {"0.5": 1}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
    assert model.training
    assert np.isclose(measured.loss, measured.cross_entropy, rtol=1e-6)


def test_attention_that_a_package_replaced_is_recognised_by_the_function_that_it_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    functional = torch.nn.functional
    original = functional.scaled_dot_product_attention
    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda *rows, **more: original(*rows, **more))

    class Attending(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(4, 2)

        def forward(self, rows: Any, labels: Any) -> dict[str, Any]:
            rate = 0.25 if self.training else 0.0
            mixed = functional.scaled_dot_product_attention(rows, rows, rows, dropout_p=rate)
            logits = self.head(mixed.mean(dim=(1, 2)))
            return {"logits": logits, "loss": functional.cross_entropy(logits, labels)}

    model = Attending().train()
    batch = {"rows": torch.rand(4, 2, 3, 4), "labels": torch.tensor([0, 1, 0, 1])}

    def backward(inputs: dict[str, Any]) -> Any:
        loss = model(**inputs)["loss"]
        loss.backward()
        return loss.detach()

    measured = measure_fixed_batch(model, batch, backward, lambda inputs: model(**inputs)["loss"])
    assert measured.dropout == {"0.25": 1}
    assert measured.mode == ""
