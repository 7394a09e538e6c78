"""Whether a snapshot's files are what the Hub lists: nothing of the client's holds what came against its digest.

The Hub names a file by what is in it: one in Git LFS by its SHA-256, any other by the id that git gives it. The client
keeps the Hub's listing beside a snapshot, and each file's content under the name that the Hub gave it with the download
(the etag). Some mirrors pass on one of them and some neither; then only the size is left, or nothing.
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
# Of the file in which the client keeps a listing.
_KNOWN_FORMAT = 1
UNLISTED = ListedFile()


@dataclass(frozen=True)
class Damage:
    """A file of a snapshot that is not what the Hub lists, and a clause that says so."""

    path: Path
    said: str


def damages(folder: Path, patterns: tuple[str, ...], listed: Mapping[str, ListedFile]) -> Iterator[Damage]:
    """Yield the files of a snapshot that are not what they should be.

    Args:
        folder: The snapshot's.
        patterns: Which files count; others are another program's, and are not read.
        listed: What the Hub lists, as far as it is known.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            try:
                said = _damage(path, name, listed.get(name, UNLISTED))
            except OSError as error:
                said = f"{name} cannot be read ({error.strerror or error})"
            if said:
                yield Damage(path, said)


def _damage(path: Path, name: str, listed: ListedFile) -> str:
    """Return what is wrong with a file, empty where nothing is known to be.

    It is sound if it has one of the digests that were given for it: no damage would give it that.
    """
    size = path.stat().st_size
    if listed.size is not None and size != listed.size:
        return f"{name} has {size:,} bytes, not the {listed.size:,} that the Hub lists"
    etag = path.resolve().name if path.is_symlink() else ""
    sha256 = {digest for digest in (listed.sha256, etag) if digest and _SHA256.fullmatch(digest)}
    git_ids = {digest for digest in (listed.git_id, etag) if digest and _GIT_ID.fullmatch(digest)}
    found = []
    if sha256:
        found.append(("SHA-256", file_digest(path), sha256))
    if git_ids:
        found.append(("the git id", git_digest(path), git_ids))
    if not found or any(digest in expected for _, digest, expected in found):
        return ""
    kind, digest, expected = found[0]
    return f"{name} has {kind} {digest}, not {' or '.join(sorted(expected))} as the Hub gave it"


def kept_listing(repository: Path, commit: str) -> dict[str, ListedFile]:
    """Return what the client has kept of the Hub's listing of a commit; empty where it has nothing (before 2.0).

    Its own function for that leaves out what is in Git LFS, and names such a file by the id of its pointer.

    Args:
        repository: The repository's folder in the cache.
        commit: The snapshot's.
    """
    try:
        kept = parse_json((repository / "trees" / f"{commit}.json").read_text(encoding="utf-8"))
        if kept["format_version"] != _KNOWN_FORMAT:
            return {}
        return {name: _kept_file(entry) for name, entry in kept["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # there is none, or it was damaged: then the names of the blobs are what is left


def _kept_file(entry: Mapping[str, Any]) -> ListedFile:
    is_lfs = "lfs_sha256" in entry
    size, digest = (entry["lfs_size"], entry["lfs_sha256"]) if is_lfs else (entry["size"], entry["blob_id"])
    return read_plain(ListedFile, {"size": size, ("sha256" if is_lfs else "git_id"): digest})
