"""Installers: uv where it is installed, else venv and pip; what they are asked for, what went wrong in one sentence."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from pytest_sst2.upgrade.pins import OURS, Pins, lines_of, public_version, read_pins
from pytest_sst2.utils.atomic_write import scratch_folder, temporary_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate


class InstallError(Sst2Error):
    """A set of packages that cannot be had: it does not resolve, does not build, or cannot be fetched."""


@dataclass(frozen=True)
class Wanted:
    """What is to be resolved.

    Attributes:
        roots: Requirements, as PEP 508 has them, the runner's own wheel among them.
        pins: What must be of this version where it is needed.
        preferred: What is of this version unless something needs another; other packages are the newest that fit, for
            which uv moves preferred ones, and pip only where nothing fits otherwise.
    """

    roots: tuple[str, ...]
    pins: Pins
    preferred: Pins


class Installer(Protocol):
    """What makes environments."""

    name: str

    def create(self, folder: Path, python: str) -> None:
        """Make an empty environment; ``python`` is an interpreter's path or a version such as ``3.12``."""

    def resolve(self, wanted: Wanted, python: str, at: Path | None) -> dict[str, str]:
        """Return the pins of all that is needed, the runner's own apart; ``at`` is an environment to start from."""

    def install(self, folder: Path, pins: Pins, wheel: Path) -> None:
        """Install these and nothing else."""

    def releases(self, name: str, above: str, below: str, python: str) -> list[str]:
        """Return the final releases of a package between two, as far as they are for this interpreter, oldest first."""


def installer() -> Installer:
    """Return uv where it is installed, else venv and pip."""
    uv = _uv_path()
    return Uv(uv) if uv else Pip()


def _uv_path() -> str | None:
    """Return uv: on the path, or installed as a package beside this interpreter."""
    if found := shutil.which("uv"):
        return found
    beside = Path(sys.executable).parent / ("uv.exe" if os.name == "nt" else "uv")
    return str(beside) if beside.is_file() else None


def python_of(folder: Path) -> Path:
    """Return the interpreter of an environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def site_packages_of(folder: Path) -> Path:
    """Return where an environment has its packages."""
    return next(folder.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"))


def _pins_of(packages: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in packages}


class Uv:
    """uv, told of the indexes that pip is told of where it has not been told itself."""

    name = "uv"

    def __init__(self, path: str) -> None:
        self._path = path

    def create(self, folder: Path, python: str) -> None:
        """Make an empty environment."""
        self._run("venv", "--no-project", "--python", python, str(folder))

    def resolve(self, wanted: Wanted, python: str, at: Path | None) -> dict[str, str]:
        """Return the pins of all that is needed; an output file that is there is what uv prefers."""
        del at
        with scratch_folder() as scratch:
            roots, fixed, output = (Path(scratch) / name for name in ("roots.txt", "pins.txt", "output.txt"))
            roots.write_text("\n".join(wanted.roots), encoding="utf-8")
            fixed.write_text("\n".join(lines_of(wanted.pins)), encoding="utf-8")
            if wanted.preferred:
                output.write_text("\n".join(lines_of(wanted.preferred)), encoding="utf-8")
            flags = ["--no-header", "--no-annotate", "--python", python]
            self._run("pip", "compile", *flags, "-c", str(fixed), "-o", str(output), str(roots))
            kept = [line for line in output.read_text(encoding="utf-8").splitlines() if not _is_ours(line)]
            output.write_text("\n".join(kept), encoding="utf-8")
            return read_pins(output) if kept else {}

    def install(self, folder: Path, pins: Pins, wheel: Path) -> None:
        """Install these and nothing else; what is in uv's cache is linked, not copied."""
        flags = ["--no-deps", "--python", str(python_of(folder))]
        self._run("pip", "install", *flags, *lines_of(pins), str(wheel))

    def releases(self, name: str, above: str, below: str, python: str) -> list[str]:
        """Return the final releases between two, by asking for the newest below the one before, again and again."""
        found: list[str] = []
        low, high = public_version(above), public_version(below)
        while True:
            try:
                pins = self._resolve_alone(f"{name}>{low},<{found[0] if found else high}", python)
            except InstallError as error:
                if "No solution" not in str(error) and "Because" not in str(error):
                    raise
                return found
            found.insert(0, public_version(pins[canonicalize_name(name)]))

    def _resolve_alone(self, requirement: str, python: str) -> dict[str, str]:
        with scratch_folder() as scratch:
            roots, output = Path(scratch) / "roots.txt", Path(scratch) / "output.txt"
            roots.write_text(requirement, encoding="utf-8")
            flags = ["--no-deps", "--no-header", "--no-annotate", "--python", python]
            self._run("pip", "compile", *flags, "-o", str(output), str(roots))
            return read_pins(output)

    def _run(self, *arguments: str) -> str:
        environment = dict(_indexes_of_pip())
        environment.update(os.environ, UV_NO_PROGRESS="1")
        # Elsewhere, since the working folder's project may configure uv for itself; what the user configures holds.
        return _run([self._path, *arguments], environment, _uv_reason, folder=str(temporary_folder()))


