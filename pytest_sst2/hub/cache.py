"""Find repositories in the cache of huggingface_hub, without any network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_text

RepoType = Literal["model", "dataset"]
_LARGEST_TOKEN_FILE = 2**16


@dataclass(frozen=True)
class Snapshot:
    """The files of one repository at one commit, in the local cache; ``note`` if it is not the wanted one."""

    folder: Path
    commit: str
    note: str = ""


@dataclass(frozen=True)
class Lookup:
    """The result of a look into the cache.

    Attributes:
        snapshot: The first complete snapshot, or None.
        reason: Without one, which file of which repository is missing, as a clause.
    """

    snapshot: Snapshot | None
    reason: str = ""


def client() -> Any:
    """Return the constants of huggingface_hub: the addresses, folders and settings that it takes from the environment.

    Raises:
        Sst2Error: The client refuses the value of an environment variable.
    """
    try:
        from huggingface_hub import constants
    except ValueError as error:
        raise Sst2Error(
            f"huggingface_hub cannot be loaded: {error}. Correct the environment variable HF_... that has this value."
        ) from error
    return constants


def token_problem() -> str:
    """Return why huggingface_hub cannot read the file of the user's token, as a clause; empty if it need not or can.

    It would wait for a pipe, and end with a traceback for a folder or a file that is not text.
    """
    path = Path(client().HF_TOKEN_PATH)
    if os.environ.get("HF_TOKEN") or not os.path.exists(path):  # noqa: PTH110 - the folder may be unreadable
        return ""
    try:
        read_text(path, _LARGEST_TOKEN_FILE)
    except Sst2Error as error:
        return f"the token cannot be used: {str(error).rstrip('.')}. HF_TOKEN_PATH, or HF_HOME/token, names this file"
    return ""


def endpoint() -> str:
    """Return the address of the Hub in use (``HF_ENDPOINT`` or the public one)."""
    return str(client().ENDPOINT)


def is_offline() -> bool:
    """Return whether ``HF_HUB_OFFLINE`` or ``TRANSFORMERS_OFFLINE`` forbids network access."""
    return bool(client().HF_HUB_OFFLINE)


def cache_folder() -> Path:
    """Return the cache of huggingface_hub (``HF_HUB_CACHE``, ``HF_HOME`` or its default)."""
    return Path(client().HF_HUB_CACHE)


def repository_folder(repo_id: str, repo_type: RepoType) -> Path:
    """Return the folder of a repository in the cache."""
    return cache_folder() / f"{repo_type}s--{repo_id.replace('/', '--')}"


def find_cached(
    repo_ids: Sequence[str],
    repo_type: RepoType,
    revision: str | None,
    missing: Callable[[Path], str],
    patterns: Sequence[str],
    *,
    any_commit: bool = False,
) -> Lookup:
    """Return the first complete snapshot of the first repository that has one.

    Args:
        repo_ids: ``org/name``, and other names under which the same repository may be cached.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        missing: Returns the name of a file that a snapshot's folder lacks, or an empty string.
        patterns: Names and patterns of the small files that are read if the repository has them.
        any_commit: Whether another commit may stand for main: the newest that has no revision of its own. It is one
            that was downloaded by its id, or an earlier main.
    """
    reasons = []
    for repo_id in repo_ids:
        try:
            for snapshot in _snapshots(repository_folder(repo_id, repo_type), revision, any_commit=any_commit):
                name = missing(snapshot.folder) or _unfinished(repo_id, repo_type, snapshot, patterns)
                if not name:
                    return Lookup(snapshot)
                reasons.append(f"the copy of {repo_id} in {cache_folder()} lacks {name}")
        except OSError as error:
            reasons.append(f"{error.filename or cache_folder()} cannot be read ({error.strerror or error})")
    return Lookup(None, reasons[0] if reasons else _no_copy(repo_ids[0], repo_type, revision))


def _no_copy(repo_id: str, repo_type: RepoType, revision: str | None) -> str:
    """Return the clause for a repository without the wanted commit; it names copies that look like it."""
    root = repository_folder(repo_id, repo_type)
    reason = f"the cache in {cache_folder()} has no copy of {repo_id}"
    if any(root.glob("snapshots/*/*")):
        return f"{reason}@{revision or 'main'}, only other revisions"
    other = next((path.name for path in root.parent.glob("*") if path.name.lower() == root.name.lower()), root.name)
    other_id = other.partition("--")[2].replace("--", "/")
    return reason if other == root.name else f"{reason}, but one of {other_id}"


def _snapshots(root: Path, revision: str | None, *, any_commit: bool) -> Iterator[Snapshot]:
    commits = [revision or ""]
    if (reference := root / "refs" / (revision or "main")).is_file():
        commits.insert(0, _commit_of(reference))
    if revision is None and any_commit:
        newest_first = sorted(root.glob("snapshots/*"), key=lambda path: path.stat().st_mtime, reverse=True)
        of_revisions = {_commit_of(path) for path in root.glob("refs/**/*") if path.is_file()}
        commits += [path.name for path in newest_first if path.name not in of_revisions]
    for commit in filter(None, dict.fromkeys(commits)):
        if (root / "snapshots" / commit).is_dir():
            yield Snapshot(root / "snapshots" / commit, commit)


def _commit_of(reference: Path) -> str:
    return reference.read_text(encoding="utf-8", errors="replace").strip()


def _unfinished(repo_id: str, repo_type: RepoType, snapshot: Snapshot, patterns: Sequence[str]) -> str:
    """Return the name of a file that an interrupted download left out, or an empty string.

    No library notices that a small file is missing, such as a tokenizer's configuration, but the numbers change. The
    client keeps the listing of a repository since huggingface_hub 2.0.
    """
    import huggingface_hub
    from huggingface_hub.utils import filter_repo_objects

    tree = getattr(huggingface_hub, "get_cached_repo_tree", None)
    try:
        files = tree(repo_id, repo_type=repo_type, revision=snapshot.commit) if tree else []
    except Exception:  # no listing is kept of this commit, or it is damaged
        return ""
    names = filter_repo_objects((file.path for file in files), allow_patterns=list(patterns))
    return next((name for name in names if not (snapshot.folder / name).exists()), "")
