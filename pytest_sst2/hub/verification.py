"""Compare downloaded files with the Hub's listing. Neither HTTP nor Xet notices a bit that a proxy changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pytest_sst2.hub.cache import endpoint
from pytest_sst2.hub.errors import HubError
from pytest_sst2.utils.hashing import file_digest


def verify(repo_id: str, folder: Path, entries: dict[str, Any], started: float) -> None:
    """Report a file that differs from the Hub's listing or is missing.

    A damaged file that this download brought is removed. Of one that was there before, only the snapshot's link to it
    is removed, so that the copy stays incomplete: others may use the file, and the listing of a mirror can be wrong.

    Args:
        repo_id: ``org/name``.
        folder: The snapshot's folder.
        entries: The entry of each file in the Hub's listing.
        started: Time of the download's start.
    """
    problems = []
    for name, entry in entries.items():
        path = folder / name
        if not path.exists():
            # A client takes a link for a file, for example after the repository's folder was moved to another disk.
            remedy = f"remove {folder.parents[1]} and run again" if path.is_symlink() else "run again"
            problems.append(f"{repo_id} was not downloaded completely: {name} is missing; {remedy}")
        elif not (difference := _difference(path, entry)):
            continue
        elif path.stat().st_mtime >= started:
            sent = f"{endpoint()} sent a damaged file of {repo_id}, which was removed"
            problems.append(f"{sent}: {name} {difference}; run again")
            _remove(path)
        else:
            problems.append(f"{path} was damaged before: it {difference}; remove {path.resolve()} and run again")
            if path.is_symlink():
                path.unlink()
    if problems:
        raise HubError(problems[0])


def _remove(path: Path) -> None:
    """Remove a link to the repository's blob, that blob, and the blob that repositories share if it is a link."""
    while path.is_symlink():
        link, path = path, path.parent / path.readlink()
        link.unlink()
    path.unlink(missing_ok=True)


def _difference(path: Path, entry: Any) -> str:
    """Return how a file differs from its entry in the Hub's listing, as a clause; empty if it is equal."""
    if entry.size is not None and path.stat().st_size != entry.size:
        return f"has {path.stat().st_size:,} bytes, not the {entry.size:,} that the Hub lists"
    if entry.lfs is not None:
        return "" if file_digest(path) == entry.lfs["sha256"] else f"does not have SHA-256 {entry.lfs['sha256']}"
    return "" if entry.blob_id in (None, _git_id(path)) else f"does not have the git id {entry.blob_id}"


def _git_id(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
