"""The command that installs an extra works with this package from a clone or a wheel."""

from __future__ import annotations

import shlex
from importlib import metadata

import pytest

from pytest_sst2.utils import extras


@pytest.mark.parametrize("extra", ["bundled", "deberta", "ray", "upgrade", "xdist"])
def test_the_command_names_the_packages_of_the_extra_and_not_this_one(extra: str) -> None:
    words = shlex.split(extras.install_command(extra))
    assert words[:4] == ["python", "-m", "pip", "install"]
    assert words[4:] == [str(requirement) for requirement in bare(extra)]
    assert not any(word.startswith("pytest-sst2") for word in words)


def bare(extra: str) -> list[str]:
    return [str(requirement).partition(";")[0].strip() for requirement in extras.requirements_of(extra)]


def test_without_metadata_the_command_is_for_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_metadata(_name: str) -> None:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", no_metadata)
    assert extras.install_command("ray") == "python -m pip install -e '.[ray]'"
