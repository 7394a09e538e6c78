"""Small hand-made wheels, and a runner that uses this environment's heavy packages: upgrades without a network."""

from __future__ import annotations

import base64
import hashlib
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_sst2.upgrade.runner_wheel import wheel_bytes


def write_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()) -> Path:
    """Write a wheel of a pure package."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    content = {
        **files,
        f"{info}/METADATA": "\n".join([*lines, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return _zipped(folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", content, info)


def write_light_runner(folder: Path) -> Path:
    """Write the runner as a wheel without requirements that imports from this environment."""
    import io

    with zipfile.ZipFile(io.BytesIO(wheel_bytes())) as archive:
        files = {name: archive.read(name).decode("utf-8", "surrogateescape") for name in archive.namelist()}
    (record,) = [name for name in files if name.endswith("/RECORD")]
    info = record.rpartition("/")[0]
    del files[record]
    metadata = files[f"{info}/METADATA"].splitlines()
    files[f"{info}/METADATA"] = "\n".join(line for line in metadata if not line.startswith("Requires-Dist:")) + "\n"
    files["borrowed.pth"] = sysconfig.get_paths()["purelib"] + "\n"
    # The folder is named after the content, as for the real wheel.
    digest = hashlib.sha256("".join(files).encode()).hexdigest()[:16]
    return _zipped(folder / digest / f"{info.removesuffix('.dist-info')}-py3-none-any.whl", files, info)


def _zipped(path: Path, files: Mapping[str, str], info: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = {name: text.encode("utf-8", "surrogateescape") for name, text in files.items()}
    lines = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=').decode()},{len(content)}"
        for name, content in encoded.items()
    ]
    encoded[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in encoded.items():
            archive.writestr(name, content)
    return path
