"""Load the pocket set: 1,200 sentences in the package, which are not SST-2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_sst2.data.folders import SPLIT_NAMES
from pytest_sst2.data.readers import Rows
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import sha256_digest

POCKET_FILE = Path(__file__).parent / "pocket.tsv"
POCKET_SHA256 = "471b5204ce9d17cf0b07df568ebc8dd695f262a7d8550e6c8223ae6b04a6fe8c"
POCKET_NOTE = "built-in pocket set of 1,200 sentences, not SST-2"


def pocket_rows() -> dict[str, Rows]:
    """Return the rows of both splits; raise if the file is missing, or differs from the released one."""
    splits: dict[str, Rows] = {name: Rows([], []) for name in SPLIT_NAMES}
    for split, _kind, label, sentence in _pocket_lines():
        splits[split].sentences.append(sentence)
        splits[split].labels.append(int(label))
    return splits


def pocket_kinds() -> dict[str, str]:
    """Return the linguistic kind of each sentence, for example ``negation`` or ``irony``."""
    return {sentence: kind for _split, kind, _label, sentence in _pocket_lines()}


def _pocket_lines() -> Iterator[list[str]]:
    remedy = "Install pytest-sst2 again from its clone or wheel: python -m pip install --force-reinstall --no-deps ."
    try:
        content = POCKET_FILE.read_bytes()
    except OSError as error:
        raise Sst2Error(f"the pocket set {POCKET_FILE} cannot be read ({error.strerror or error}). {remedy}") from error
    digest = sha256_digest(content)
    if digest != POCKET_SHA256:
        raise Sst2Error(
            f"the pocket set {POCKET_FILE} was damaged or changed: its SHA-256 is {digest}, expected {POCKET_SHA256}. "
            + remedy
        )
    return (line.split("\t") for line in content.decode().split("\n")[1:-1])
