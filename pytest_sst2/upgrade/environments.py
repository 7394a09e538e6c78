"""Environments: built once for a set of packages, kept, and used again only if they were built to their end."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.methods.fast.embedding_cache import cache_folder
from pytest_sst2.upgrade.dependency_closure import Installed
from pytest_sst2.upgrade.pins import OURS, Pins, lines_of, public_version
from pytest_sst2.upgrade.uv import InstallError, Uv, python_of
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest
from pytest_sst2.utils.locks import lock_file

_READY = "ready.json"
# Run by the interpreter of an environment: what it holds, as JSON.
_LOOK = """
import json, os, platform, re, sys
from importlib import metadata
found = {}
for each in metadata.distributions():
    name = re.sub("[-_.]+", "-", each.metadata["Name"] or "").lower()
    found.setdefault(name, [each.version, each.requires or []])
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
print(json.dumps({"packages": found, "markers": markers}))
"""


@dataclass(frozen=True)
class BuiltEnvironment:
    """An environment that is complete.

    Attributes:
        folder: Where it is.
        pins: What is in it.
        seconds: What building it took; 0 where it was there already.
    """

    folder: Path
    pins: Pins
    seconds: float

    @property
    def key(self) -> str:
        """What names its content."""
        return self.folder.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return python_of(self.folder)


def upgrade_folder() -> Path:
    """Return where environments, wheels and measurements of upgrades are kept, in the cache folder."""
    return cache_folder().absolute() / "upgrade"


def clean() -> tuple[Path, int]:
    """Remove everything that was kept; return the folder and the bytes that are free again.

    Files that environments share with uv's cache count in full, though removing them frees nothing.
    """
    folder = upgrade_folder()
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    shutil.rmtree(folder, ignore_errors=True)
    return folder, size


class Environments:
    """Builds environments below a folder, each named after its content.

    An environment is used again only where the file that is written last is there, so that one whose building was cut
    off is built anew. Two commands that want the same one wait for each other.

    Args:
        folder: Where they are kept.
        uv: What builds them.
        wheel: The runner.
    """

    def __init__(self, folder: Path, uv: Uv, wheel: Path) -> None:
        self.folder = folder
        self.uv = uv
        self.wheel = wheel

    @property
    def runner(self) -> str:
        """The runner as a requirement (PEP 508)."""
        return f"{OURS} @ {self.wheel.absolute().as_uri()}"

    def build(self, pins: Pins, python: str) -> BuiltEnvironment:
        """Return an environment that holds these packages and the runner.

        Raises:
            InstallError: It cannot be built; nothing of it is left.
        """
        folder = self.folder / _content_key(pins, self.wheel, python)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with lock_file(Path(f"{folder}.lock")):
                # An interpreter that was upgraded or removed leaves an environment behind that does not run.
                if not (folder / _READY).is_file() or not python_of(folder).exists():
                    return self._built(folder, pins, python)
        except OSError as error:
            raise InstallError(
                f"no environment can be kept in {str(self.folder)!r}: {error.strerror or error}."
            ) from error
        return BuiltEnvironment(folder, pins, 0.0)

    def _built(self, folder: Path, pins: Pins, python: str) -> BuiltEnvironment:
        shutil.rmtree(folder, ignore_errors=True)
        start = time.monotonic()
        try:
            self.uv.create(folder, python)
            self.uv.install(folder, pins, self.wheel)
            seconds = time.monotonic() - start
            write_atomically(folder / _READY, json.dumps({"pins": dict(pins), "seconds": round(seconds, 1)}, indent=1))
        except BaseException:
            # Also where somebody pressed Ctrl-C: half an environment is worth nothing.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return BuiltEnvironment(folder, pins, seconds)


def _content_key(pins: Pins, wheel: Path, python: str) -> str:
    # The wheel's folder is named after what is in it.
    text = "\n".join([python, platform.python_version(), wheel.parent.name, *lines_of(pins)])
    return short_digest(text)


def look_into(environment: BuiltEnvironment) -> Installed:
    """Return what is in an environment and what its packages require.

    Raises:
        Sst2Error: Its interpreter does not run.
    """
    found = _said_by(environment.python)
    return Installed(
        {name: public_version(version) for name, (version, _) in found["packages"].items()},
        {name: requires for name, (_, requires) in found["packages"].items()},
        found["markers"],
    )


def _said_by(python: Path) -> dict[str, dict[str, Any]]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([str(python), "-P", "-c", _LOOK], capture_output=True, text=True, check=False, env=clean)
    if done.returncode != 0:
        raise Sst2Error(f"{python} does not run: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}.")
    said: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return said
