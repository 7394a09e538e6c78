"""The Hugging Face Hub: the cache first, then one quick question, then a download; and one sentence when it fails.

Everything here works on whole snapshots of one commit, so that what was loaded can be named exactly, and so that the
libraries which load from the snapshot's folder never need the network themselves.
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

# An unreachable Hub must be noticed within five seconds, dead names and silent servers included.
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
    """Return the folder in which the Hub's clients keep what they downloaded."""
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
    """Return a snapshot that is in the cache and complete, without any network.

    With a revision only that one will do. Without one, the commit that ``main`` pointed at when it was last
    downloaded comes first, then the newest that was not downloaded under another revision's name.

    Args:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: The files that were, or would be, downloaded.
        complete: Tells whether a snapshot's folder has all that cannot be done without.
    """
    root = repository_folder(repo_id, repo_type)
    commits = [revision] if revision else []
    reference = root / "refs" / (revision or "main")
    if reference.is_file():
        commits.insert(0, reference.read_text(encoding="utf-8", errors="replace").strip())
    if revision is None and (root / "snapshots").is_dir():
        others = sorted((root / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        named = _commits_of_other_revisions(root)
        commits += [path.name for path in others if path.name not in named]
    for commit in filter(None, dict.fromkeys(commits)):
        folder = root / "snapshots" / commit
        if folder.is_dir() and complete(folder) and _nothing_missing(repo_id, repo_type, commit, patterns):
            return Snapshot(folder, commit)
    return None


def _commits_of_other_revisions(root: Path) -> set[str]:
    """Return the commits that a branch or tag was downloaded by name for; conversion pull requests stand for main."""
    references = root / "refs"
    return {
        path.read_text(encoding="utf-8", errors="replace").strip()
        for path in references.rglob("*")
        if path.is_file() and not path.is_relative_to(references / "refs" / "pr")
    }


def _nothing_missing(repo_id: str, repo_type: RepoType, commit: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether the snapshot lacks none of the files that the Hub's own client knows to belong to it.

    An interrupted download may have left out a file that no library misses, and that changes the numbers all the
    same: a tokenizer's configuration, the encoder's maximum length.
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
    safetensors: bool = False,
) -> Snapshot:
    """Download the files of a repository that match ``patterns``, all at one commit, each as the Hub lists it.

    Of several processes that want the same one downloads it, and the others wait for that.

    Args:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: Which files.
        complete: Tells whether a snapshot that another process has brought meanwhile has all that is needed.
        safetensors: Whether it is a model, of which pickled weights are not taken: where main has nothing else, the
            Hub's own conversion is.

    Raises:
        HubError: The Hub is unreachable, refuses, breaks off, or gives what is not what it lists.
    """
    check_reachable()
    if _patience().is_over:
        raise hub_process.given_up(endpoint(), "nothing came of what was asked for before", _patience())
    import huggingface_hub

    _ = huggingface_hub.snapshot_download  # takes a second, which the others need not wait for
    question = Question(repo_id, repo_type, revision, patterns, safetensors)
    root = repository_folder(repo_id, repo_type)
    with hub_lock.turn(root, _patience()) as turn:
        if turn.waited:
            brought = cached_snapshot(repo_id, repo_type, revision, patterns, complete)
            if brought is not None:
                return brought
        if turn.failure:  # to ask again would end in the same
            raise HubError(turn.failure)
        return _downloaded(question, root, turn)


def _downloaded(question: Question, root: Path, turn: hub_lock.Turn) -> Snapshot:
    listing = hub_process.ask(question, root, _patience(), _client_environment(), turn.beat)
    folder = root / "snapshots" / listing.commit
    if not folder.is_dir():
        raise HubError(
            f"{question.repo_id} on the Hub at {endpoint()} has no files like {', '.join(question.patterns)}"
        )
    kept = hub_digests.kept_listing(root, listing.commit)
    bad = list(hub_digests.damages(folder, question.patterns, {**listing.files, **kept}))
    for damage in bad:
        damage.path.resolve().unlink(missing_ok=True)
        damage.path.unlink(missing_ok=True)
    if bad:
        raise HubError(
            f"what {endpoint()} sent of {question.repo_id} is damaged, and was removed: {bad[0].said}; run again"
        )
    if listing.commit != listing.revision:
        _point_at(root / "refs", listing.revision or "main", listing.commit)
    return Snapshot(folder, listing.commit)


def _point_at(references: Path, revision: str, commit: str) -> None:
    """Have the cache find a snapshot by its revision from now on: it is whole and was looked at."""
    path = references / revision
    if not path.is_file() or path.read_bytes() != commit.encode():
        write_atomically(path, commit)


def verify_snapshot(repo_id: str, repo_type: RepoType, snapshot: Snapshot, patterns: tuple[str, ...]) -> None:
    """Refuse a snapshot from the cache in which a file is no longer what the Hub gave.

    Raises:
        Sst2Error: What file, what is wrong with it, and what to do.
    """
    kept = hub_digests.kept_listing(repository_folder(repo_id, repo_type), snapshot.commit)
    for damage in hub_digests.damages(snapshot.folder, patterns, kept):
        raise Sst2Error(
            f"{damage.path}, in the Hub's cache, was damaged or replaced: {damage.said}. Remove "
            f"{damage.path.resolve()} and run again where the Hub can be reached."
        )


@functools.cache
def _patience() -> hub_process.Patience:
    return hub_process.whole_patience()


def _client_environment() -> dict[str, str]:
    """Return what the client's process is told: the Hub and the cache in use here, and to be plain and quiet.

    Xet, the Hub's other way to send a file, has retries of its own and shows nothing of how far it is.
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
    """Ask the Hub for a sign of life, once a process and endpoint.

    Raises:
        HubError: There was none within four seconds, or the environment forbids to ask.
    """
    reason = _unreachable_reason(endpoint())
    if reason:
        raise HubError(reason)


@functools.cache
def _unreachable_reason(address: str) -> str:
    """Return why the Hub cannot be reached, or an empty text when it answered, whatever it answered."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids to ask the Hub"
    answers: list[str] = []
    # On a busy machine this takes a second by itself, which is not the Hub's.
    session = get_session()

    def ask(*, again: bool = True) -> None:
        try:
            session.head(f"{address}/api/models", timeout=REACH_TIMEOUT_SECONDS - 0.5)
        except Exception as error:
            if again and is_hang_up(error):
                ask(again=False)
                return
            answers.append(f"{address} cannot be reached ({root_cause(error)})")
        else:
            answers.append("")

    # In a thread, since looking up a dead name can take longer than any timeout of the HTTP client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS)
    return answers[0] if answers else f"{address} gave no answer in {REACH_TIMEOUT_SECONDS:g} s"
