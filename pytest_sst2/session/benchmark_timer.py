"""How a cell is timed: by pytest-benchmark where it is there, else by its own phases alone.

One of the two classes is registered as a plugin. A fixture cannot ask for ``benchmark`` only when it exists, and
pytest-benchmark selects tests (``--benchmark-only``, ``--benchmark-skip``) by that very request.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_sst2.results.record import Record
    from pytest_sst2.session.cell_run import Timer

_OURS = "sst2_cell"


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
        # The group is copied when the fixture is made into a result, which has happened by now.
        if self.benchmark.stats is not None:
            self.benchmark.stats.group = record.method

    def leave_out(self) -> None:
        # A test may have measured something of its own with it.
        if self._used or getattr(self.benchmark, "_mode", None):
            return
        self._used = True
        # It would warn that it was not used. One that is switched off keeps no time of what it calls.
        self.benchmark.disabled = True
        self.benchmark.pedantic(lambda: None)


class _PlainTimer:
    def __call__(self, function: Callable[[], None], rounds: int, prepare: Callable[[], None]) -> None:
        for _ in range(rounds):
            prepare()
            function()

    def describe(self, record: Record) -> None:
        """Do nothing: there is no benchmark to tell."""

    def leave_out(self) -> None:
        """Do nothing, likewise."""


class WithPytestBenchmark:
    """Fixture and hooks for a run in which pytest-benchmark is active."""

    @pytest.fixture
    def sst2_timer(self, benchmark: Any) -> Iterator[Timer]:
        """The timer of one cell."""
        timer = _BenchmarkTimer(benchmark)
        yield timer
        timer.leave_out()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out, where all benchmarks are ours, that pytest-benchmark has no times beside pytest-xdist: we have."""
        fixtures = [getattr(item, "fixturenames", ()) for item in items]
        session = getattr(config, "_benchmarksession", None)
        if session is not None and all("sst2_timer" in names for names in fixtures if "benchmark" in names):
            session.xdist_warning = False

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_benchmark_group_stats(
        self, config: pytest.Config, benchmarks: list[dict[str, Any]]
    ) -> Generator[None, Any, Any]:
        """Leave pytest-benchmark's own table out where it would only repeat a part of ours.

        It stays when other benchmarks ran too, or when something only it shows was asked for.
        """
        groups = yield
        asked = any(
            config.getoption(name, None)
            for name in ("benchmark_compare", "benchmark_histogram", "benchmark_cprofile", "benchmark_verbose")
        )
        if not asked and all(_OURS in benchmark["extra_info"] for benchmark in benchmarks):
            return []
        return groups


class WithoutPytestBenchmark:
    """Fixture for a run in which pytest-benchmark is not active."""

    @pytest.fixture
    def sst2_timer(self) -> Timer:
        """The timer of one cell."""
        return _PlainTimer()