class Pip:
    """venv and pip: this interpreter's own pip, which is told of the environment that it is to work on."""

    name = "pip"

    def create(self, folder: Path, python: str) -> None:
        """Make an empty environment."""
        _run([_interpreter(python), "-m", "venv", "--without-pip", str(folder)], os.environ, _last_line)

    def resolve(self, wanted: Wanted, python: str, at: Path | None) -> dict[str, str]:
        """Return the pins of all that is needed; pip prefers what is installed in ``at``.

        Roots without a version, which pip would upgrade, stay where they are as long as everything fits so.
        """
        named = wanted.preferred if at is None else wanted.roots
        staying = {name: wanted.preferred[name] for name in named if name in wanted.preferred}
        try:
            return self._resolved(wanted.roots, {**wanted.pins, **staying}, python, at)
        except InstallError:
            if not staying:
                raise
            return self._resolved(wanted.roots, wanted.pins, python, at)

    def _resolved(self, roots: Sequence[str], pins: Pins, python: str, at: Path | None) -> dict[str, str]:
        with scratch_folder() as scratch:
            fixed, report = Path(scratch) / "pins.txt", Path(scratch) / "report.json"
            fixed.write_text("\n".join(lines_of(pins)), encoding="utf-8")
            flags = ["--dry-run", "--report", str(report), "-c", str(fixed)]
            flags += ["--ignore-installed"] if at is None else ["--upgrade", "--upgrade-strategy", "only-if-needed"]
            self._run(at or self._empty(Path(scratch), python), "install", *flags, *roots)
            plan = json.loads(report.read_text(encoding="utf-8"))["install"]
        # What pip would install, over what is there already and does not have to be.
        new = _pins_of((each["metadata"]["name"], each["metadata"]["version"]) for each in plan)
        return {name: version for name, version in {**self._installed(at), **new}.items() if name != OURS}

    def _installed(self, at: Path | None) -> dict[str, str]:
        if at is None:
            return {}
        listed = json.loads(self._run(at, "list", "--format", "json", "--path", str(site_packages_of(at))))
        return _pins_of((each["name"], each["version"]) for each in listed)

    def install(self, folder: Path, pins: Pins, wheel: Path) -> None:
        """Install these and nothing else; what pip has in its cache is not fetched again."""
        self._run(folder, "install", "--no-deps", *lines_of(pins), str(wheel))

    def releases(self, name: str, above: str, below: str, python: str) -> list[str]:
        """Return the final releases between two."""
        with scratch_folder() as scratch:
            said = self._run(self._empty(Path(scratch), python), "index", "versions", name)
        line = next((line for line in said.splitlines() if line.startswith("Available versions:")), "")
        listed = [Version(each.strip()) for each in line.partition(":")[2].split(",") if each.strip()]
        return [str(each) for each in sorted(listed) if Version(above) < each < Version(below)]

    def _empty(self, folder: Path, python: str) -> Path:
        self.create(folder / "empty", python)
        return folder / "empty"

    def _run(self, folder: Path, *arguments: str) -> str:
        if importlib.util.find_spec("pip") is None:
            raise InstallError("neither uv nor pip is installed here. Run: python -m ensurepip.")
        pip = [sys.executable, "-m", "pip", "--python", str(python_of(folder)), "--disable-pip-version-check"]
        return _run([*pip, *arguments], {**os.environ, "PIP_NO_INPUT": "1"}, _pip_reason)


def _interpreter(python: str) -> str:
    """Return the path of an interpreter that is asked for by its version; a path as it is.

    Raises:
        InstallError: There is none on the path.
    """
    if not re.fullmatch(r"\d+(\.\d+)*", python):
        return python
    found = shutil.which(f"python{python}")
    if found is None:
        raise InstallError(f"there is no python{python} on the path. Install it, or install uv, which fetches one.")
    return found


def _is_ours(line: str) -> bool:
    return canonicalize_name(re.split(r"[\s@=<>]", line, maxsplit=1)[0]) == OURS


