"""Differences of two environments: Python, device, threads, precision, variables and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pytest_sst2.results.record import Environment

# Listed first, because they affect results most. Other packages follow in alphabetical order.
FIRST_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn", "tokenizers", "datasets", "numpy")
# Fields that may differ between the nodes of a cluster with the same software.
_MACHINE_FIELDS = ("cpu_model", "cpu_cores", "threads", "device_name", "blas", "blas_kernels", "variables")


@dataclass(frozen=True)
class EnvironmentChange:
    """One difference; a value is None if that environment does not have it."""

    name: str
    before: str | None
    after: str | None


def environment_changes(before: Environment, after: Environment) -> tuple[EnvironmentChange, ...]:
    """Return all differences of two environments."""
    plain = ("python", "implementation", "platform", "device", "device_name", "cpu_model", "cpu_cores", "threads")
    changes = [
        EnvironmentChange(name.replace("_", " "), str(getattr(before, name)), str(getattr(after, name)))
        for name in (*plain, "blas", "matmul_precision", "deterministic")
    ]
    if before.blas_kernels and after.blas_kernels:
        changes.append(EnvironmentChange("blas kernels", before.blas_kernels, after.blas_kernels))
    changes += _mapping_changes(before.variables, after.variables)
    packages = _mapping_changes(before.packages, after.packages)
    first = {name: number for number, name in enumerate(FIRST_PACKAGES)}
    changes += sorted(packages, key=lambda change: (first.get(change.name, len(first)), change.name))
    return tuple(change for change in changes if change.before != change.after)


def software_changes(before: Environment, after: Environment) -> tuple[EnvironmentChange, ...]:
    """Return the differences of the software and the kind of device, not those of the machine."""
    same_machine = replace(before, **{name: getattr(after, name) for name in _MACHINE_FIELDS})
    return environment_changes(same_machine, after)


def _mapping_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[EnvironmentChange]:
    return [EnvironmentChange(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
