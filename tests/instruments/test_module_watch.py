"""Sketches of what modules return do not depend on padding, and leave out what is compiled."""

from __future__ import annotations

from pytest_sst2.compare.drift.modules import first_difference
from pytest_sst2.instruments.module_watch import watch_modules
from pytest_sst2.results.fingerprint import ModuleSketches
from pytest_sst2.results.packing import unpacked_text


def sketches_of(padding: int) -> ModuleSketches | None:
    import torch

    class Layer(torch.nn.Module):
        def forward(self, features: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.inner(features["input_ids"]).cos()

    torch.manual_seed(0)
    layer = Layer()
    layer.inner = torch.nn.Embedding(10, 4)
    ids = torch.tensor([[5, 6, 7] + [0] * padding])
    with watch_modules(torch.nn.Sequential(layer)) as watch:
        layer({"input_ids": ids, "attention_mask": (ids > 0).long()})
    return watch.sketches()


def test_padded_tokens_are_left_out() -> None:
    assert sketches_of(0) == sketches_of(5) is not None


def test_a_module_that_changes_its_input_in_place_has_another_output() -> None:
    import torch

    sketches = []
    for activation in (torch.nn.ReLU(inplace=True), torch.nn.ReLU(), torch.nn.Identity()):
        model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), activation)
        torch.nn.init.eye_(model[0].weight)
        with watch_modules(model) as watch, torch.inference_mode():
            model(torch.tensor([[1.0, -2.0, 3.0, -4.0]]))
        sketches.append(watch.sketches())
    in_place, copied, nothing = sketches
    assert first_difference(in_place, nothing).module == first_difference(copied, nothing).module == "1"
    assert first_difference(in_place, copied) is None


def test_modules_inside_a_compiled_graph_are_left_out_however_it_was_compiled() -> None:
    import torch

    def compiled(how: str) -> torch.nn.Module:
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Sequential(torch.nn.Linear(4, 4)))
        if how == "forward":
            model[1].forward = torch.compile(model[1].forward, backend="eager")
        elif how == "in place":
            model[1].compile(backend="eager")
        elif how == "wrapped":
            model[1] = torch.compile(model[1], backend="eager")
        model(torch.ones(1, 4))
        return model

    seen = {}
    for how in ("no", "forward", "in place", "wrapped"):
        with watch_modules(model := compiled(how)) as watch:
            model(torch.ones(2, 4))
        seen[how] = unpacked_text(watch.sketches().names).split()
    assert seen == {"no": ["0", "1.0", "1"], "forward": ["0", "1"], "in place": ["0"], "wrapped": ["0", "1"]}
