"""Test which differences between two environments are listed, and in which order."""

from __future__ import annotations

import dataclasses

from pytest_sst2.results.environment_diff import EnvironmentChange, environment_changes
from tests.support.record_factory import ENVIRONMENT


def test_the_same_environment_has_no_change() -> None:
    assert environment_changes(ENVIRONMENT, dataclasses.replace(ENVIRONMENT)) == ()


def test_only_differences_are_listed_important_packages_first() -> None:
    before = dataclasses.replace(ENVIRONMENT, packages={"aiohttp": "3", "torch": "2.4", "zlib": "1", "numpy": "2"})
    after = dataclasses.replace(
        ENVIRONMENT,
        packages={"aiohttp": "4", "torch": "2.5", "numpy": "2", "new": "1"},
        python="3.13.0",
        matmul_precision="high",
        deterministic=True,
        variables={"NVIDIA_TF32_OVERRIDE": "1"},
    )
    assert environment_changes(before, after) == (
        EnvironmentChange("python", "3.12.1", "3.13.0"),
        EnvironmentChange("matmul precision", "highest", "high"),
        EnvironmentChange("deterministic", "False", "True"),
        EnvironmentChange("NVIDIA_TF32_OVERRIDE", None, "1"),
        EnvironmentChange("OMP_NUM_THREADS", "2", None),
        EnvironmentChange("torch", "2.4", "2.5"),
        EnvironmentChange("aiohttp", "3", "4"),
        EnvironmentChange("new", None, "1"),
        EnvironmentChange("zlib", "1", None),
    )
