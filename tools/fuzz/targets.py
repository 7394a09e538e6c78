"""All targets, by name."""

from __future__ import annotations

import functools

from tools.fuzz.contract import Target
from tools.fuzz.data_targets import data_targets
from tools.fuzz.file_targets import file_targets
from tools.fuzz.option_targets import option_targets
from tools.fuzz.results_targets import results_targets


@functools.cache
def all_targets() -> dict[str, Target]:
    """Return every target by its name, in the order in which they are run."""
    return {target.name: target for target in (*data_targets(), *results_targets(), *option_targets(), *file_targets())}


def target_named(name: str) -> Target:
    """Return one of them.

    Raises:
        SystemExit: There is none of that name.
    """
    found = all_targets().get(name)
    if found is None:
        raise SystemExit(f"no target {name!r}; there are {', '.join(all_targets())}")
    return found
