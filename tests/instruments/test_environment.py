"""Environment: it has everything that affects results and times."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from pytest_sst2.instruments import environment
from pytest_sst2.instruments.environment import VARIABLES, collect_environment, resolve_device
from pytest_sst2.utils.errors import Sst2Error


def test_versions_are_the_installed_ones() -> None:
    packages = collect_environment("cpu").packages
    for name in ("torch", "transformers", "sentence-transformers", "scikit-learn", "datasets", "numpy"):
        assert packages[name] == metadata.version(name)


def test_distributions_are_listed_by_normalised_name_in_order() -> None:
    packages = collect_environment("cpu").packages
    assert list(packages) == sorted(packages)
    assert packages.keys() >= {"pytest", "pytest-sst2", "huggingface-hub"}
    assert not [name for name in packages if name != name.lower() or "_" in name or "." in name]


def test_copies_inside_an_installed_package_are_no_distributions_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = [tmp_path / "site-packages", tmp_path / "site-packages" / "cluster" / "copies", tmp_path / "editable"]
    for folder, name in zip(folders, ("cluster", "colours", "mine"), strict=True):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*map(str, folders)])
    assert environment._package_versions() == {"cluster": "1.0", "mine": "1.0"}


def test_only_variables_that_change_threads_or_precision_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    monkeypatch.setenv("MY_SECRET_TOKEN", "x")
    assert environment._environment_at_start.__wrapped__("cpu").variables == {"NVIDIA_TF32_OVERRIDE": "1"}


def test_determinism_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect_environment("cpu").deterministic is False
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert collect_environment("cpu").deterministic is True


def test_a_precision_that_was_set_for_one_backend_is_recorded() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        assert collect_environment("cpu").matmul_precision == "cuda none, mkldnn bf16"
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = "none"
    assert collect_environment("cpu").matmul_precision == "highest"


def test_threads_cores_and_libraries_are_recorded() -> None:
    found = collect_environment("cpu")
    assert found.threads >= 1
    assert found.cpu_cores >= 1
    assert found.cpu_model
    assert found.device == found.device_name == "cpu"
    assert found.matmul_precision in ("highest", "high", "medium")


def test_auto_is_an_accelerator_if_there_is_one_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"


def test_an_unavailable_device_is_refused_with_the_available_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Sst2Error, match=r"--sst2-device cuda: .* no such device here\. Available: cpu"):
        resolve_device("cuda")
