"""Find the model files of an installed package without importing it, and verify them against known digests.

``NAME-VERSION.sha256`` in this folder lists the files of each known version, in the format of ``sha256sum``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import file_digest

LISTS = Path(__file__).parent
# No library reads these files, so they may be missing or changed.
_NOT_LOADED = ("README.md",)


def bundled_folder(package: str) -> Path | None:
    """Return the folder ``model`` of an installed package, or None if it is not installed."""
    try:
        spec = importlib.util.find_spec(package) if package else None
    except ModuleNotFoundError:  # the parent package of a dotted name
        spec = None
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def distribution_of(package: str) -> str:
    """Return the distribution name of a package, as pip uses it."""
    return package.replace("_", "-")


def verify_bundled(package: str, folder: Path) -> None:
    """Refuse a package's model files if one is missing, changed or additional.

    A file's digest is computed once per process, and again after the file was modified.

    Raises:
        Sst2Error: A file differs from the released one. The message names the file, both digests and the remedy.
    """
    name = distribution_of(package)
    expected = _expected(name)
    remedy = f"Reinstall it: pip install --force-reinstall --no-deps {name}=={_version(name)}."
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and _is_loaded(path) and relative not in expected:
            raise Sst2Error(f"{path} does not belong to {name}, but would be loaded with it. Remove it, or: {remedy}")
    for relative, digest in expected.items():
        path = folder / relative
        try:
            actual = file_digest(path)
        except OSError as error:
            reason = error.strerror or error
            raise Sst2Error(f"{path}, a file of {name}, cannot be read ({reason}). {remedy}") from error
        if actual != digest:
            raise Sst2Error(f"{path} was damaged or replaced: its SHA-256 is {actual}, expected {digest}. {remedy}")


def _is_loaded(path: Path) -> bool:
    return not path.name.startswith(".") and path.name not in _NOT_LOADED


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _expected(name: str) -> dict[str, str]:
    """Return the expected SHA-256 of each file, by its path relative to the model's folder."""
    version = _version(name)
    path = LISTS / f"{name}-{version}.sha256"
    if not path.is_file():
        known = sorted(file.stem.removeprefix(f"{name}-") for file in LISTS.glob(f"{name}-*.sha256"))
        install = f" Run: pip install {name}=={known[-1]}." if known else ""
        raise Sst2Error(
            f"the weights of {name} {version or 'without a version'} cannot be verified: digests are known only for "
            f"{', '.join(known) or 'no version'}.{install}"
        )
    lines = path.read_text(encoding="utf-8").splitlines()
    return {relative: digest for digest, relative in (line.split("  ", 1) for line in lines)}
