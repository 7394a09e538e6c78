"""The runner: this package as a wheel, at this very version, for the environments that are compared."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

import pytest_sst2
from pytest_sst2.upgrade.pins import OURS
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest

# The oldest moment that a zip can name: the same content is the same wheel whenever it is made.
_MOMENT = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("__pycache__",)
_OF_METADATA = ("METADATA", "entry_points.txt")


def write_wheel(folder: Path) -> Path:
    """Write this package, as it is imported here, as a wheel below a folder named after its content.

    It is put together from the files of the package and the metadata of its installation, so that one that was
    installed from a folder, with changes not published anywhere, is the same in both environments.

    Raises:
        Sst2Error: The package is not installed, or the wheel cannot be written.
    """
    content = wheel_bytes()
    name = f"{OURS.replace('-', '_')}-{pytest_sst2.__version__}-py3-none-any.whl"
    path = folder / short_digest(content) / name
    if not path.is_file():
        write_atomically(path, content)
    return path


def wheel_bytes() -> bytes:
    """Return this package as a wheel (PyPA's binary distribution format 1.0).

    Raises:
        Sst2Error: The package is not installed, so that nobody knows what it requires.
    """
    try:
        installed = metadata.distribution(OURS)
    except metadata.PackageNotFoundError:
        raise Sst2Error(
            f"{OURS} is imported from a folder but not installed, so its requirements are not known. "
            "Run: python -m pip install -e ."
        ) from None
    if installed.version != pytest_sst2.__version__:
        raise Sst2Error(
            f"the code of {OURS} here is version {pytest_sst2.__version__}, but it was installed as "
            f"{installed.version}, so its requirements are not known. Install it again: python -m pip install -e ."
        )
    files = _package_files()
    info = f"{OURS.replace('-', '_')}-{pytest_sst2.__version__}.dist-info"
    files |= {f"{info}/{name}": (installed.read_text(name) or "").encode() for name in _OF_METADATA}
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: pytest-sst2\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(files.items())]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _package_files() -> dict[str, bytes]:
    package = Path(pytest_sst2.__file__).parent
    files = {f"{package.name}/{path.relative_to(package).as_posix()}": path for path in _ordinary_files(package)}
    # In a checkout the benchmarks lie beside the package; the wheel has them inside.
    beside = package.parent / "benchmarks"
    if not (package / "benchmarks").is_dir() and (beside / "floors.toml").is_file():
        files |= {
            f"{package.name}/benchmarks/{path.relative_to(beside).as_posix()}": path for path in _ordinary_files(beside)
        }
    return {name: path.read_bytes() for name, path in files.items()}


def _ordinary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not set(_LEFT_OUT) & set(path.parts)]


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
