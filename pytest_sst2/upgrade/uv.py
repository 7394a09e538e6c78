"""Resolve, create and fill environments with uv, and turn its failures into one sentence each."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_sst2.upgrade.pins import Pins, pin_lines, public_version, read_pins
from pytest_sst2.utils.atomic_write import scratch_folder, temporary_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import DISTRIBUTION, install_command
from pytest_sst2.utils.formatting import truncate


class InstallError(Sst2Error):
    """A set of packages does not resolve, does not build, or cannot be downloaded."""


def find_uv() -> Uv:
    """Return uv, from the path or from the environment of this interpreter; raises Sst2Error if there is none."""
    path = uv_path()
    if path is None:
        raise Sst2Error(
            "`pytest-sst2 upgrade` builds environments with uv, which is not installed. "
            f"Run: {install_command('upgrade')}"
        )
    return Uv(path)


def uv_path() -> str | None:
    """Return the path of the uv executable, None if there is none."""
    if path := shutil.which("uv"):
        return path
    sibling = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    return str(sibling) if sibling.is_file() else None


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


class Uv:
    """Run uv with the package indexes that pip is configured for, unless uv has its own configuration."""

    def __init__(self, path: str) -> None:
        self._path = path

    def create(self, folder: Path, python: str) -> None:
        """Create an empty environment; ``python`` is the path of an interpreter or a version such as ``3.12``."""
        self._run("venv", "--no-project", "--python", python, str(folder))

    def resolve(
        self, roots: Sequence[str], python: str, *flags: str, pins: Pins | None = None, preferred: Pins | None = None
    ) -> dict[str, str]:
        """Return the pins of all packages that are needed, without the runner.

        Args:
            roots: Requirements as in PEP 508, the runner's wheel among them.
            python: The path of an interpreter or a version.
            flags: More options of ``uv pip compile``.
            pins: Fixed versions of the packages that turn out to be needed.
            preferred: Versions to keep unless a requirement excludes them. All other packages become the newest that
                fit; uv moves preferred ones for that.

        Raises:
            InstallError: No set of versions fits, or the index cannot be reached.
        """
        with scratch_folder() as scratch:
            needed, fixed, output = (Path(scratch) / name for name in ("roots.txt", "pins.txt", "output.txt"))
            needed.write_text("\n".join(roots), encoding="utf-8")
            fixed.write_text("\n".join(pin_lines(pins or {})), encoding="utf-8")
            # uv prefers the versions of an output file that exists.
            if preferred:
                output.write_text("\n".join(pin_lines(preferred)), encoding="utf-8")
            flags = ("--no-header", "--no-annotate", "--python", python, *flags)
            self._run("pip", "compile", *flags, "-c", str(fixed), "-o", str(output), str(needed))
            lines = [line for line in output.read_text(encoding="utf-8").splitlines() if not _is_runner(line)]
            output.write_text("\n".join(lines), encoding="utf-8")
            return dict(read_pins(output)) if lines else {}

    def install(self, folder: Path, pins: Pins, wheel: Path | None) -> None:
        """Install exactly these packages and the wheel; uv links files from its cache instead of copying them."""
        flags = ["--no-deps", "--python", str(python_of(folder))]
        self._run("pip", "install", *flags, *pin_lines(pins), *([str(wheel)] if wheel else []))

    def releases(self, name: str, above: str, below: str, python: str) -> list[str]:
        """Return the final releases of a package between two versions for this interpreter, oldest first.

        uv has no command that lists releases, so it resolves the newest one below the one before, again and again.
        """
        releases: list[str] = []
        low, high = public_version(above), public_version(below)
        while True:
            try:
                pins = self.resolve([f"{name}>{low},<{releases[0] if releases else high}"], python, "--no-deps")
            except InstallError as error:
                if "No solution" not in str(error) and "Because" not in str(error):
                    raise
                return releases
            releases.insert(0, public_version(pins[canonicalize_name(name)]))

    def _run(self, *arguments: str) -> None:
        environment = {**_indexes_of_pip(), **os.environ, "UV_NO_PROGRESS": "1"}
        # In another folder, because the project in the working folder may configure uv for itself.
        run([self._path, *arguments], environment, str(temporary_folder()))


def _is_runner(line: str) -> bool:
    return canonicalize_name(re.split(r"[\s@=<>]", line, maxsplit=1)[0]) == DISTRIBUTION


_UV_VARIABLES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}


@functools.cache
def _indexes_of_pip() -> Mapping[str, str]:
    """Return the package indexes and wheel folders that pip is configured for, as environment variables of uv."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        entries = re.findall(r"^(\S*)\.([a-z-]+)='(.*)'$", done.stdout, re.MULTILINE)
        # Environment variables win over files, so they come last. pip prints the line breaks of a file as "\n".
        entries.sort(key=lambda entry: entry[0] == ":env:")
        settings = {key: value.replace("\\n", " ").split() for _, key, value in entries}
    else:  # pip is not installed, but its variables may be set
        names = {key: f"PIP_{key.upper().replace('-', '_')}" for key in ("index-url", "extra-index-url", "find-links")}
        settings = {key: os.environ[name].split() for key, name in names.items() if name in os.environ}
    variables = {_UV_VARIABLES[key]: " ".join(values) for key, values in settings.items() if key in _UV_VARIABLES}
    if "find-links" in settings:
        variables["UV_FIND_LINKS"] = ",".join(settings["find-links"])
    if "UV_INDEX" in variables:
        # pip looks at all indexes. By default uv takes the first one that has any release of a package.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


