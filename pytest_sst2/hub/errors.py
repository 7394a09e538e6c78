"""Turn errors of huggingface_hub into one clause that states the cause and the next step."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from pytest_sst2.utils.errors import Sst2Error

# Storage URLs are signed: the query string gives access to the file.
_SIGNATURE = re.compile(r"(?<=\w)\?[^\s'\")]*")
_NOT_A_HUB = "its answer is not a Hub's answer; it may be the log-in page of a proxy"
_NOT_FOUND = 404
_TOO_MANY = 429


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
    from huggingface_hub import utils

    if isinstance(error, HubError):
        return error
    if isinstance(error, utils.HFValidationError):
        return HubError(f"{repo_id} is not a valid repository name on the Hub (org/name)")
    if isinstance(error, utils.GatedRepoError):
        log_in = "log in with `hf auth login` or set HF_TOKEN"
        return HubError(f"{repo_id} is gated: accept its terms on the Hub, then {log_in}")
    if isinstance(error, utils.RepositoryNotFoundError):
        return HubError(f"the Hub at {address} has no {repo_id}, or it is private and needs HF_TOKEN")
    if isinstance(error, utils.RevisionNotFoundError):
        return HubError(f"{repo_id} has no revision {revision or 'main'!r} on the Hub at {address}")
    status = http_status(error)
    if status is not None:
        return HubError(f"the Hub at {address} answered HTTP {status} for {repo_id}{_next_step(status)}")
    return HubError(f"{repo_id} could not be downloaded from {address} ({root_cause(error)})")


def _next_step(status: int) -> str:
    if status in (401, 403):
        from huggingface_hub import get_token

        if status == 403 and get_token() is not None:
            return ": the token in use does not give access; use another one, or ask the owner for access"
        return ": log in with `hf auth login` or set HF_TOKEN"
    if status == _TOO_MANY:
        return (
            ", too many requests: wait a few minutes, or log in with `hf auth login` or set HF_TOKEN for a higher limit"
        )
    if status == _NOT_FOUND:
        return ", although the Hub lists it: try again later"
    return ", a server error: try again later" if status >= 500 else ""


def long_pause(address: str, seconds: float) -> HubError:
    """Return the clause for a Hub that asks for a longer pause than a run waits."""
    return HubError(
        f"the Hub at {address} asks for a pause of {seconds:.0f} s (HTTP 429, too many requests): run again "
        "then, or log in with `hf auth login` or set HF_TOKEN for a higher limit"
    )


def refused_token(repo_id: str, address: str, *, public: bool) -> HubError:
    """Return the clause for a token that the Hub rejects.

    Args:
        repo_id: The requested repository.
        address: URL of the Hub.
        public: Whether the Hub serves the repository without a token.
    """
    token = "HF_TOKEN" if os.environ.get("HF_TOKEN") else "the token of `hf auth login`"
    undo = "unset HF_TOKEN" if os.environ.get("HF_TOKEN") else "run `hf auth logout`"
    remedy = f"{repo_id} is public, so {undo}" if public else f"create a new one, or {undo}"
    return HubError(f"the Hub at {address} rejects {token}, which has expired or was revoked (HTTP 401): {remedy}")


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


def root_cause(error: BaseException, *, answered: bool = True) -> str:
    """Return the first line of the innermost error. The outer errors add paragraphs of advice.

    Args:
        error: An error of huggingface_hub.
        answered: Whether it may come from reading the Hub's answer.
    """
    while (inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = inner
    if type(error).__name__ == "TooManyRedirects":
        return "it redirects every request without end"
    # Raised for an answer that is not JSON, JSON of another shape, or a file without the Hub's headers.
    unlike_a_hub = (json.JSONDecodeError, LookupError, TypeError, AttributeError, AssertionError)
    if answered and (isinstance(error, unlike_a_hub) or type(error).__name__ == "FileMetadataError"):
        return _NOT_A_HUB
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
