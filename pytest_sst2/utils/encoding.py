"""Signs of ours that an output's encoding lacks, replaced by what comes nearest; columns keep their width."""

from __future__ import annotations

# Typographic signs and the one that stands for each in ASCII.
_NEAREST = str.maketrans("·×–—−±Δ…→✓✗⚠✅❌≤≥‘’“”", "|x---+D~>ox!ox<>''\"\"")


def encodable(text: str, encoding: str | None) -> str:
    """Return text that can be written in an encoding: a sign that it lacks becomes the nearest, else ``?``.

    Args:
        text: The text.
        encoding: The output's; None where it is not known, which leaves the text as it is.
    """
    if encoding is None:
        return text
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(sign if _has(encoding, sign) else _plain(sign, encoding) for sign in text)
    except LookupError:
        pass
    return text


def _plain(sign: str, encoding: str) -> str:
    nearest = sign.translate(_NEAREST)
    return nearest if _has(encoding, nearest) else "?"


def _has(encoding: str, sign: str) -> bool:
    try:
        sign.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
