"""Redaction: tokens and passwords taken out of every text that leaves the program.

A secret is known by where it stands: in a variable whose name says so, in the address in a variable, in the files where
the Hub's clients and Ray keep their tokens. What was never seen there is known by its form alone: the name and
password of an address, a signature in its query, the tokens of services that mark theirs.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import quote, unquote

T = TypeVar("T")

MARK = "***"
# What is shorter is as likely a word that stands in a text for itself.
_LEAST = 8
# So much for KEY alone, which is also what a project or a cache is called by.
_LEAST_KEY = 16
# How long what is known stays known without another look.
_LOOK_SECONDS = 0.2

_SECRET_NAME = re.compile(r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_KEY_NAME = re.compile(r"KEY", re.IGNORECASE)
_USER_INFO = re.compile(r"://([^\s'\"<>]*)@")

# What a text in lower case must have, what is looked for in it then, and what it becomes: the name and the password of
# an address; a signature or a token in its query; a header; tokens that are marked.
_FORMS = (
    # With one slash too, which is what becomes of an address that is taken for a path.
    (":/", re.compile(r"(?:(?<=://)|(?<=https:/)|(?<=http:/))[^/?#\s'\"<>`]*@"), f"{MARK}@"),
    (
        "=",
        re.compile(
            # Bounded, so that no text takes longer than another of its length.
            r"([?&;][\w.-]{0,40}?(?:token(?!iz)|secret|passw|signature|credential|api[_-]?key|\bsig\b)[\w.-]{0,40}=)"
            r"[^&\s'\"<>]+",
            re.IGNORECASE,
        ),
        rf"\g<1>{MARK}",
    ),
    (
        "authorization",
        re.compile(
            r"(authorization['\"]?\s*[:=]\s*(?:b?['\"])?)(?:(?:bearer|basic|token)\s+)?[^\s'\",]+", re.IGNORECASE
        ),
        rf"\g<1>{MARK}",
    ),
    ("bearer ", re.compile(r"\b(bearer\s+)(?=\S*\d)[\w.~+/-]{16,}=*", re.IGNORECASE), rf"\g<1>{MARK}"),
    (
        "",
        re.compile(
            r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|pypi-[\w-]{50,})"
        ),
        MARK,
    ),
)


def redacted(value: T) -> T:
    """Return a text, or lists and mappings with texts in them, with ``***`` in the place of every secret.

    Anything else in it is returned as it is.
    """
    return cast(T, _redacted(value, _known()))


def _redacted(value: Any, known: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        text = known.sub(MARK, value) if known else value
        lowered = text.lower()
        for hint, form, replacement in _FORMS:
            if hint in lowered:
                text = form.sub(replacement, text)
        return text
    if isinstance(value, Mapping):
        return {_redacted(name, known): _redacted(each, known) for name, each in value.items()}
    if isinstance(value, list | tuple):
        each_redacted = [_redacted(each, known) for each in value]
        return each_redacted if isinstance(value, list) else tuple(each_redacted)
    return value


def _token_files() -> tuple[Path, ...]:
    """Return where the Hub's clients keep the token in use and all others, and where Ray keeps its own."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return (
        Path(os.environ.get("HF_TOKEN_PATH") or home / "token"),
        Path(os.environ.get("HF_STORED_TOKENS_PATH") or home / "stored_tokens"),
        Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token"),
    )


class _FileState(NamedTuple):
    """A file and what changes when somebody writes to it; None where it is not there."""

    path: Path
    changed_ns: int | None
    size: int | None


def _state_of(file: Path) -> _FileState:
    try:
        path = file.expanduser()
        state = path.stat()
    except (OSError, RuntimeError, ValueError):
        return _FileState(file, None, None)
    return _FileState(path, state.st_mtime_ns, state.st_size)


def _known() -> re.Pattern[str] | None:
    """Return what finds every secret that is known here and now; None where there is none.

    A conftest may fetch a token while the run goes on; but reports have thousands of texts, and to look at every
    variable for each takes longer than all the rest.
    """
    moment = int(time.monotonic() / _LOOK_SECONDS)
    return _known_at(moment, len(os.environ))


@functools.lru_cache(maxsize=1)
def _known_at(_moment: int, _variables: int) -> re.Pattern[str] | None:
    return _finder(tuple(sorted(os.environ.items())), tuple(map(_state_of, _token_files())))


@functools.lru_cache(maxsize=1)
def _finder(variables: tuple[tuple[str, str], ...], files: tuple[_FileState, ...]) -> re.Pattern[str] | None:
    secrets = {*_of_variables(variables), *_of_files(file.path for file in files)}
    forms = {form for secret in secrets for form in _forms_of(secret)}
    # The longest first: one may begin with another.
    ordered = sorted(forms, key=lambda form: (-len(form), form))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _of_variables(variables: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in variables:
        yield from _of_address(value)
        least = _LEAST if _SECRET_NAME.search(name) else _LEAST_KEY if _KEY_NAME.search(name) else 0
        # A variable may say where the secret is kept: that is none. The functions of os.path, unlike pathlib's, take
        # every text.
        if least and not os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111
            # A private key has many lines, each of which may be shown alone.
            yield from (line for each in value.splitlines() if len(line := each.strip()) >= least)


def _of_address(text: str) -> Iterator[str]:
    """Yield the secrets in the addresses of a text: passwords, and a name without one, which is a token."""
    for found in _USER_INFO.finditer(text):
        name, _, password = found[1].partition(":")
        if len(secret := password or name) >= _LEAST:
            yield secret
        yield base64.b64encode(found[1].encode()).decode()


def _of_files(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        # Those of ``stored_tokens`` are ``hf_token = ...``.
        yield from (token for line in lines if len(token := line.rpartition("=")[2].strip()) >= _LEAST)


def _forms_of(secret: str) -> Iterator[str]:
    """Yield a secret as it may stand in a text: as it is, in an address, in JSON, in Python."""
    for each in (secret, unquote(secret)):
        yield from (each, quote(each, safe=""), json.dumps(each)[1:-1], repr(each)[1:-1])
