"""What the Hub's client says when it fails, in one clause."""

from __future__ import annotations

import os
import re
from typing import Any

from pytest_sst2.utils.errors import Sst2Error

# A storage's address is signed: whoever has the part after the question mark may read what it names.
_SIGNATURE = re.compile(r"(?<=\w)\?[^\s'\")]*")
_NOT_A_HUB = "its answer is not what a Hub answers; a proxy's log-in page, perhaps"
_NOT_FOUND = 404
_TOO_MANY = 429


class HubError(Sst2Error):
    """The Hub has not given what was asked of it; the message says why in a clause that fits after 'because'.

    An address in it loses its query, whatever that is signed with: messages end up in reports.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_SIGNATURE.sub("", message))


def explained(error: Exception, repo_id: str, address: str) -> HubError:
    """Return the client's error as a clause.

    Args:
        error: What it raised while it was asked for ``repo_id``.
        repo_id: ``org/name``.
        address: The Hub's.
    """
    from huggingface_hub import utils

    if isinstance(error, HubError):
        return error
    if isinstance(error, utils.HFValidationError):
        return HubError(f"{repo_id} is no name that a repository on the Hub can have (org/name)")
    if isinstance(error, utils.GatedRepoError):
        log_in = "log in with `hf auth login` or set HF_TOKEN"
        return HubError(f"{repo_id} is gated: accept its terms on the Hub, then {log_in}")
    if isinstance(error, utils.RepositoryNotFoundError):
        return HubError(f"the Hub at {address} has no {repo_id}, or it is private and needs HF_TOKEN")
    if isinstance(error, utils.RevisionNotFoundError):
        return HubError(f"{repo_id} has no such revision on the Hub at {address}")
    status = http_status(error)
    if status is not None:
        return HubError(f"the Hub at {address} answered HTTP {status} for {repo_id}{_way_on(status)}")
    return HubError(f"{repo_id} could not be had from {address} ({root_cause(error)})")


def _way_on(status: int) -> str:
    if status in (401, 403):
        return ": log in with `hf auth login` or set HF_TOKEN"
    if status == _TOO_MANY:
        return (
            ", too many requests: wait some minutes, or log in with `hf auth login` or set HF_TOKEN to be allowed more"
        )
    if status == _NOT_FOUND:
        return ", which it lists itself: try again later"
    return ", an error of its own: try again later" if status >= 500 else ""


def refused_token(repo_id: str, address: str, *, public: bool) -> HubError:
    """Return the clause on a token that the Hub does not take.

    Args:
        repo_id: What was asked for with it.
        address: The Hub's.
        public: Whether the same was given without it.
    """
    place = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of `hf auth login`"
    undo = "unset HF_TOKEN" if os.environ.get("HF_TOKEN") else "run `hf auth logout`"
    remedy = f"{repo_id} can be read without one, so {undo}" if public else f"make a new one, or {undo}"
    return HubError(f"the Hub at {address} refuses {place} (HTTP 401), which has expired or was revoked: {remedy}")


def http_status(error: BaseException | None) -> int | None:
    """Return the status of the Hub's refusal that ``error`` is or comes from, None where there was none."""
    response = http_response(error)
    return None if response is None else int(response.status_code)


def http_response(error: BaseException | None) -> Any:
    """Return the Hub's refusal that ``error`` is or comes from, or None."""
    while error is not None:
        response = getattr(error, "response", None)
        if getattr(response, "status_code", 0) >= 400:
            return response
        error = error.__cause__
    return None


def is_hang_up(error: BaseException | None) -> bool:
    """Tell whether a server has closed the connection instead of answering, as it may with one that was kept open."""
    while error is not None:
        # httpx has a class of its own for that.
        if isinstance(error, ConnectionError) or type(error).__name__ == "RemoteProtocolError":
            return not isinstance(error, ConnectionRefusedError)
        error = error.__cause__ or error.__context__
    return False


def root_cause(error: BaseException) -> str:
    """Return the innermost error in a few words: the outer ones wrap it in paragraphs."""
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    if type(error).__name__ == "TooManyRedirects":
        return "it sends every request on to another address, without end"
    # Of what was not JSON, or JSON of another shape, or a file without the Hub's headers.
    unlike_a_hub = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
    if isinstance(error, unlike_a_hub) or type(error).__name__ == "FileMetadataError":
        return str(error) if isinstance(error, UnicodeError) else _NOT_A_HUB
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
