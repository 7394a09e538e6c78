"""Pack this package, as it is imported here, as a wheel for the environments that are compared."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

import pytest_sst2
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import DISTRIBUTION
from pytest_sst2.utils.hashing import short_digest

# The earliest time a zip file can hold. A fixed time makes wheels of the same content identical.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
_NAME = f"{DISTRIBUTION.replace('-', '_')}-{pytest_sst2.__version__}"


def write_wheel(folder: Path) -> Path:
    """Write this package as a wheel into a subfolder named after its content, and return the path.

    The wheel is made from the imported files and the installed metadata. So unpublished changes of an editable
    installation reach both environments too.

    Raises:
        Sst2Error: The package is not installed, or the wheel cannot be written.
    """
    content = wheel_bytes()
    path = folder / short_digest(content) / f"{_NAME}-py3-none-any.whl"
    if not path.is_file():
        write_atomically(path, content)
    return path


def wheel_bytes() -> bytes:
    """Return this package as a wheel (PyPA's binary distribution format 1.0).

    Raises:
        Sst2Error: The package is not installed, or at another version, so its requirements are unknown.
    """
    try:
        installed = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise Sst2Error(
            f"{DISTRIBUTION} is imported from a folder but not installed, so its requirements are unknown. "
            "Run: python -m pip install -e ."
        ) from None
    if installed.version != pytest_sst2.__version__:
        raise Sst2Error(
            f"the code of {DISTRIBUTION} is version {pytest_sst2.__version__}, but its installed metadata is version "
            f"{installed.version}, so its requirements are unknown. Run: python -m pip install -e ."
        )
    files = _package_files()
    info = f"{_NAME}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        files[f"{info}/{name}"] = (installed.read_text(name) or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: pytest-sst2\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = []
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}")
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _package_files() -> dict[str, bytes]:
    package = Path(pytest_sst2.__file__).parent
    files = {f"{package.name}/{path.relative_to(package).as_posix()}": path for path in _ordinary_files(package)}
    # A checkout has the benchmarks next to the package; a wheel has them inside.
    sibling = package.parent / "benchmarks"
    if not (package / "benchmarks").is_dir() and (sibling / "floors.toml").is_file():
        for path in _ordinary_files(sibling):
            files[f"{package.name}/benchmarks/{path.relative_to(sibling).as_posix()}"] = path
    return {name: path.read_bytes() for name, path in files.items()}


def _ordinary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
