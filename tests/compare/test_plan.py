"""The plan says what the verdict does."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from pytest_sst2.compare import plan as module
from pytest_sst2.compare.plan import PlanRow, Situation, plan_rows
from pytest_sst2.compare.plan_situations import default_situations, group_count, situations
from pytest_sst2.compare.would_decide import run_seconds
from pytest_sst2.results.record import Record
from tests.support.record_factory import answered, with_fingerprint

PROBE = Situation("probe", 0.8, 0.01, 0.0, False, 10.0, 0.01, ())
TRAINED = dataclasses.replace(PROBE, name="fine-tune", flips=0.06, seed_sd=0.004, is_random=True)


def row(situation: Situation, sentences: int, seeds: int = 1, *, tolerance: float = 0.01, groups: int = 1) -> PlanRow:
    rows = [*plan_rows(situation, [sentences], [seeds], tolerance=tolerance, alpha=0.01, groups=groups)]
    assert len(rows) == 1
    return rows[0]


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RUNS", 40)


class TestProbe:
    def test_the_drop_that_is_found_is_beyond_the_tolerance_and_shrinks_with_the_sentences(self) -> None:
        drops = [row(PROBE, sentences).found_drop for sentences in (200, 872, 5000)]
        assert all(drop is not None and drop > 0.01 for drop in drops)
        assert all((one or 0) > (other or 0) for one, other in itertools.pairwise(drops))

    def test_a_wider_tolerance_shows_more_harmless_changes_to_hold(self) -> None:
        narrow, wide = (row(PROBE, 872, tolerance=tolerance).held for tolerance in (0.01, 0.02))
        assert 0.2 < narrow < 0.8
        assert wide > 0.9

    def test_answers_that_never_flip_always_hold(self) -> None:
        assert row(dataclasses.replace(PROBE, flips=0.0), 100).held == 1.0

    def test_more_cells_need_a_larger_drop(self) -> None:
        assert (row(PROBE, 872, groups=5).found_drop or 0) > (row(PROBE, 872).found_drop or 1)

    def test_seeds_are_not_planned_and_the_seconds_are_those_of_one_run(self) -> None:
        rows = [*plan_rows(PROBE, [100, 200], [1, 5], tolerance=0.01, alpha=0.01)]
        assert [(each.sentences, each.seeds, each.seconds) for each in rows] == [(100, 1, 11.0), (200, 1, 12.0)]

    def test_a_drop_that_is_never_found_is_none(self) -> None:
        assert row(PROBE, 5).found_drop is None


class TestTraining:
    def test_more_seeds_find_a_smaller_drop_and_cost_more(self) -> None:
        one, five = (row(TRAINED, 400, seeds) for seeds in (1, 5))
        assert (five.found_drop or 1) < (one.found_drop or 0)
        assert one.held == 0.0
        assert five.seconds == 5 * one.seconds

    def test_held_out_sentences_are_drawn_by_the_seed_and_validation_rows_are_not(self) -> None:
        for sentences, is_shared in ((872, True), (873, False)):
            steady = dataclasses.replace(TRAINED, flips=0.0, seed_sd=0.0)
            simulation = module._Simulation(steady, sentences, 2, 0.01, 0.01, 1)
            before, after = simulation._answers(0.0, np.random.default_rng(1))
            assert (before == after).all()
            assert bool((before[0] == before[1]).all()) is is_shared

    def test_the_simulated_answers_have_the_situation_s_accuracy_flips_and_spread(self) -> None:
        simulation = module._Simulation(dataclasses.replace(TRAINED, validation_rows=4000), 4000, 40, 0.01, 0.01, 1)
        before, after = simulation._answers(0.05, np.random.default_rng(1))
        assert before.mean() == pytest.approx(0.8, abs=0.01)
        assert after.mean() - before.mean() == pytest.approx(-0.05, abs=0.005)
        disagreement = np.mean([(one != other).mean() for one, other in itertools.pairwise(before)])
        assert disagreement == pytest.approx(0.06, abs=0.01)
        variance = 0.004**2 + 0.06 / 2 / 4000
        assert before.mean(axis=1).std(ddof=1) == pytest.approx(variance**0.5, rel=0.4)


class TestSituations:
    RIGHT = np.arange(400) % 5 != 0

    def seeds(self, *, flipped: int = 0, count: int = 3, method: str = "fine-tune", **changes: object) -> list[Record]:
        records = []
        for seed in range(count):
            right = self.RIGHT.copy()
            right[seed * flipped : (seed + 1) * flipped] ^= True
            records.append(answered(right.tolist(), seed=seed, method=method, **changes))
        return records

    def test_the_seeds_of_a_baseline_give_flips_and_spread(self) -> None:
        (cell,) = situations(self.seeds(flipped=10))
        assert (cell.name, cell.is_random) == ("minilm × fine-tune", True)
        # Any two of the seeds differ where one of them was flipped: 20 of 400.
        assert cell.flips == pytest.approx(0.05)
        assert cell.sources[0] == "its 3 seeds differ in 5.0 % of the answers"

    def test_one_seed_says_what_it_assumes(self) -> None:
        (cell,) = situations(self.seeds(count=1))
        assert all(source.startswith("assumed") for source in cell.sources)

    def test_the_seconds_are_those_of_the_baseline(self) -> None:
        (cell,) = situations(self.seeds())
        seconds = cell.run_seconds + 400 * cell.sentence_seconds
        assert seconds == pytest.approx(run_seconds(self.seeds()[0], 400))

    def test_cells_that_do_not_train_in_steps_are_one_and_constant_ones_are_left_out(self) -> None:
        probes = [
            with_fingerprint(record, training=None)
            for method in ("linear-probe", "torch-probe")
            for record in self.seeds(method=method, count=1)
        ]
        constant = dataclasses.replace(probes[0], method="majority", model=None, predictions=(0,) * 400)
        (cell,) = situations([*probes, constant])
        assert (cell.name, cell.is_random) == ("minilm × linear-probe, minilm × torch-probe", False)
        assert group_count([*probes, constant]) == 1
        assert group_count([*probes, *self.seeds()]) == 2

    def test_without_records_the_figures_are_stated(self) -> None:
        assert situations([]) == []
        assert [cell.is_random for cell in default_situations()] == [False, True]
        assert group_count([]) == 1
