"""Find repositories in the cache of huggingface_hub, without any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RepoType = Literal["model", "dataset"]


@dataclass(frozen=True)
class Snapshot:
    """The files of one repository at one commit, in the local cache."""

    folder: Path
    commit: str


@dataclass(frozen=True)
class Lookup:
    """The result of a look into the cache.

    Attributes:
        snapshot: The first complete snapshot, or None.
        reason: Without one, which file of which repository is missing, as a clause.
    """

    snapshot: Snapshot | None
    reason: str = ""


def endpoint() -> str:
    """Return the address of the Hub in use (``HF_ENDPOINT`` or the public one)."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def is_offline() -> bool:
    """Return whether ``HF_HUB_OFFLINE`` or ``TRANSFORMERS_OFFLINE`` forbids network access."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def cache_folder() -> Path:
    """Return the cache of huggingface_hub (``HF_HUB_CACHE``, ``HF_HOME`` or its default)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repo_id: str, repo_type: RepoType) -> Path:
    """Return the folder of a repository in the cache."""
    return cache_folder() / f"{repo_type}s--{repo_id.replace('/', '--')}"


def find_cached(
    repo_ids: Sequence[str],
    repo_type: RepoType,
    revision: str | None,
    missing: Callable[[Path], str],
    patterns: Sequence[str],
) -> Lookup:
    """Return the first complete snapshot of the first repository that has one.

    With a revision only that one counts. Without one, the commit of ``main`` at its last download comes first, then
    the newest commit that was not downloaded by the name of another revision.

    Args:
        repo_ids: ``org/name``, and other names under which the same repository may be cached.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        missing: Returns the name of a file that a snapshot's folder lacks, or an empty string.
        patterns: Names and patterns of the small files that are read if the repository has them.
    """
    reasons = []
    for repo_id in repo_ids:
        for snapshot in _snapshots(repository_folder(repo_id, repo_type), revision):
            name = missing(snapshot.folder) or _unfinished(repo_id, repo_type, snapshot, patterns)
            if not name:
                return Lookup(snapshot)
            reasons.append(f"the copy of {repo_id} in {cache_folder()} lacks {name}")
    wanted = f"{repo_ids[0]}@{revision}" if revision else repo_ids[0]
    return Lookup(None, reasons[0] if reasons else f"the cache in {cache_folder()} has no copy of {wanted}")


def _snapshots(root: Path, revision: str | None) -> Iterator[Snapshot]:
    commits = [revision] if revision else []
    reference = root / "refs" / (revision or "main")
    if reference.is_file():
        commits.insert(0, _commit_of(reference))
    if revision is None and (root / "snapshots").is_dir():
        newest_first = sorted((root / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        references = (path for path in (root / "refs").rglob("*") if path.is_file())
        of_revisions = {_commit_of(path) for path in references}
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
