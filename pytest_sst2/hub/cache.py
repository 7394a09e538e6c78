"""Find repositories in the cache of huggingface_hub, without any network."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_text

RepoType = Literal["model", "dataset"]
_LARGEST_TOKEN_FILE = 2**16


@dataclass(frozen=True)
class Snapshot:
    """The files of one repository at one commit, in the local cache."""

    folder: Path
    commit: str


@dataclass(frozen=True)
class Lookup:
    """A complete snapshot, or which file of which repository is missing, as a clause."""

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
    path = client().HF_TOKEN_PATH
    if not os.environ.get("HF_TOKEN") and os.path.exists(path):  # noqa: PTH110 - the folder may be unreadable
        try:
            read_text(Path(path), _LARGEST_TOKEN_FILE)
        except Sst2Error as error:
            return f"the token cannot be used: {str(error).rstrip('.')}. HF_TOKEN_PATH, or HF_HOME/token, names it"
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


def locks_folder(repository: Path) -> Path:
    """Return the folder with the locks of a repository, given its folder in the cache."""
    return repository.parent / ".locks" / repository.name


def find_cached(
    repo_ids: Sequence[str],
    repo_type: RepoType,
    revision: str | None,
    missing: Callable[[Path], str],
    patterns: Sequence[str],
) -> Lookup:
    """Return the complete snapshot of the first repository that has one. huggingface_hub knows which commit it is.

    Args:
        repo_ids: ``org/name``, and other names under which the same repository may be cached.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        missing: Returns the name of a file that a snapshot's folder lacks, or an empty string.
        patterns: Names and patterns of the small files that are read if the repository has them. No library notices
            that an interrupted download left one out, but the numbers change.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import HFValidationError, LocalEntryNotFoundError

    reasons = []
    for repo_id in repo_ids:
        unfinished = ""
        try:
            folder = snapshot_download(
                repo_id, repo_type=repo_type, revision=revision, local_files_only=True, allow_patterns=list(patterns)
            )
        except (HFValidationError, LocalEntryNotFoundError) as error:
            if not hasattr(error, "snapshot_path"):
                continue
            # Since huggingface_hub 2.0: the snapshot lacks files that the Hub listed, which the message names.
            folder, unfinished = error.snapshot_path, str(error).partition("missing (")[2].partition(")")[0]
        if not (name := missing(Path(folder)) or unfinished):
            return Lookup(Snapshot(Path(folder), Path(folder).name))
        reasons.append(f"the copy of {repo_id} in {cache_folder()} lacks {name}")
    return Lookup(None, reasons[0] if reasons else _no_copy(repo_ids[0], repo_type, revision))


def _no_copy(repo_id: str, repo_type: RepoType, revision: str | None) -> str:
    """Return the clause for a repository without the wanted commit; it names copies that look like it."""
    root = repository_folder(repo_id, repo_type)
    reason = f"the cache in {cache_folder()} has no copy of {repo_id}"
    if root.is_dir() and not os.access(root, os.R_OK | os.X_OK):
        return f"{root} cannot be read (no permission)"
    if commits := sorted({path.parent.name for path in root.glob("snapshots/*/*")}):
        return f"{reason}@{revision or 'main'}, only other revisions or parts of it ({', '.join(commits[:3])})"
    for other in root.parent.glob("*"):
        if other.name.lower() == root.name.lower() and other.name != root.name:
            return f"{reason}, but one of {other.name.partition('--')[2].replace('--', '/')}"
    return reason
