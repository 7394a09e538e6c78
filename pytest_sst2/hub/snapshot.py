"""Return a snapshot of a Hub repository: from the cache, otherwise by a download after a quick reachability check.

A snapshot is complete and belongs to one commit. Therefore records can name exactly what was loaded, and the libraries
that load from the snapshot's folder never need the network.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pytest_sst2.hub import lock as hub_lock
from pytest_sst2.hub import process as hub_process
from pytest_sst2.hub import verify as hub_digests
from pytest_sst2.hub.client import Question
from pytest_sst2.hub.errors import HubError, is_hang_up, root_cause
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error

RepoType = Literal["model", "dataset"]

# An unreachable Hub must be detected within five seconds, unknown hosts and silent servers included.
REACH_TIMEOUT_SECONDS = 4.0


@dataclass(frozen=True)
class Snapshot:
    """The files of one repository at one commit, in the local cache."""

    folder: Path
    commit: str


def endpoint() -> str:
    """Return the address of the Hub in use (``HF_ENDPOINT`` or the public one)."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cache_folder() -> Path:
    """Return the folder of the Hub's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def repository_folder(repo_id: str, repo_type: RepoType) -> Path:
    """Return the folder of a repository in the cache."""
    return cache_folder() / f"{repo_type}s--{repo_id.replace('/', '--')}"


def cached_snapshot(
    repo_id: str,
    repo_type: RepoType,
    revision: str | None,
    patterns: tuple[str, ...],
    complete: Callable[[Path], bool],
) -> Snapshot | None:
    """Return a complete snapshot from the cache without using the network, or None on a cache miss.

    A given revision must match. Without one, the commit that ``main`` referred to at its last download is preferred,
    then the newest snapshot that was not downloaded as another revision.

    Args:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: Glob patterns of the files that belong to the snapshot.
        complete: Returns whether a snapshot's folder contains all required files.
    """
    root = repository_folder(repo_id, repo_type)
    commits = [revision] if revision else []
    reference = root / "refs" / (revision or "main")
    if reference.is_file():
        commits.insert(0, reference.read_text(encoding="utf-8", errors="replace").strip())
    if revision is None and (root / "snapshots").is_dir():
        others = sorted((root / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        other_revisions = _commits_of_other_revisions(root)
        commits += [path.name for path in others if path.name not in other_revisions]
    for commit in filter(None, dict.fromkeys(commits)):
        folder = root / "snapshots" / commit
        if folder.is_dir() and complete(folder) and _nothing_missing(repo_id, repo_type, commit, patterns):
            return Snapshot(folder, commit)
    return None


def _commits_of_other_revisions(root: Path) -> set[str]:
    """Return the commits that were downloaded as a branch or tag. Conversion pull requests count as main."""
    references = root / "refs"
    return {
        path.read_text(encoding="utf-8", errors="replace").strip()
        for path in references.rglob("*")
        if path.is_file() and not path.is_relative_to(references / "refs" / "pr")
    }


def _nothing_missing(repo_id: str, repo_type: RepoType, commit: str, patterns: tuple[str, ...]) -> bool:
    """Return whether the snapshot has all files that huggingface_hub knows to belong to it.

    An interrupted download can lack a file that no library requires but that changes results, such as the tokenizer's
    configuration or the encoder's maximum length.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import LocalEntryNotFoundError

    try:
        snapshot_download(
            repo_id,
            repo_type=repo_type,
            revision=commit,
            cache_dir=cache_folder(),
            allow_patterns=list(patterns),
            local_files_only=True,
        )
    except LocalEntryNotFoundError:
        return False
    return True