# These would lead another interpreter to the packages of this one, or change what uv resolves.
_DROPPED_VARIABLES = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "UV_CONSTRAINT"))


def run(command: Sequence[str], environment: Mapping[str, str], folder: str | None = None) -> None:
    """Run a command of uv; if it fails, raise InstallError with one sentence."""
    variables = {name: value for name, value in environment.items() if name not in _DROPPED_VARIABLES}
    try:
        done = subprocess.run(
            command, env=variables, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise InstallError(f"{command[0]} cannot be run: {error.strerror or error}.") from error
    if done.returncode != 0:
        raise InstallError(error_sentence(done.stderr + done.stdout))


_NO_SPACE = re.compile(r"No space left on device|os error 28", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"Failed to fetch|error sending request|Connection refused|dns error|Temporary failure in name resolution",
    re.IGNORECASE,
)
_NO_BUILD = re.compile(r"Failed to build|build backend")


def error_sentence(output: str) -> str:
    """Return one sentence that says what failed and what to do next, from all that uv printed."""
    if _NO_SPACE.search(output):
        return "the disk is full. Free some space, or remove kept environments with `pytest-sst2 upgrade --clean`."
    reason = _reason(output.partition("[stderr]")[0])
    if _NO_NETWORK.search(output):
        return f"the package index cannot be reached ({reason}). Try again with a connection; downloads are kept."
    if _NO_BUILD.search(output):
        raised = re.findall(r"^\W*(\w*(?:Error|Exit|Exception)\b: .*)$", output, re.MULTILINE)
        cause = f" ({_one_line(raised[-1], 200)})" if raised else ""
        return f"a package cannot be built: {reason}{cause}. Ask for a release that has a wheel for this Python."
    return f"{reason}."


def _reason(output: str) -> str:
    """Return the first error in the output of uv on one line, without its box drawing."""
    text = re.sub(r"[×╰─▶├│]|\x1b\[[0-9;]*m", " ", output)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    starts = ("error", "No solution", "Failed", "Because")
    first = next((number for number, line in enumerate(lines) if line.startswith(starts)), 0)
    reason = " ".join(lines[first:]).partition(" hint:")[0]
    return _one_line(reason.removeprefix("error: ")) or "no reason given"


def _one_line(text: str, most: int = 400) -> str:
    return truncate(" ".join(text.split()).rstrip("."), most)
