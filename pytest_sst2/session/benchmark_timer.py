"""Time cells with pytest-benchmark if it is active, else with the phases of the cells alone.

There are two plugin classes, because a fixture cannot request ``benchmark`` only if it exists. pytest-benchmark selects
tests by that request (``--benchmark-only``, ``--benchmark-skip``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_sst2.results.record import Record
    from pytest_sst2.session.cell_run import Timer

_OURS = "sst2_cell"


def timer_plugin(config: pytest.Config) -> WithPytestBenchmark | WithoutPytestBenchmark:
    """Return the plugin with the fixture ``sst2_timer``."""
    # The second name is that of -p pytest_benchmark.plugin.
    has_benchmark = any(map(config.pluginmanager.hasplugin, ("benchmark", "pytest_benchmark.plugin")))
    return WithPytestBenchmark() if has_benchmark else WithoutPytestBenchmark()


class _BenchmarkTimer:
    def __init__(self, benchmark: Any) -> None:
        self.benchmark = benchmark
        self._used = False

    def __call__(self, function: Callable[[], None], rounds: int, prepare: Callable[[], None]) -> None:
        self._used = True
        self.benchmark.pedantic(function, setup=prepare, rounds=rounds, iterations=1, warmup_rounds=0)

    def describe(self, record: Record) -> None:
        self.benchmark.group = record.method
        self.benchmark.extra_info.update(
            {
                _OURS: record.cell,
                "accuracy": record.accuracy,
                "accuracy_interval": list(record.accuracy_interval),
                **record.metrics,
                "floor": record.floor.accuracy if record.floor else None,
                "dataset": record.dataset.name,
                "recipe": record.recipe_label,
                "model": record.model,
                "method": record.method,
                "seed": record.seed,
                "cached": [phase.name for phase in record.phases if phase.cached],
                "phase_seconds": {phase.name: phase.seconds for phase in record.phases},
                "examples_per_second": {phase.name: phase.examples_per_second for phase in record.phases},
                "latency_p50_seconds": record.latency.p50_seconds,
                "latency_p95_seconds": record.latency.p95_seconds,
                "peak_bytes": record.peak_bytes,
                "device_peak_bytes": record.device_peak_bytes,
            }
        )
        # pytest-benchmark has copied the group into the result by now.
        if self.benchmark.stats is not None:
            self.benchmark.stats.group = record.method

    def skip(self) -> None:
        # A test may have timed something else with the same fixture.
        if self._used or getattr(self.benchmark, "_mode", None):
            return
        self._used = True
        # An unused fixture warns; a disabled one calls the function without storing a time.
        self.benchmark.disabled = True
        self.benchmark.pedantic(lambda: None)


class _PlainTimer:
    def __call__(self, function: Callable[[], None], rounds: int, prepare: Callable[[], None]) -> None:
        for _ in range(rounds):
            prepare()
            function()

    def describe(self, record: Record) -> None:
        """Do nothing; there is no benchmark."""

    def skip(self) -> None:
        """Do nothing; there is no benchmark."""


class WithPytestBenchmark:
    """Fixture and hooks for a run with pytest-benchmark."""

    @pytest.fixture
    def sst2_timer(self, benchmark: Any) -> Iterator[Timer]:
        """Timer of one cell."""
        timer = _BenchmarkTimer(benchmark)
        yield timer
        timer.skip()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Suppress the warning that pytest-benchmark is disabled under pytest-xdist: the records have times there."""
        fixtures = [getattr(item, "fixturenames", ()) for item in items]
        session = getattr(config, "_benchmarksession", None)
        if session is not None and all("sst2_timer" in names for names in fixtures if "benchmark" in names):
            session.xdist_warning = False

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_benchmark_group_stats(
        self, config: pytest.Config, benchmarks: list[dict[str, Any]]
    ) -> Generator[None, Any, Any]:
        """Suppress pytest-benchmark's table if it would only repeat a part of the summary.

        The table stays if other benchmarks ran, or if an option requests values that only the table has.
        """
        groups = yield
        kinds = ("compare", "histogram", "cprofile", "verbose")
        is_requested = any(config.getoption(f"benchmark_{kind}", None) for kind in kinds)
        if not is_requested and all(_OURS in benchmark["extra_info"] for benchmark in benchmarks):
            return []
        return groups


class WithoutPytestBenchmark:
    """Fixture for a run without pytest-benchmark."""

    @pytest.fixture
    def sst2_timer(self) -> Timer:
        """Timer of one cell."""
        return _PlainTimer()