def download_snapshot(
    repo_id: str,
    repo_type: RepoType,
    revision: str | None,
    patterns: tuple[str, ...],
    complete: Callable[[Path], bool] = lambda _: True,
    *,
    unsafe_files: tuple[str, ...] = (),
    safe_files: tuple[str, ...] = (),
    unsafe_reason: str = "",
) -> Snapshot:
    """Download the files of a repository that match ``patterns``, all at one commit, and verify them.

    If several processes request the same repository, one downloads it and the others wait.

    Args:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: Glob patterns of the files.
        complete: Returns whether a snapshot that another process downloaded in the meantime has all required files.
        unsafe_files: Names of files that refuse a repository, unless it also contains one of ``safe_files``. If main
            has unsafe files only, the Hub's own safetensors conversion is used.
        safe_files: Names of the files in a safe format.
        unsafe_reason: Why ``unsafe_files`` are refused, as the predicate of a sentence about the repository.

    Raises:
        HubError: The Hub is unreachable or refuses the request, the download fails, or a file differs from the listing.
    """
    check_reachable()
    if _patience().is_over:
        raise hub_process.given_up(endpoint(), "an earlier request got no data", _patience())
    import huggingface_hub

    _ = huggingface_hub.snapshot_download  # this lazy import takes a second, so do it before taking the lock
    question = Question(repo_id, repo_type, revision, patterns, unsafe_files, safe_files, unsafe_reason)
    root = repository_folder(repo_id, repo_type)
    with hub_lock.turn(root, _patience()) as turn:
        if turn.waited:
            snapshot = cached_snapshot(repo_id, repo_type, revision, patterns, complete)
            if snapshot is not None:
                return snapshot
        if turn.failure:  # another request would fail in the same way
            raise HubError(turn.failure)
        return _downloaded(question, root, turn)


def _downloaded(question: Question, root: Path, turn: hub_lock.Turn) -> Snapshot:
    listing = hub_process.ask(question, root, _patience(), _client_environment(), turn.beat)
    folder = root / "snapshots" / listing.commit
    if not folder.is_dir():
        raise HubError(
            f"{question.repo_id} on the Hub at {endpoint()} has no files that match {', '.join(question.patterns)}"
        )
    cached_listing = hub_digests.cached_listing(root, listing.commit)
    bad = list(hub_digests.damages(folder, question.patterns, {**listing.files, **cached_listing}))
    for damage in bad:
        damage.path.resolve().unlink(missing_ok=True)
        damage.path.unlink(missing_ok=True)
    if bad:
        raise HubError(
            f"{endpoint()} sent a damaged file of {question.repo_id}, which was removed: {bad[0].problem}; run again"
        )
    if listing.commit != listing.revision:
        _point_at(root / "refs", listing.revision or "main", listing.commit)
    return Snapshot(folder, listing.commit)


def _point_at(references: Path, revision: str, commit: str) -> None:
    """Write the reference by which the cache finds a verified snapshot of a revision."""
    path = references / revision
    if not path.is_file() or path.read_bytes() != commit.encode():
        write_atomically(path, commit)


def verify_snapshot(repo_id: str, repo_type: RepoType, snapshot: Snapshot, patterns: tuple[str, ...]) -> None:
    """Refuse a cached snapshot with a file that was damaged or replaced since its download.

    Raises:
        Sst2Error: A file differs from the Hub's listing. The message names the file and the remedy.
    """
    cached_listing = hub_digests.cached_listing(repository_folder(repo_id, repo_type), snapshot.commit)
    for damage in hub_digests.damages(snapshot.folder, patterns, cached_listing):
        raise Sst2Error(
            f"{damage.path} in the Hub's cache was damaged or replaced: {damage.problem}. Remove "
            f"{damage.path.resolve()} and run again where the Hub can be reached."
        )


@functools.cache
def _patience() -> hub_process.Patience:
    return hub_process.whole_patience()


def _client_environment() -> dict[str, str]:
    """Return the environment variables of the download process: this Hub, this cache, and no progress bars.

    Xet, the Hub's other transfer protocol, is disabled because it retries by its own rules and shows no progress on
    disk.
    """
    return {
        "HF_ENDPOINT": endpoint(),
        "HF_HUB_CACHE": str(cache_folder()),
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def check_reachable() -> None:
    """Check that the Hub answers, once per process and endpoint.

    Raises:
        HubError: The Hub did not answer within four seconds, or the environment sets offline mode.
    """
    reason = _unreachable_reason(endpoint())
    if reason:
        raise HubError(reason)


@functools.cache
def _unreachable_reason(address: str) -> str:
    """Return why the Hub cannot be reached, or an empty string if it answered with any status."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "the Hub is disabled by HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE)"
    reasons: list[str] = []
    # Created first, because this can take a second on a busy machine.
    session = get_session()

    def ask(*, again: bool = True) -> None:
        try:
            session.head(f"{address}/api/models", timeout=REACH_TIMEOUT_SECONDS - 0.5)
        except Exception as error:
            if again and is_hang_up(error):
                ask(again=False)
                return
            reasons.append(f"{address} cannot be reached ({root_cause(error)})")
        else:
            reasons.append("")

    # In a thread, because the look-up of an unknown host can exceed every timeout of the HTTP client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS)
    return reasons[0] if reasons else f"{address} gave no answer within {REACH_TIMEOUT_SECONDS:g} s"
