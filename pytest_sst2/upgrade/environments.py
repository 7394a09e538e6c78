"""Build environments, keep them by content, and reuse those that are complete."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from pytest_sst2.upgrade.checkouts import WORKTREES, Checkout, remove_worktrees
from pytest_sst2.upgrade.dependency_closure import InstalledPackages
from pytest_sst2.upgrade.pins import Pins, pin_lines, public_version
from pytest_sst2.upgrade.uv import InstallError, Uv, python_of
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import DISTRIBUTION
from pytest_sst2.utils.hashing import short_digest
from pytest_sst2.utils.locks import lock_file

_READY = "ready.json"
# The tag of cache directories (https://bford.info/cachedir/), so that backups leave the folder out.
_TAG = "CACHEDIR.TAG"
_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# Made by pytest-sst2 upgrade; removed by pytest-sst2 upgrade --clean.\n"
)
# Run by the interpreter of an environment: prints its packages and marker values as JSON.
_INSPECT_SCRIPT = """
import json, os, platform, re, sys
from importlib import metadata
packages = {}
for distribution in metadata.distributions():
    name = re.sub("[-_.]+", "-", distribution.metadata["Name"] or "").lower()
    packages.setdefault(name, [distribution.version, distribution.requires or []])
markers = {
    "implementation_name": sys.implementation.name,
    "implementation_version": platform.python_version(),
    "os_name": os.name,
    "platform_machine": platform.machine(),
    "platform_python_implementation": platform.python_implementation(),
    "platform_release": platform.release(),
    "platform_system": platform.system(),
    "platform_version": platform.version(),
    "python_full_version": platform.python_version(),
    "python_version": ".".join(platform.python_version_tuple()[:2]),
    "sys_platform": sys.platform,
}
print(json.dumps({"packages": packages, "markers": markers}))
"""


# These would bring packages of this environment, or options of the outer pytest.
_DROPPED_VARIABLES = (
    *("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"),
    *("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_CURRENT_TEST"),
)


@dataclass(frozen=True)
class BuiltEnvironment:
    """A complete environment.

    Attributes:
        seconds: How long the build took; 0 if it was reused.
        checkout: The commit of the user's code that runs in it; None for the files of the working folder.
    """

    folder: Path
    pins: Pins
    seconds: float
    checkout: Checkout | None = None

    @property
    def key(self) -> str:
        """A name derived from its content."""
        return f"{self._packages_key}-{self.checkout.sha[:12]}" if self.checkout else self._packages_key

    @property
    def _packages_key(self) -> str:
        return self.folder.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return python_of(self.folder)

    def at(self, checkout: Checkout | None) -> Self:
        """Return the environment with another commit of the user's code."""
        return replace(self, checkout=checkout)

    def working_folder(self, default: Path) -> Path:
        """Return the working folder in its commit; ``default`` without a commit."""
        return self.checkout.folder if self.checkout else default

    def variables(self) -> dict[str, str]:
        """Return the variables of a process that runs its interpreter."""
        return self._with_commit({name: os.environ[name] for name in os.environ if name not in _DROPPED_VARIABLES})

    def shell_variables(self) -> dict[str, str]:
        """Return the variables of a command that finds its programs, and none of the environment of this process."""
        here = Path(sys.executable).parent
        paths = [str(self.python.parent), *(path for path in os.get_exec_path() if Path(path) != here)]
        return {**self.variables(), "PATH": os.pathsep.join(paths), "VIRTUAL_ENV": str(self.folder)}

    def _with_commit(self, variables: dict[str, str]) -> dict[str, str]:
        return self.checkout.variables(variables) if self.checkout else variables


def upgrade_folder() -> Path:
    """Return the folder of environments, wheels and results of upgrade checks, inside the cache folder."""
    return cache_folder().absolute() / "upgrade"


