"""Model files that a package brings: found without importing it, and held against digests that we carry.

For each version of such a package that is known, ``data/NAME-VERSION.sha256`` lists its files as ``sha256sum`` does.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest

LISTS = Path(__file__).parent
# What no library reads: it may be missing, or changed.
_NOT_LOADED = ("README.md",)


def bundled_folder(package: str) -> Path | None:
    """Return the folder ``model`` inside an installed package, None where there is no such package."""
    try:
        found = importlib.util.find_spec(package) if package else None
    except ModuleNotFoundError:  # of the package that a dotted name lies in
        found = None
    return Path(found.origin).parent / "model" if found and found.origin else None


def distribution_of(package: str) -> str:
    """Return the name by which pip knows a package."""
    return package.replace("_", "-")


def verify_bundled(package: str, folder: Path) -> None:
    """Refuse a package's model files where one is missing, is not what was released, or is one too many.

    A file is read once a process, and again when it has been touched since.

    Raises:
        Sst2Error: What file, what was expected and found, and how to get sound ones.
    """
    name = distribution_of(package)
    expected = _expected(name)
    remedy = f"Install it again: pip install --force-reinstall --no-deps {name}=={_version(name)}."
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and _is_loaded(path) and relative not in expected:
            raise Sst2Error(f"{path} is not a file of {name}, but would be read with it. Remove it. {remedy}")
    for relative, digest in expected.items():
        path = folder / relative
        try:
            found = file_digest(path)
        except OSError as error:
            reason = error.strerror or error
            raise Sst2Error(f"{path}, a file of {name}, cannot be read ({reason}). {remedy}") from error
        if found != digest:
            raise Sst2Error(
                f"{path} has SHA-256 {found}, not the expected {digest}, so it was damaged or replaced. {remedy}"
            )


def _is_loaded(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in _NOT_LOADED


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _expected(name: str) -> dict[str, str]:
    """Return the SHA-256 of each file, by its path below the model's folder."""
    version = _version(name)
    path = LISTS / f"{name}-{version}.sha256"
    if not path.is_file():
        known = sorted(each.stem.removeprefix(f"{name}-") for each in LISTS.glob(f"{name}-*.sha256"))
        install = f" Run: pip install {name}=={known[-1]}." if known else ""
        raise Sst2Error(
            f"the weights of {name} {version or 'without a version'} cannot be verified: digests are known of "
            f"{', '.join(known) or 'no version'} alone.{install}"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return {relative: digest for digest, relative in (line.split("  ", 1) for line in lines)}
