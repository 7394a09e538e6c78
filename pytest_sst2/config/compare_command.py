"""The ``pytest-sst2 compare`` command that judges saved results as a run or another comparison does."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from pytest_sst2.config.options import ALPHA, FAIL_ON, FAIL_ON_DEFAULT, TOLERANCE


def compare_command(*words: str, tolerance: float, alpha: float, fail_on: Collection[str] | None) -> str:
    """Return the command with the values that are not the defaults; ``fail_on`` is None for its default."""
    options = []
    if tolerance != TOLERANCE:
        options += ["--tolerance", f"{100 * tolerance:g}"]
    if alpha != ALPHA:
        options += ["--alpha", f"{alpha:g}"]
    if fail_on is not None and {*fail_on} != {*FAIL_ON_DEFAULT.split(",")}:
        options += ["--fail-on", ",".join(word for word in FAIL_ON if word in fail_on) or "none"]
    return shlex.join(["pytest-sst2", "compare", *words, *options])
