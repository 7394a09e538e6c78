"""Observe a symptom of the benchmarks in an environment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_sst2.compare.pairing import by_cell
from pytest_sst2.compare.speed_and_memory import compare_speed_and_memory
from pytest_sst2.compare.stopping_rule import planned_looks
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.ab_run import Measurements, Notify, Sides
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan, merge_passes, run_benchmarks
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.observer import Observation
from pytest_sst2.upgrade.symptom import Symptom, is_same_crash, outcome_of, summary_of
from pytest_sst2.upgrade.timed_turns import TimeLimits, measure_times
from pytest_sst2.utils.hashing import short_digest


@dataclass(kw_only=True)
class BenchmarkObserver:
    """Tells whether environments reproduce a symptom of the benchmarks.

    Attributes:
        sides: Both ends, which are measured with more seeds if an environment between them needs it.
        found: The symptom.
        plan: What is run; narrowed to the cell of the symptom.
        passes: The number of passes, if the symptom needs several.
        folder: Where results are kept until the command is finished.
        times: With ``--time``: the limits of the turns that an undecided environment takes with the earlier one.
        looks_further: Whether more seeds of an undecided environment are measured: with ``--sst2-seeds auto``.
    """

    sides: Sides
    found: Symptom
    plan: Plan
    passes: int
    tolerance: float
    alpha: float
    folder: Path
    notify: Notify
    times: TimeLimits | None = None
    looks_further: bool = field(init=False)

    def __post_init__(self) -> None:
        self.looks_further = self.plan.has_auto_seeds and self.found.kind == "regressed"
        if self.found.records:
            self.plan = self.plan.only(self.found.records)

    @property
    def symptom(self) -> str:
        """The cell and its symptom."""
        return f"{self.found.name}: {self.found.summary}"

    @property
    def remedy(self) -> str:
        """The option that measures the symptom better."""
        if self.found.kind == "slower" and self.times:
            return "a larger --budget measures times better"
        if self.found.needs_passes:
            return "--passes with a larger number measures times better"
        return "" if self.looks_further else "--sst2-seeds auto measures more seeds of them"

    def observe(self, environment: BuiltEnvironment, *, repeated: bool = False) -> Observation:
        """Return whether the benchmarks have the symptom in an environment."""
        folder = self.folder / "repeated" if repeated else self.folder
        try:
            results = self._measure(environment, self.plan, folder)
        except BenchmarkRunError as error:
            if self.found.kind == "crash" and is_same_crash(self.found.summary, str(error)):
                return Observation(Outcome.BAD)
            return Observation(Outcome.UNTESTABLE, f"cannot run: {error}")
        outcome = outcome_of(self.found, results, tolerance=self.tolerance, alpha=self.alpha)
        if outcome is Outcome.UNDECIDED and self.looks_further:
            return self._further_observation(environment, results, folder)
        if outcome is Outcome.UNDECIDED and self.found.kind == "slower" and self.times:
            return Observation(self._outcome_by_turns(environment, results, folder, self.times))
        why = "the cell has no result that can be compared" if outcome is Outcome.UNTESTABLE else ""
        return Observation(outcome, why, self._symptom_in(results) if outcome is Outcome.BAD else "")

    def _symptom_in(self, results: Results) -> str:
        summary = summary_of(self.found, results, tolerance=self.tolerance, alpha=self.alpha)
        return f"{self.found.name}: {summary}" if summary else ""

    def _outcome_by_turns(
        self, environment: BuiltEnvironment, results: Results, folder: Path, limits: TimeLimits
    ) -> Outcome:
        """Return whether a phase is slower than in the earlier environment, or all are shown not to be."""
        sides = replace(self.sides, after=environment)
        single = Measurements(Results(self.found.records, ()), results, "", folder)
        done = measure_times(sides, self.plan, single, limits, folder / "times" / environment.key, self.notify)
        assert done.after is not None  # noqa: S101 - it was measured
        cells = (by_cell(side.records)[self.found.cell or (None, "")].values() for side in (done.before, done.after))
        phases = compare_speed_and_memory(*map(list, cells), time_tolerance=limits.tolerance).phases
        if any(phase.speed == "slower" for phase in phases):
            return Outcome.BAD
        is_held = phases and all(phase.speed != "undecided" for phase in phases)
        return Outcome.GOOD if is_held else Outcome.UNDECIDED

    def _further_observation(self, environment: BuiltEnvironment, results: Results, folder: Path) -> Observation:
        """Measure more seeds, of both ends too, until an undecided environment is bad or good.

        The looks share another alpha. The results of both ends are reused in other steps.
        """
        symptom, done = self.found, len(self.found.records)
        counts = [look.seeds for look in planned_looks(len(ALL_AUTO_SEEDS)) if look.seeds > done]
        for count in counts:
            plan = self.plan.with_seeds(ALL_AUTO_SEEDS[done:count])
            done = count
            try:
                before, later = (self._measure(end, plan, self.folder) for end in (self.sides.before, self.sides.after))
                more = self._measure(environment, plan, folder)
            except BenchmarkRunError as error:
                return Observation(Outcome.UNDECIDED, f"more seeds cannot run: {error}")
            symptom = symptom.with_more(before.records, later.records)
            results = Results((*results.records, *more.records), (*results.failures, *more.failures))
            outcome = outcome_of(symptom, results, tolerance=self.tolerance, alpha=self.alpha / len(counts))
            if outcome.is_known:
                return Observation(outcome, f"after {count} seeds")
        return Observation(Outcome.UNDECIDED, f"after {done} seeds")

    def _measure(self, environment: BuiltEnvironment, plan: Plan, parent: Path) -> Results:
        # Results of another cell or of other seeds must not be reused for these.
        folder = parent / short_digest("\n".join(plan.flags))
        count = self.passes if self.found.needs_passes else 1
        files = [folder / f"{environment.key}-{number}.json" for number in range(1, count + 1)]

        def notify(line: str) -> None:
            self.notify(f"  {line}")

        return merge_passes([run_benchmarks(environment, plan, file, notify) for file in files], environment.key)
