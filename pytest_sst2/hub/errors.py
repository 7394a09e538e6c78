"""Turn errors of huggingface_hub into one clause that states the cause and the next step."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from pytest_sst2.utils.errors import Sst2Error

# Storage URLs are signed: the query string gives access to the file.
_SIGNATURE = re.compile(r"(?<=\w)\?[^\s'\")]*")
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


class HubError(Sst2Error):
    """A request to the Hub failed. The message is a clause that can follow 'because'.

    Query strings are removed from URLs because they can contain signatures, and messages appear in reports.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_SIGNATURE.sub("", message))


def explained(error: Exception, repo_id: str, revision: str | None, address: str) -> HubError:
    """Return an error of huggingface_hub as a clause.

    Args:
        error: The error.
        repo_id: ``org/name`` of the requested repository.
        revision: Its requested branch, tag or commit; None for main.
        address: URL of the Hub.
    """
    from huggingface_hub import get_token, utils

    status = http_status(error)
    has_token = status in (401, 403) and get_token() is not None
    if isinstance(error, HubError):
        return error
    if isinstance(error, utils.HFValidationError):
        return HubError(f"{repo_id} is not a valid repository name on the Hub (org/name)")
    if isinstance(error, utils.GatedRepoError):
        return HubError(f"{repo_id} is gated: accept its terms on the Hub, then {_LOG_IN}")
    if isinstance(error, utils.RepositoryNotFoundError) and not (has_token and status == 401):
        return HubError(f"the Hub at {address} has no {repo_id}, or it is private and needs HF_TOKEN")
    if isinstance(error, utils.RevisionNotFoundError):
        return HubError(f"{repo_id} has no revision {revision or 'main'!r} on the Hub at {address}")
    if status is None:
        return HubError(f"{repo_id} could not be downloaded from {address} ({root_cause(error)})")
    return HubError(
        f"the Hub at {address} answered HTTP {status} for {repo_id}{_next_step(status, repo_id, has_token=has_token)}"
    )


def _next_step(status: int, repo_id: str, *, has_token: bool) -> str:
    if status == 401 and has_token:
        own = bool(os.environ.get("HF_TOKEN"))
        token, undo = ("HF_TOKEN", "unset HF_TOKEN") if own else ("the stored token", "run `hf auth logout`")
        rejects = f": it rejects {token}, which has expired or was revoked"
        return f"{rejects}; create a new one, or {undo} if {repo_id} is public"
    if status == 403 and has_token:
        return ": the token in use does not give access; use another one, or ask the owner for access"
    if status in (401, 403):
        return f": {_LOG_IN}"
    if status == 404:
        return ", although the Hub lists it: try again later"
    if status == 429:
        return f", too many requests: wait a few minutes, or {_LOG_IN} for a higher limit"
    return ", a server error: try again later" if status >= 500 else ""


def long_pause(address: str, seconds: float) -> HubError:
    """Return the clause for a Hub that asks for a longer pause than a run waits."""
    asks = f"asks for a pause of {seconds:.0f} s (HTTP 429, too many requests)"
    return HubError(f"the Hub at {address} {asks}: run again then, or {_LOG_IN} for a higher limit")


def http_status(error: BaseException | None) -> int | None:
    """Return the HTTP status of ``error`` or one of its causes, or None if no response caused it."""
    response = http_response(error)
    return None if response is None else int(response.status_code)


def http_response(error: BaseException | None) -> Any:
    """Return the HTTP error response that caused ``error``, or None."""
    while error is not None:
        response = getattr(error, "response", None)
        if getattr(response, "status_code", 0) >= 400:
            return response
        error = error.__cause__
    return None


def is_closed_connection(error: BaseException | None) -> bool:
    """Return whether the server closed the connection instead of answering, which is no timeout and no refusal."""
    while error is not None:
        if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
            return True
        if type(error).__name__ == "RemoteProtocolError":  # of the HTTP library, which depends on the client's release
            return True
        error = error.__cause__ or error.__context__
    return False


def root_cause(error: BaseException, *, answered: bool = True) -> str:
    """Return the first line of the innermost error. The outer errors add paragraphs of advice.

    Args:
        error: An error of huggingface_hub.
        answered: Whether it may come from reading the Hub's answer.
    """
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    # Before 1.0, huggingface_hub follows the redirects of a file by calling itself.
    if isinstance(error, RecursionError) or type(error).__name__ == "TooManyRedirects":
        return "it redirects every request without end"
    # Raised for an answer that is not JSON, JSON of another shape, or a file without the Hub's headers.
    unlike_a_hub = (json.JSONDecodeError, LookupError, TypeError, AttributeError, AssertionError)
    if answered and (isinstance(error, unlike_a_hub) or type(error).__name__ == "FileMetadataError"):
        return "its answer is not a Hub's answer; it may be the log-in page of a proxy"
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
