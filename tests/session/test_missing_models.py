"""Test that a run names the cells whose models can be neither found nor downloaded before its first cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.hub import download
from pytest_sst2.session.missing_models import missing_models_lines
from tests.support.hub_clients import hub_of_this_process
from tests.support.loopback_hub import LoopbackHub

HINT = "`pytest-sst2 doctor` lists the models that run here."


@pytest.fixture
def server(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    monkeypatch.setattr(download, "REACH_SECONDS", 60.0)  # a busy machine
    with hub_of_this_process(tmp_path / "cache") as running:
        running.add("org/mine", tiny_encoder)
        yield running


def lines(*models: ModelSpec) -> list[str]:
    """Return the lines of a run with two cells per model, and one without a model."""
    probes = [method for method in METHODS if method.name in ("linear-probe", "torch-probe")]
    majority = next(method for method in METHODS if method.name == "majority")
    cells = [Cell(model, method, 42) for model in models for method in probes]
    return missing_models_lines([*cells, Cell(None, majority, 42)], trust_remote_code=False)


def test_a_model_that_the_hub_lacks_or_refuses_is_named_with_its_cells(server: LoopbackHub, tiny_encoder: Path) -> None:
    server.add("org/gated", tiny_encoder)
    server.fault("org/gated/resolve", "status", 403, headers={"X-Error-Code": "GatedRepo"})
    mine, folder = ModelSpec("mine", "org/mine"), ModelSpec("folder", folder=tiny_encoder)
    typo, gated = ModelSpec("typo", "org/typo"), ModelSpec("gated", "org/gated")
    other = ModelSpec("other", "org/mine", revision="v9")
    assert lines(mine, folder) == []
    found = lines(mine, typo, folder, gated, other)
    reasons = [
        f"typo is not on this machine, and the Hub at {server.address} has no org/typo, or it is private and needs "
        "HF_TOKEN",
        "gated is not on this machine, and org/gated is gated: accept its terms on the Hub, then log in with "
        "`hf auth login` or set HF_TOKEN",
        f"other is not on this machine, and org/mine has no revision 'v9' on the Hub at {server.address}",
    ]
    assert found == [f"WARNING: 2 of 11 cells cannot run: {reason}. {HINT}" for reason in reasons]


def test_without_the_hub_all_models_are_in_one_line(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    one, two = ModelSpec("one", "org/mine"), ModelSpec("two", "org/other")
    (line,) = lines(one, two)
    assert line.startswith(
        "WARNING: 4 of 5 cells cannot run: one, two are not on this machine, and the Hub is disabled by"
    )
    assert line.endswith(f". {HINT}")


@pytest.mark.parametrize("kind", ["hang", "drop", "status"])
def test_a_hub_that_answers_late_or_with_an_error_may_still_give_the_model(
    server: LoopbackHub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert download.check_reachable() is None
    monkeypatch.setattr(download, "REACH_SECONDS", 0.2)
    server.fault("/resolve/", kind, 503)
    assert lines(ModelSpec("mine", "org/mine")) == []
