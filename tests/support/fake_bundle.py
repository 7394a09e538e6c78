"""Create a package with a model's files, as if pip had installed it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from pytest_sst2.models import bundled

PACKAGE = "tiny_bundle_for_tests"


def install(model: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create a package, version 1.0, that fails on import and has known digests; return its model folder."""
    folder = scratch / "site" / PACKAGE / "model"
    shutil.copytree(model, folder)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    metadata = scratch / "site" / f"{PACKAGE}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-bundle-for-tests\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(scratch / "site")
    lists = scratch / "lists"
    lists.mkdir()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}" for path in paths
    ]
    (lists / "tiny-bundle-for-tests-1.0.sha256").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(bundled, "LISTS", lists)
    return folder
