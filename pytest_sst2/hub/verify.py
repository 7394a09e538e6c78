"""Verify a snapshot's files against the digests that the Hub lists, which huggingface_hub does not check.

The Hub identifies a file by its content: a file in Git LFS by its SHA-256, any other by its git blob id. The cache
contains the Hub's listing, and each file's content under its etag. Some mirrors send only one of them, or neither; then
only the size can be checked, or nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.hub.client import ListedFile
from pytest_sst2.utils.hashing import file_digest, git_digest
from pytest_sst2.utils.safe_read import parse_json
from pytest_sst2.utils.typed_json import read_plain

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_ID = re.compile(r"[0-9a-f]{40}")
# Version of the file in which huggingface_hub stores a listing.
_KNOWN_FORMAT = 1
UNLISTED = ListedFile()


@dataclass(frozen=True)
class Damage:
    """A file of a snapshot that differs from the Hub's listing, and a clause that states the problem."""

    path: Path
    problem: str


def damages(folder: Path, patterns: tuple[str, ...], listed: Mapping[str, ListedFile]) -> Iterator[Damage]:
    """Yield the files of a snapshot that differ from the Hub's listing.

    Args:
        folder: The snapshot's folder.
        patterns: Glob patterns of the files to verify. Other programs may add other files.
        listed: The Hub's metadata of each file, if known.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            try:
                problem = _problem(path, name, listed.get(name, UNLISTED))
            except OSError as error:
                problem = f"{name} cannot be read ({error.strerror or error})"
            if problem:
                yield Damage(path, problem)


def _problem(path: Path, name: str, listed: ListedFile) -> str:
    """Return how a file differs from its metadata, or an empty string if no difference is known.

    One matching digest is enough, because no damage could produce it.
    """
    size = path.stat().st_size
    if listed.size is not None and size != listed.size:
        return f"{name} has {size:,} bytes, not the {listed.size:,} that the Hub lists"
    etag = path.resolve().name if path.is_symlink() else ""
    sha256 = {digest for digest in (listed.sha256, etag) if digest and _SHA256.fullmatch(digest)}
    git_ids = {digest for digest in (listed.git_id, etag) if digest and _GIT_ID.fullmatch(digest)}
    checks = []
    if sha256:
        checks.append(("SHA-256", file_digest(path), sha256))
    if git_ids:
        checks.append(("git id", git_digest(path), git_ids))
    if not checks or any(digest in expected for _, digest, expected in checks):
        return ""
    kind, digest, expected = checks[0]
    return f"{name} has the {kind} {digest}, but the Hub lists {' or '.join(sorted(expected))}"


def cached_listing(repository: Path, commit: str) -> dict[str, ListedFile]:
    """Return the Hub's listing of a commit as huggingface_hub stored it; empty if there is none (before 2.0).

    The function of huggingface_hub is not used, because it omits the metadata of Git LFS and returns the pointer's id.

    Args:
        repository: The repository's folder in the cache.
        commit: The snapshot's commit.
    """
    try:
        listing = parse_json((repository / "trees" / f"{commit}.json").read_text(encoding="utf-8"))
        if listing["format_version"] != _KNOWN_FORMAT:
            return {}
        return {name: _cached_file(entry) for name, entry in listing["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # missing or damaged: only the names of the blobs can be checked


def _cached_file(entry: Mapping[str, Any]) -> ListedFile:
    is_lfs = "lfs_sha256" in entry
    size, digest = (entry["lfs_size"], entry["lfs_sha256"]) if is_lfs else (entry["size"], entry["blob_id"])
    return read_plain(ListedFile, {"size": size, ("sha256" if is_lfs else "git_id"): digest})
