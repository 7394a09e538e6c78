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
from typing import Any, Literal, TypeVar

from pytest_sst2.errors import Sst2Error

RepoType = Literal["model", "dataset"]

# An unreachable Hub must be noticed within five seconds, dead names and silent servers included.
REACH_TIMEOUT_SECONDS = 4.0

_CONVERSION_BOT = "SFconvertbot"

T = TypeVar("T")


class HubError(Sst2Error):
    """The Hub has not given what was asked of it; the message says why in a clause that fits after 'because'."""


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


def cached_snapshot(
    repo_id: str, repo_type: RepoType, revision: str | None, complete: Callable[[Path], bool]
) -> Snapshot | None:
    """Return a snapshot that is in the cache and complete, without any network.

    With a revision only that one will do. Without one, the commit that ``main`` pointed at when it was last
    downloaded comes first, then the newest other.

    Args:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        complete: Tells whether a snapshot's folder has all that is needed of it.
    """
    from huggingface_hub.file_download import repo_folder_name

    root = cache_folder() / repo_folder_name(repo_id=repo_id, repo_type=repo_type)
    commits = [revision] if revision else []
    reference = root / "refs" / (revision or "main")
    if reference.is_file():
        commits.insert(0, reference.read_text(encoding="utf-8").strip())
    if revision is None and (root / "snapshots").is_dir():
        others = sorted((root / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        commits += [path.name for path in others]
    for commit in dict.fromkeys(commits):
        folder = root / "snapshots" / commit
        if folder.is_dir() and complete(folder):
            return Snapshot(folder, commit)
    return None


def download_snapshot(repo_id: str, repo_type: RepoType, revision: str | None, patterns: tuple[str, ...]) -> Snapshot:
    """Download the files of a repository that match ``patterns``, all at one commit.

    Raises:
        HubError: The Hub is unreachable, refuses, or breaks off.
    """
    from huggingface_hub import snapshot_download

    check_reachable()
    folder = _explained(
        repo_id,
        lambda: snapshot_download(
            repo_id, repo_type=repo_type, revision=revision, allow_patterns=list(patterns), tqdm_class=_quiet_bar()
        ),
    )
    return Snapshot(Path(folder), Path(folder).name)


def list_files(repo_id: str, repo_type: RepoType, revision: str | None) -> list[str]:
    """Return the names of a repository's files.

    Raises:
        HubError: The Hub is unreachable or refuses.
    """
    from huggingface_hub import HfApi

    check_reachable()
    info = _explained(repo_id, lambda: HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision, timeout=10))
    return [sibling.rfilename for sibling in info.siblings or []]


def safetensors_conversion(repo_id: str) -> str | None:
    """Return the revision of the Hub's own safetensors conversion of a model, ``refs/pr/N``, or None.

    Old repositories hold pickled weights only, which can run code when they are read. For many of them the Hub's
    conversion bot has opened a pull request with the same tensors as safetensors.

    Raises:
        HubError: The Hub is unreachable or refuses.
    """
    from huggingface_hub import HfApi

    check_reachable()
    discussions = _explained(
        repo_id,
        lambda: list(HfApi().get_repo_discussions(repo_id, author=_CONVERSION_BOT, discussion_type="pull_request")),
    )
    found = [pull.git_reference for pull in discussions if pull.author == _CONVERSION_BOT and pull.status != "closed"]
    return found[0] if found else None


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

    def ask() -> None:
        try:
            get_session().head(f"{address}/api/models", timeout=REACH_TIMEOUT_SECONDS - 0.5)
        except Exception as error:
            answers.append(f"{address} cannot be reached ({_root_cause(error)})")
        else:
            answers.append("")

    # In a thread, since looking up a dead name can take longer than any timeout of the HTTP client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS)
    return answers[0] if answers else f"{address} gave no answer in {REACH_TIMEOUT_SECONDS:g} s"


def _explained(repo_id: str, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, its failure turned into one clause."""
    from huggingface_hub import errors

    try:
        return call()
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo_id} is gated: accept its terms on the Hub, then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(f"the Hub at {endpoint()} has no {repo_id}, or it is private and needs HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo_id} has no such revision on the Hub at {endpoint()}") from error
    except errors.HfHubHTTPError as error:
        raise HubError(f"the Hub at {endpoint()} answered {_status(error)} for {repo_id}") from error
    except Exception as error:
        raise HubError(f"{repo_id} could not be had from {endpoint()} ({_root_cause(error)})") from error


def _status(error: Any) -> str:
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else str(error).splitlines()[0]


def _root_cause(error: BaseException) -> str:
    """Return the innermost error in a few words: the outer ones wrap it in paragraphs."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _quiet_bar() -> Any:
    from huggingface_hub.utils import tqdm

    class Quiet(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Quiet
