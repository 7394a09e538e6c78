"""What is asked of the Hub's own client: of which commit, which files, and the download itself.

Some of this may never return. It is run in a process of its own, ``hub_child``, which can be ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_sst2.hub.errors import HubError, explained, http_response, http_status, refused_token

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_CONVERSION_BOT = "SFconvertbot"
# In these the Hub says that another try may help; the client itself does not try again where it asks for a listing.
_PASSING = (429, 500, 502, 503, 504)
_PAUSES_SECONDS = (1.0, 3.0)
_LISTING_TIMEOUT_SECONDS = 10.0

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """What is to be downloaded.

    Attributes:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        patterns: Which files.
        safetensors: Whether it is a model, of which pickled weights are not taken.
    """

    repo_id: str
    repo_type: str
    revision: str | None
    patterns: tuple[str, ...]
    safetensors: bool = False


@dataclass(frozen=True)
class ListedFile:
    """What the Hub lists of a file; None where it lists no such thing.

    A file in Git LFS has the SHA-256 of its content, any other the id that git gives it.
    """

    size: int | None = None
    sha256: str | None = None
    git_id: str | None = None

    @classmethod
    def of(cls, entry: Any) -> ListedFile:
        """Return what the client's entry of a file holds."""
        if entry.lfs is not None:
            return cls(entry.lfs["size"], entry.lfs["sha256"], None)
        return cls(entry.size, None, entry.blob_id)


@dataclass(frozen=True)
class Listing:
    """The wanted files of a repository at one commit, and the revision by which that was found (None: main)."""

    commit: str
    revision: str | None
    files: dict[str, ListedFile]


def download(question: Question, say: Callable[[str, object], None]) -> Listing:
    """Download the files of a repository that match, all at one commit, and return what the Hub lists of them.

    Args:
        question: What is wanted.
        say: Told what is known on the way: ``bytes``.

    Raises:
        HubError: The Hub refuses, or breaks off.
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
    """Return what is to be downloaded, by way of the Hub's safetensors conversion where main has pickles only."""
    found, names = _info(question, question.revision)
    last = {name.rpartition("/")[2] for name in names}
    if question.safetensors and last.isdisjoint(SAFETENSORS) and not last.isdisjoint(PICKLES):
        converted = _conversion(question) if question.revision is None else None
        if converted is None:
            tried = "is pinned to a revision with these" if question.revision else "has no safetensors conversion"
            raise HubError(f"{question.repo_id} on the Hub has pickled weights only, which can run code, and {tried}")
        found, _ = _info(question, converted)
    return found


def _info(question: Question, revision: str | None) -> tuple[Listing, list[str]]:
    """Return what the Hub lists of the wanted files at a revision, and the names of all files there."""
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
        wanted = sorted(filter_repo_objects(entries, allow_patterns=list(question.patterns)))
        return Listing(info.sha, revision, {name: ListedFile.of(entries[name]) for name in wanted}), list(entries)

    return _ask(question, ask, _PAUSES_SECONDS)


def _conversion(question: Question) -> str | None:
    """Return the revision of the Hub's own safetensors conversion of a model, ``refs/pr/N``, or None.

    Old repositories hold pickled weights only, which can run code when they are read. For many of them the Hub's
    conversion bot has opened a pull request with the same tensors as safetensors.
    """
    from huggingface_hub import HfApi

    def ask() -> list[Any]:
        found = HfApi().get_repo_discussions(question.repo_id, author=_CONVERSION_BOT, discussion_type="pull_request")
        return list(found)

    try:
        pulls = _ask(question, ask, _PAUSES_SECONDS)
    except HubError:
        return None  # discussions can be switched off; there is no conversion then
    references = [pull.git_reference for pull in pulls if pull.author == _CONVERSION_BOT and pull.status != "closed"]
    return references[0] if references else None


def _ask(question: Question, call: Callable[[], T], pauses_seconds: tuple[float, ...] = ()) -> T:
    """Return what ``call`` returns, its failure turned into one clause.

    Args:
        question: What it is about.
        call: Asks the client.
        pauses_seconds: Before each further try where the Hub says that one may help.
    """
    for pause in pauses_seconds:
        try:
            return call()
        except Exception as error:
            if http_status(error) not in _PASSING:
                raise _clause(error, question) from error
            time.sleep(_pause_asked_for(error) or pause)
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
    """Tell whether the Hub gives away without a token what it has just refused with one."""
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


def _pause_asked_for(error: Exception) -> float | None:
    """Return the seconds of a refusal's ``Retry-After``; None where it names none, or a date."""
    asked = http_response(error).headers.get("Retry-After", "")
    return float(asked) if asked.isdecimal() else None
