"""Commands that install the packages of an extra. They name the packages, because no index has pytest-sst2 itself."""

from __future__ import annotations

import shlex
from importlib import metadata

from packaging.requirements import Requirement

DISTRIBUTION = "pytest-sst2"
# Each environment has its own; they are not part of what is compared.
INSTALLERS = frozenset(("pip", "setuptools", "wheel", "uv", "distribute"))


def requirements_of(extra: str) -> list[Requirement]:
    """Return the requirements of an extra for this interpreter; empty if the package is not installed."""
    try:
        texts = metadata.requires(DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:
        return []
    requirements = map(Requirement, texts)
    return [requirement for requirement in requirements if applies(requirement, extra) and not applies(requirement, "")]


def applies(requirement: Requirement, extra: str) -> bool:
    """Return whether an extra installs a requirement on this interpreter; an empty name for no extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def install_command(extra: str) -> str:
    """Return ``python -m pip install 'ray[client]>=2.40'`` for the extra ``ray``, in the words of a shell."""
    packages = []
    for requirement in requirements_of(extra):
        requirement.marker = None
        packages.append(shlex.quote(str(requirement)))
    return " ".join(["python -m pip install", *(packages or ["-e", f"'.[{extra}]'"])])
