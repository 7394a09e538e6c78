"""Test the clauses that a user reads of a Hub's failures; tests/hub/test_faults.py has the faults themselves."""

from __future__ import annotations

import time

import pytest

from pytest_sst2.hub.errors import HubError
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


@pytest.mark.parametrize("where", ["/api/models/org/words", "/tree/", "/resolve/"])
@pytest.mark.parametrize(
    ("status", "headers", "parts"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, ("org/words is gated", "terms", "HF_TOKEN")),
        (403, {"X-Error-Code": "GatedRepo"}, ("org/words is gated", "terms", "HF_TOKEN")),
        (401, {}, ("HTTP 401", "org/words", "HF_TOKEN")),
        (403, {}, ("HTTP 403", "org/words", "HF_TOKEN")),
        (503, {}, ("HTTP 503", "org/words", "try again later")),
    ],
)
def test_a_refusal_says_the_same_at_every_stage(
    server: LoopbackHub,
    where: str,
    status: int,
    headers: dict[str, str],
    parts: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    server.fault(where, "status", status, headers=headers)
    clause = refusal(MODEL)
    for part in parts:
        assert part in clause
    assert "\n" not in clause


def test_a_token_without_access_is_not_told_to_log_in(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server.fault(MODEL.listing, "status", 403)
    assert "the token in use does not give access" in refusal(MODEL)


def test_the_error_of_a_log_in_page_is_not_a_zero(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "answer", lambda path: Answer(b"<html>log in</html>"))
    assert "(0)" not in refusal(MODEL)