def create_upgrade_folder() -> Path:
    """Return the folder of upgrade checks, created with the tag that ``remove_kept`` asks for.

    Raises:
        Sst2Error: The folder exists without the tag and holds something, or the tag cannot be written.
    """
    folder = upgrade_folder()
    if not _is_ours(folder):
        if folder.exists() and any(folder.iterdir()):
            raise Sst2Error(_not_ours(folder))
        write_atomically(folder / _TAG, _TAG_TEXT)
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        return (folder / _TAG).read_text() == _TAG_TEXT
    except (OSError, ValueError):
        return False


def _not_ours(folder: Path) -> str:
    return (
        f"{folder} was not made by this release of pytest-sst2 upgrade: it has no {_TAG}. Remove the folder if it is "
        "of an earlier release, or set PYTEST_SST2_CACHE to another folder."
    )


def remove_kept() -> tuple[Path, int]:
    """Remove the folder of upgrade checks; return its path and its size in bytes, 0 if there is none.

    Files that environments share with uv's cache count in full, although removing them frees nothing.

    Raises:
        Sst2Error: Something else made the folder.
    """
    folder = upgrade_folder()
    if folder.exists() and not _is_ours(folder):
        raise Sst2Error(_not_ours(folder))
    for worktrees in (folder / WORKTREES).glob("*/"):
        remove_worktrees(worktrees)
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    shutil.rmtree(folder, ignore_errors=True)
    return folder, size


class Environments:
    """Build environments in a folder, each named after its content.

    The file ``ready.json`` is written last. An environment without it is incomplete and is built again. Two commands
    that need the same environment wait for each other. Each one gets the wheel of this package, if there is one.
    """

    def __init__(self, folder: Path, uv: Uv, wheel: Path | None) -> None:
        self.folder = folder
        self.uv = uv
        self.wheel = wheel

    @property
    def runner(self) -> tuple[str, ...]:
        """The wheel of this package as a requirement (PEP 508); empty without one."""
        return (f"{DISTRIBUTION} @ {self.wheel.absolute().as_uri()}",) if self.wheel else ()

    def build(self, pins: Pins, python: str) -> BuiltEnvironment:
        """Return an environment with these packages and the runner, built or reused.

        Raises:
            InstallError: It cannot be built; nothing of it is left.
        """
        # The folder of the wheel is named after the content of the wheel.
        wheel = self.wheel.parent.name if self.wheel else ""
        content = [python, platform.python_version(), wheel, *pin_lines(pins)]
        folder = self.folder / short_digest("\n".join(content))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock_file(Path(f"{folder}.lock")):
                # The interpreter may have been upgraded or removed since.
                if not (folder / _READY).is_file() or not python_of(folder).exists():
                    return self._build_anew(folder, pins, python)
        except OSError as error:
            raise InstallError(
                f"no environment can be stored in {str(self.folder)!r}: {error.strerror or error}. "
                "Set PYTEST_SST2_CACHE to another folder."
            ) from error
        return BuiltEnvironment(folder, pins, 0.0)

    def _build_anew(self, folder: Path, pins: Pins, python: str) -> BuiltEnvironment:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.monotonic()
        try:
            self.uv.create(folder, python)
            self.uv.install(folder, pins, self.wheel)
            seconds = time.monotonic() - start
            write_atomically(folder / _READY, json.dumps({"pins": dict(pins), "seconds": round(seconds, 1)}, indent=1))
        except BaseException:  # Ctrl-C too: an incomplete environment is useless
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return BuiltEnvironment(folder, pins, seconds)


def inspect_environment(environment: BuiltEnvironment) -> InstalledPackages:
    """Return the packages of an environment and their requirements.

    Raises:
        Sst2Error: Its interpreter does not run.
    """
    python = environment.python
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(python), "-P", "-c", _INSPECT_SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode != 0:
        raise Sst2Error(f"{python} does not run: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}.")
    content = json.loads(done.stdout)
    return InstalledPackages(
        {name: public_version(version) for name, (version, _) in content["packages"].items()},
        {name: requires for name, (_, requires) in content["packages"].items()},
        content["markers"],
    )
