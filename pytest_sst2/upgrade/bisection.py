"""Test environments between the two for a symptom of the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_sst2.compare.looks import planned_looks
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan, merge_passes, run_benchmarks
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.package_search import PackageSearch
from pytest_sst2.upgrade.symptom import Symptom, is_same_crash, outcome_of
from pytest_sst2.utils.hashing import short_digest


@dataclass(kw_only=True)
class Bisection(PackageSearch):
    """Test whether environments between the two reproduce a symptom.

    Attributes:
        plan: What is run; narrowed to the cell of the symptom.
        passes: The number of passes, if the symptom needs several.
        folder: Where results are kept until the command is finished.
        looks_further: Whether more seeds of an undecided set are measured: with ``--sst2-seeds auto``.
    """

    symptom: Symptom
    plan: Plan
    passes: int
    tolerance: float
    alpha: float
    folder: Path
    looks_further: bool = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.looks_further = self.plan.has_auto_seeds and self.symptom.kind == "regressed"
        if self.symptom.records:
            self.plan = self.plan.only(self.symptom.records)

    def observe(self, environment: BuiltEnvironment) -> tuple[Outcome, str]:
        """Return whether the benchmarks have the symptom in an environment."""
        try:
            results = self._measure(environment, self.plan)
        except BenchmarkRunError as error:
            is_same = self.symptom.kind == "crash" and is_same_crash(self.symptom.summary, str(error))
            return (Outcome.BAD, "") if is_same else (Outcome.UNTESTABLE, f"cannot run: {error}")
        outcome = outcome_of(self.symptom, results, tolerance=self.tolerance, alpha=self.alpha)
        if outcome is Outcome.UNDECIDED and self.looks_further:
            return self._further_outcome(environment, results)
        return outcome, "the cell has no result that can be compared" if outcome is Outcome.UNTESTABLE else ""

    def _further_outcome(self, environment: BuiltEnvironment, results: Results) -> tuple[Outcome, str]:
        """Measure more seeds, of both environments too, until an undecided environment is bad or good.

        The looks share another alpha. The results of both environments are reused in other steps.
        """
        symptom, done = self.symptom, len(self.symptom.records)
        counts = [look.seeds for look in planned_looks(len(ALL_AUTO_SEEDS)) if look.seeds > done]
        for count in counts:
            plan = self.plan.with_seeds(ALL_AUTO_SEEDS[done:count])
            done = count
            try:
                before, later, more = (
                    self._measure(one, plan) for one in (self.sides.before, self.sides.after, environment)
                )
            except BenchmarkRunError as error:
                return Outcome.UNDECIDED, f"more seeds cannot run: {error}"
            symptom = symptom.with_more(before.records, later.records)
            results = Results((*results.records, *more.records), (*results.failures, *more.failures))
            outcome = outcome_of(symptom, results, tolerance=self.tolerance, alpha=self.alpha / len(counts))
            if outcome.is_known:
                return outcome, f"after {count} seeds"
        return Outcome.UNDECIDED, f"after {done} seeds"

    def _measure(self, environment: BuiltEnvironment, plan: Plan) -> Results:
        # Results of another cell or of other seeds must not be reused for these.
        folder = self.folder / short_digest("\n".join(plan.flags))
        count = self.passes if self.symptom.needs_passes else 1
        files = [folder / f"{environment.key}-{number}.json" for number in range(1, count + 1)]

        def notify(line: str) -> None:
            self.notify(f"  {line}")

        return merge_passes([run_benchmarks(environment, plan, file, notify) for file in files], environment.key)