@functools.cache
def _indexes_of_pip() -> Mapping[str, str]:
    """Return, as variables of uv's, the indexes and folders of wheels that pip is told of."""
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    said = re.findall(r"^(\S*)\.([a-z-]+)='(.*)'$", done.stdout, re.MULTILINE) if done.returncode == 0 else []
    # Variables go before files; lines of a file that continue one another are told with the sign of a new line.
    given = {
        key: value.replace("\\n", " ").split() for _, key, value in sorted(said, key=lambda each: each[0] == ":env:")
    }
    if done.returncode != 0:  # this environment has no pip; its variables are there all the same
        variables = {
            "index-url": "PIP_INDEX_URL",
            "extra-index-url": "PIP_EXTRA_INDEX_URL",
            "find-links": "PIP_FIND_LINKS",
        }
        given = {key: os.environ[name].split() for key, name in variables.items() if name in os.environ}
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
    found = {names[key]: " ".join(values) for key, values in given.items() if key in names}
    if "find-links" in given:
        found["UV_FIND_LINKS"] = ",".join(given["find-links"])
    # Several indexes may hold one package, each some of its releases; pip looks at all of them.
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in found else found


def _run(
    command: Sequence[str], environment: Mapping[str, str], reason: Callable[[str], str], folder: str | None = None
) -> str:
    """Run a command and return what it says.

    Raises:
        InstallError: It failed; why, in one sentence.
    """
    clean = {name: value for name, value in environment.items() if name not in _NOT_FOR_OTHERS}
    try:
        done = subprocess.run(
            command, env=clean, cwd=folder, capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise InstallError(f"{command[0]} cannot be run: {error.strerror or error}.") from error
    if done.returncode != 0:
        raise InstallError(_sentence(done.stderr + done.stdout, reason))
    return done.stdout


# What would lead another interpreter to this one's packages.
_NOT_FOR_OTHERS = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_CONSTRAINT", "UV_CONSTRAINT"))

_NO_REASON = "no reason given"
_NO_SPACE = re.compile(r"No space left on device|os error 28", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to (?:fetch|establish)|error sending request|Connection refused|"
    r"dns error|Temporary failure in name resolution|Max retries exceeded|ConnectTimeout",
    re.IGNORECASE,
)
_NO_BUILD = re.compile(
    r"Failed to build|failed-wheel-build|metadata-generation-failed|subprocess-exited-with-error|build backend"
)


def _sentence(output: str, reason: Callable[[str], str]) -> str:
    """Return what went wrong and what to do about it, out of all that an installer says."""
    if _NO_SPACE.search(output):
        return "the disk is full. Make room, or remove kept environments with `pytest-sst2 upgrade --clean`."
    said = reason(output.partition("[stderr]")[0])
    if _NO_NETWORK.search(output):
        return f"the package index cannot be reached ({said}). Try again where it can; what was fetched is kept."
    if _NO_BUILD.search(output):
        raised = re.findall(r"^\W*(\w*(?:Error|Exit|Exception)\b: .*)$", output, re.MULTILINE)
        cause = f" ({_shortened(raised[-1], 200)})" if raised else ""
        return f"a package cannot be built: {said}{cause}. A release with a wheel for this Python would do."
    return f"{said}."


def _uv_reason(output: str) -> str:
    """Return uv's reason without its drawing: the first cause, on one line."""
    text = re.sub(r"[×╰─▶├│]|\x1b\[[0-9;]*m", " ", output)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    start = next(
        (i for i, line in enumerate(lines) if line.startswith(("error", "No solution", "Failed", "Because"))), 0
    )
    said = " ".join(lines[start:]).partition(" hint:")[0]
    return _shortened(said.removeprefix("error: ")) or _NO_REASON


def _pip_reason(output: str) -> str:
    """Return pip's reason: its errors, and what conflicts with what."""
    lines = [line.strip() for line in output.splitlines()]
    errors = [line.partition(": ")[2] for line in lines if line.lower().startswith("error: ")]
    conflict = _conflict(lines)
    return _shortened(
        "; ".join([*conflict, *errors[-1:]]) if conflict else "; ".join(dict.fromkeys(errors))
    ) or _last_line(output)


def _conflict(lines: Sequence[str]) -> list[str]:
    if "The conflict is caused by:" not in lines:
        return []
    start = lines.index("The conflict is caused by:") + 1
    end = next((i for i in range(start, len(lines)) if not lines[i]), len(lines))
    return list(lines[start:end])


def _last_line(output: str) -> str:
    return _shortened(next((line.strip() for line in reversed(output.splitlines()) if line.strip()), _NO_REASON))


def _shortened(text: str, most: int = 400) -> str:
    return truncate(" ".join(text.split()).rstrip("."), most)
