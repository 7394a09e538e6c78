"""Replace tokens and passwords by ``***`` in every text that pytest-sst2 prints or writes.

Known secrets are the values of environment variables whose names say so, and the Hub's stored token. They are read
once per process, when the first text is redacted. Other secrets are recognised by their form: credentials in an
address, a signature in its query, an ``Authorization`` header, and the marked tokens of some services.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

T = TypeVar("T")

MARK = "***"
# A shorter value may be an ordinary word. KEY is also in the names of projects and caches.
_LEAST_CHARACTERS = 8
_LEAST_CHARACTERS_OF_KEY = 16
# Up to 15 letters are a word, such as the scope of a token. In a text, such a secret would hide other words.
_WORD = re.compile(r"[^\W\d_]{1,15}|[a-z]+(?:[-_. ][a-z]+)?")
_LONGEST_WORD = 15
# Within a digest or a number, these characters are part of that.
_LIKE_A_DIGEST = re.compile(r"[0-9a-fA-F]{1,31}")

_SECRET_NAME = re.compile(r"TOKEN(?!IZ)|SECRET|PASSW|PASSPHRASE|CREDENTIAL", re.IGNORECASE)
_KEY_NAME = re.compile(r"KEY", re.IGNORECASE)

# Every repetition that another one could follow is bounded: redaction takes time linear in the text.
_FORMS = (
    # User and password of an address; a path library leaves one slash of two.
    (re.compile(r"(://|https?:/)[^/?#\s'\"<>`]*@"), rf"\g<1>{MARK}@"),
    # A token or a signature in the query of an address.
    (
        re.compile(
            r"([?&;][\w.-]{0,40}?(?:token(?!iz)|secret|passw|signature|credential|api[_-]?key|\bsig\b)[\w.-]{0,40}=)"
            r"[^&\s'\"<>]+",
            re.IGNORECASE,
        ),
        rf"\g<1>{MARK}",
    ),
    (
        re.compile(
            r"(authorization['\"]?\s*[:=]\s*(?:b?['\"])?)(?:(?:bearer|basic|token)\s+)?[^\s'\",]+", re.IGNORECASE
        ),
        rf"\g<1>{MARK}",
    ),
    (re.compile(r"\b((?:bearer|basic)\s+)(?=\S*\d)[\w.~+/-]{16,}=*", re.IGNORECASE), rf"\g<1>{MARK}"),
    (
        re.compile(
            r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|pypi-[\w-]{50,})"
        ),
        MARK,
    ),
)


def redacted(value: T) -> T:
    """Return a text, or lists and mappings of texts, with ``***`` in place of every secret.

    Keys of mappings and all other values are kept.
    """
    return cast(T, _redacted(value, _known_secrets()))


def redact_fields(value: Any, names: Collection[str]) -> Any:
    """Return JSON-like data with the free text in the fields of these names redacted, at any depth.

    Other texts are names, digests and choices. A reader would refuse them, or compare other cells, if they changed.
    """
    if isinstance(value, Mapping):
        return {key: redacted(item) if key in names else redact_fields(item, names) for key, item in value.items()}
    return [redact_fields(item, names) for item in value] if isinstance(value, list) else value


def _redacted(value: Any, known: re.Pattern[str] | None) -> Any:
    if isinstance(value, str):
        text = known.sub(MARK, value) if known else value
        for form, replacement in _FORMS:
            text = form.sub(replacement, text)
        return text
    if isinstance(value, Mapping):
        return {name: _redacted(item, known) for name, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_redacted(item, known) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


@functools.cache
def _known_secrets() -> re.Pattern[str] | None:
    """Return the pattern that matches every known secret; None if there is none."""
    spellings = {spelling for secret in (*_secrets_of_variables(), *_stored_token()) for spelling in _spellings(secret)}
    # The longest first: one secret may begin with another.
    ordered = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
    return re.compile("|".join(map(_pattern, ordered))) if ordered else None


def _pattern(secret: str) -> str:
    escaped = re.escape(secret)
    return rf"(?<![0-9a-zA-Z]){escaped}(?![0-9a-zA-Z])" if _LIKE_A_DIGEST.fullmatch(secret) else escaped


def _is_word(secret: str) -> bool:
    return len(secret) <= _LONGEST_WORD and _WORD.fullmatch(secret) is not None


def _secrets_of_variables() -> Iterator[str]:
    for name, value in os.environ.items():
        least = _LEAST_CHARACTERS if _SECRET_NAME.search(name) else _LEAST_CHARACTERS_OF_KEY
        is_secret = _SECRET_NAME.search(name) or _KEY_NAME.search(name)
        # The path of a file that holds the secret is not secret. Unlike pathlib, os.path accepts any text.
        if is_secret and not os.path.exists(os.path.expanduser(value)):  # noqa: PTH110, PTH111
            # Each line of a private key may be printed alone.
            lines = map(str.strip, value.splitlines())
            yield from (line for line in lines if len(line) >= least and not _is_word(line))


def _stored_token() -> Iterator[str]:
    """Yield the token that ``hf auth login`` stores."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    home = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    try:
        path = Path(os.environ.get("HF_TOKEN_PATH") or home / "token").expanduser()
        token = path.read_text(encoding="utf-8").strip() if path.is_file() else ""  # reading a pipe would wait
    except (OSError, RuntimeError, ValueError):  # no file, no home folder, or not a text
        return
    if len(token) >= _LEAST_CHARACTERS:
        yield token


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it may be written: plain, percent-encoded, in JSON, in Python."""
    yield from (secret, quote(secret, safe="", errors="replace"), json.dumps(secret)[1:-1], repr(secret)[1:-1])
