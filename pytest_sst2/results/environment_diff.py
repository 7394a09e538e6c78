"""What differs between two environments: Python, device and threads, precision, variables, and packages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pytest_sst2.results.record import Environment

# What decides a number comes first; the rest of the packages follow in their alphabetical order.
FIRST_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn", "tokenizers", "datasets", "numpy")

# What is the machine's and not the software's: on another node of a cluster it is another.
_OF_THE_MACHINE = ("cpu_model", "cpu_cores", "threads", "device_name", "blas", "variables")


@dataclass(frozen=True)
class EnvironmentChange:
    """One thing about the environment that is not what it was; None where a side lacks it."""

    name: str
    before: str | None
    after: str | None


def environment_changes(before: Environment, after: Environment) -> tuple[EnvironmentChange, ...]:
    """Return what differs: Python, device and threads, precision, variables, and packages."""
    plain = ("python", "implementation", "platform", "device", "device_name", "cpu_model", "cpu_cores", "threads")
    found = [
        (name.replace("_", " "), str(getattr(before, name)), str(getattr(after, name)))
        for name in (*plain, "blas", "matmul_precision", "deterministic")
    ]
    changes = [EnvironmentChange(*each) for each in found]
    changes += _mapping_changes(before.variables, after.variables)
    packages = _mapping_changes(before.packages, after.packages)
    first = {name: number for number, name in enumerate(FIRST_PACKAGES)}
    changes += sorted(packages, key=lambda change: (first.get(change.name, len(first)), change.name))
    return tuple(change for change in changes if change.before != change.after)


def software_changes(before: Environment, after: Environment) -> tuple[EnvironmentChange, ...]:
    """Return what differs beside the machine: Python, system, kind of device, precision and packages."""
    elsewhere = replace(before, **{name: getattr(after, name) for name in _OF_THE_MACHINE})
    return environment_changes(elsewhere, after)


def _mapping_changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[EnvironmentChange]:
    return [EnvironmentChange(name, before.get(name), after.get(name)) for name in sorted({*before, *after})]
