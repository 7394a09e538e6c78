"""Test the clauses that a user reads of a Hub's failures; tests/hub/test_faults.py has the faults themselves."""

from __future__ import annotations

import pytest

from pytest_sst2.hub.errors import HubError, is_closed_connection
from tests.support.hub_faults import MODEL
from tests.support.hub_runs import TOKEN, refusal
from tests.support.loopback_hub import Answer, LoopbackHub


def test_a_clause_contains_neither_passwords_nor_signatures() -> None:
    clause = HubError("no answer from https://me:secret@mirror.example/file?X-Amz-Signature=abc&Expires=9 (timed out)")
    assert str(clause) == "no answer from https://***@mirror.example/file (timed out)"


@pytest.mark.parametrize("token", [f"{TOKEN}\x01more", f"{TOKEN}ä", f"other {TOKEN}"])
def test_a_token_that_cannot_be_sent_is_not_in_the_error(
    token: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    server.fault(MODEL.listing, "status", 401)
    assert TOKEN not in refusal(MODEL)


def test_a_token_without_access_is_not_told_to_log_in(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.fault(MODEL.listing, "status", 403)
    assert "the token in use does not give access" in refusal(MODEL)


def test_the_error_of_a_log_in_page_is_not_a_zero(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "answer", lambda path: Answer(b"<html>log in</html>"))
    assert "(0)" not in refusal(MODEL)


@pytest.mark.parametrize(
    ("error", "is_closed"),
    [
        (ConnectionResetError(), True),
        (BrokenPipeError(), True),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
        (OSError("Name or service not known"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_a_connection_that_the_server_closed_is_asked_again(error: Exception, is_closed: bool) -> None:
    assert is_closed_connection(error) is is_closed
    outer = RuntimeError("of the client")
    outer.__cause__ = error
    assert is_closed_connection(outer) is is_closed
