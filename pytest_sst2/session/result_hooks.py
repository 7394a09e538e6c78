"""Call the hooks of conftests and plugins that receive records and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2.utils.unexpected import failure_of_hook

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.results.record import Record


class ResultHooks:
    """Hooks that receive results. An error in one of them ends no run and loses no result.

    Attributes:
        problems: One sentence per hook that failed.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._hook = config.hook
        self._failed: set[str] = set()
        self.problems: list[str] = []

    def record(self, record: Record) -> None:
        """Call ``pytest_sst2_record``."""
        self._call("pytest_sst2_record", lambda: self._hook.pytest_sst2_record(record=record))

    def comparison(self, comparison: Comparison) -> None:
        """Call ``pytest_sst2_comparison``."""
        self._call("pytest_sst2_comparison", lambda: self._hook.pytest_sst2_comparison(comparison=comparison))

    def _call(self, name: str, call: Callable[[], Any]) -> None:
        if name in self._failed:
            return
        try:
            call()
        except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
            self._failed.add(name)
            self.problems.append(failure_of_hook(name, error))
