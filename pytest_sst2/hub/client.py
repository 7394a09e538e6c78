"""Call huggingface_hub: resolve the commit, list the files, download them.

Some of these calls may never return. ``worker`` runs them in a process that can be killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_sst2.hub.errors import HubError, explained, http_response, http_status, refused_token

_CONVERSION_BOT = "SFconvertbot"
# HTTP statuses after which a retry may help. huggingface_hub itself does not retry requests for a listing.
_TRANSIENT = (429, 500, 502, 503, 504)
_PAUSES_SECONDS = (1.0, 3.0)
_LISTING_TIMEOUT_SECONDS = 10.0

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """A request for a download.

    Attributes:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: Glob patterns of the files.
        unsafe_files: Names of files that refuse a repository, unless it also contains one of ``safe_files``.
        safe_files: Names of the files in a safe format.
        unsafe_reason: Why ``unsafe_files`` are refused, as the predicate of a sentence about the repository.
    """

    repo_id: str
    repo_type: str
    revision: str | None
    patterns: tuple[str, ...]
    unsafe_files: tuple[str, ...] = ()
    safe_files: tuple[str, ...] = ()
    unsafe_reason: str = ""


@dataclass(frozen=True)
class ListedFile:
    """The Hub's metadata of a file; None for a value that it does not list.

    A file in Git LFS has the SHA-256 of its content, any other file has its git blob id.
    """

    size: int | None = None
    sha256: str | None = None
    git_id: str | None = None

    @classmethod
    def of(cls, entry: Any) -> ListedFile:
        """Return the metadata from an entry of huggingface_hub."""
        if entry.lfs is not None:
            return cls(entry.lfs["size"], entry.lfs["sha256"], None)
        return cls(entry.size, None, entry.blob_id)


@dataclass(frozen=True)
class Listing:
    """The matching files of a repository at one commit, and the revision that resolved to it (None: main)."""

    commit: str
    revision: str | None
    files: dict[str, ListedFile]


def download(question: Question, say: Callable[[str, object], None]) -> Listing:
    """Download the matching files of a repository at one commit, and return the Hub's listing of them.

    Args:
        question: The request.
        say: Called with ``bytes`` and the total size before the download starts, if the Hub lists all sizes.

    Raises:
        HubError: The Hub refuses the request, or the download fails.
    """
    from huggingface_hub import snapshot_download

    listing = _listing(question)
    sizes = [file.size for file in listing.files.values() if file.size is not None]
    if len(sizes) == len(listing.files):
        say("bytes", sum(sizes))

    def fetch() -> None:
        patterns = list(question.patterns)
        snapshot_download(
            question.repo_id, repo_type=question.repo_type, revision=listing.commit, allow_patterns=patterns
        )

    _ask(question, fetch)
    return listing


def _listing(question: Question) -> Listing:
    """Return the files to download. Use the Hub's safetensors conversion if main has unsafe files only."""
    listing, names = _info(question, question.revision)
    base_names = {name.rpartition("/")[2] for name in names}
    if base_names.isdisjoint(question.safe_files) and not base_names.isdisjoint(question.unsafe_files):
        conversion = _conversion(question) if question.revision is None else None
        if conversion is None:
            reason = "the pinned revision has no others" if question.revision else "has no safetensors conversion"
            raise HubError(f"{question.repo_id} on the Hub {question.unsafe_reason}, and {reason}")
        listing, _ = _info(question, conversion)
    return listing


def _info(question: Question, revision: str | None) -> tuple[Listing, list[str]]:
    """Return the Hub's listing of the matching files at a revision, and the names of all its files."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    def ask() -> tuple[Listing, list[str]]:
        info = HfApi().repo_info(
            question.repo_id,
            repo_type=question.repo_type,
            revision=revision,
            files_metadata=True,
            timeout=_LISTING_TIMEOUT_SECONDS,
        )
        if not isinstance(info.sha, str) or not info.sha.isalnum():
            raise TypeError(info.sha)
        entries = {entry.rfilename: entry for entry in info.siblings or []}
        matching = sorted(filter_repo_objects(entries, allow_patterns=list(question.patterns)))
        return Listing(info.sha, revision, {name: ListedFile.of(entries[name]) for name in matching}), list(entries)

    return _ask(question, ask, _PAUSES_SECONDS)


def _conversion(question: Question) -> str | None:
    """Return the revision ``refs/pr/N`` of the Hub's own safetensors conversion of a model, or None.

    Old repositories contain pickled weights only, which can run code when loaded. For many of them the Hub's
    conversion bot opened a pull request with the same tensors as safetensors.
    """
    from huggingface_hub import HfApi

    def ask() -> list[Any]:
        return list(
            HfApi().get_repo_discussions(question.repo_id, author=_CONVERSION_BOT, discussion_type="pull_request")
        )

    try:
        pulls = _ask(question, ask, _PAUSES_SECONDS)
    except HubError:
        return None  # a repository without discussions has no conversion
    references = [pull.git_reference for pull in pulls if pull.author == _CONVERSION_BOT and pull.status != "closed"]
    return references[0] if references else None


def _ask(question: Question, call: Callable[[], T], pauses_seconds: tuple[float, ...] = ()) -> T:
    """Return the result of ``call``; raise its failure as a ``HubError``.

    Args:
        question: The request, for the message.
        call: Calls huggingface_hub.
        pauses_seconds: The pause before each retry after a transient failure.
    """
    for pause in pauses_seconds:
        try:
            return call()
        except Exception as error:
            if http_status(error) not in _TRANSIENT:
                raise _clause(error, question) from error
            time.sleep(_retry_after_seconds(error) or pause)
    try:
        return call()
    except Exception as error:
        raise _clause(error, question) from error


def _clause(error: Exception, question: Question) -> HubError:
    from huggingface_hub import constants, get_token, utils

    gated = isinstance(error, utils.GatedRepoError)
    if http_status(error) == 401 and not gated and get_token() is not None:
        return refused_token(question.repo_id, constants.ENDPOINT, public=_is_public(question))
    return explained(error, question.repo_id, constants.ENDPOINT)


def _is_public(question: Question) -> bool:
    """Return whether the Hub serves the repository without a token."""
    from huggingface_hub import HfApi

    try:
        HfApi(token=False).repo_info(
            question.repo_id,
            repo_type=question.repo_type,
            revision=question.revision,
            timeout=_LISTING_TIMEOUT_SECONDS,
        )
    except Exception:
        return False
    return True


def _retry_after_seconds(error: Exception) -> float | None:
    """Return the seconds in the response's ``Retry-After`` header, or None if it is missing or a date."""
    value = http_response(error).headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
