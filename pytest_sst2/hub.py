"""The Hugging Face Hub: the cache first, then one quick question, then a download; and one sentence when it fails.

Everything here works on whole snapshots of one commit, so that what was loaded can be named exactly, and so that the
libraries which load from the snapshot's folder never need the network themselves.
"""

from __future__ import annotations

import contextlib
import functools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pytest_sst2.errors import Sst2Error

RepoType = Literal["model", "dataset"]

# An unreachable Hub must be noticed within five seconds, dead names and silent servers included.
REACH_TIMEOUT_SECONDS = 4.0

_CONVERSION_BOT = "SFconvertbot"

T = TypeVar("T")


_CREDENTIALS = re.compile(r"(?<=//)[^/\s@]+@")


class HubError(Sst2Error):
    """The Hub has not given what was asked of it; the message says why in a clause that fits after 'because'.

    An address with a name and a password in it loses them: messages end up in reports.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_CREDENTIALS.sub("", message))


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
    from huggingface_hub.file_download import repo_folder_name

    root = cache_folder() / repo_folder_name(repo_id=repo_id, repo_type=repo_type)
    commits = [revision] if revision else []
    reference = root / "refs" / (revision or "main")
    if reference.is_file():
        commits.insert(0, reference.read_text(encoding="utf-8").strip())
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
        path.read_text(encoding="utf-8").strip()
        for path in references.rglob("*")
        if path.is_file() and not path.is_relative_to(references / "refs" / "pr")
    }


def _nothing_missing(repo_id: str, repo_type: RepoType, commit: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether the snapshot lacks none of the files that the Hub's own client knows to belong to it.

    An interrupted download may have left out a file that no library misses, and that changes the numbers all the
    same: a tokenizer's configuration, the encoder's maximum length.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

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
    if Path(folder).is_dir():
        return Snapshot(Path(folder), Path(folder).name)
    # Mirrors may answer a pinned commit with one of their own, under which the client then files what it got.
    found = cached_snapshot(repo_id, repo_type, revision, patterns, lambda _: True)
    if found is None:
        raise HubError(f"{repo_id} on the Hub at {endpoint()} has no files like {', '.join(patterns)}")
    return found


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

    def ask() -> list[Any]:
        return list(HfApi().get_repo_discussions(repo_id, author=_CONVERSION_BOT, discussion_type="pull_request"))

    try:
        pulls = _explained(repo_id, ask)
    except HubError:
        return None  # discussions can be switched off; there is no conversion then
    found = [pull.git_reference for pull in pulls if pull.author == _CONVERSION_BOT and pull.status != "closed"]
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
        with _impatient():
            return call()
    except errors.GatedRepoError as error:
        raise HubError(
            f"{repo_id} is gated: accept its terms on the Hub, then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(f"the Hub at {endpoint()} has no {repo_id}, or it is private and needs HF_TOKEN") from error
    except errors.RevisionNotFoundError as error:
        raise HubError(f"{repo_id} has no such revision on the Hub at {endpoint()}") from error
    except Exception as error:
        answered = _http_error(error)
        if answered is not None:
            refused = _status(answered) in ("HTTP 401", "HTTP 403")
            log_in = ": log in with `hf auth login` or set HF_TOKEN" if refused else ""
            raise HubError(f"the Hub at {endpoint()} answered {_status(answered)} for {repo_id}{log_in}") from error
        raise HubError(f"{repo_id} could not be had from {endpoint()} ({_root_cause(error)})") from error


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Give requests that the clients would let wait for ever the limit of the others."""
    from huggingface_hub import constants, get_session

    session, most = get_session(), constants.HF_HUB_DOWNLOAD_TIMEOUT
    if not hasattr(session, "event_hooks"):  # before huggingface_hub 1.0, which asks by requests
        with _impatient_requests(session, most):
            yield
        return

    def limit(request: Any) -> None:
        asked = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {name: asked.get(name) or most for name in ("connect", "read", "write", "pool")}

    hooks = session.event_hooks["request"]
    hooks.append(limit)
    try:
        yield
    finally:
        hooks.remove(limit)


@contextlib.contextmanager
def _impatient_requests(session: Any, most: float) -> Iterator[None]:
    """Give the limit to what a session of requests sends in this thread; downloads, in others, have theirs."""
    send = session.send

    def limited(request: Any, **options: Any) -> Any:
        return send(request, **{**options, "timeout": options.get("timeout") or most})

    session.send = limited
    try:
        yield
    finally:
        del session.send


def _status(error: Any) -> str:
    response = getattr(error, "response", None)
    return f"HTTP {response.status_code}" if response is not None else str(error).splitlines()[0]


def _http_error(error: BaseException | None) -> Any:
    """Return the Hub's refusal that ``error`` is or comes from, or None."""
    from huggingface_hub import errors

    while error is not None and not isinstance(error, errors.HfHubHTTPError):
        error = error.__cause__
    return error


def _root_cause(error: BaseException) -> str:
    """Return the innermost error in a few words: the outer ones wrap it in paragraphs."""
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    lines = str(error).strip().splitlines()
    if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
        return "its answer is not what a Hub answers; a proxy's log-in page, perhaps"
    return lines[0][:200] if lines else type(error).__name__


def _quiet_bar() -> Any:
    from huggingface_hub.utils import tqdm

    class Quiet(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Quiet
