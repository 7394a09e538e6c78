"""Division of cells among shards: every cell in one shard, the same on every machine, and evenly."""

from __future__ import annotations

import dataclasses
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.settings import Shard
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record, Round
from pytest_sst2.runner.sharding import Costs, assign_shards, divide
from tests.conftest import collected, results
from tests.support.record_factory import PHASES, make_record

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
OF = {method.name: method for method in METHODS}
MODELS = [ModelSpec(name, f"org/{name}") for name in ("a", "b", "c")]


def cell(method: str = "fine-tune", model: str | None = "a", seed: int = 42) -> Cell:
    spec = OF.get(method) or MethodSpec(method, "somebody:train")
    return Cell(ModelSpec(model, f"org/{model}") if model else None, spec, seed)


def took(seconds: float, *, method: str = "fine-tune", model: str | None = "a", seed: int = 42) -> Record:
    made = cell(method, model, seed)
    rounds = (Round(seconds, (), None, 5, None),)
    return make_record(cell=made.id, model=model, method=method, seed=seed, rounds=rounds)


def from_cache(record: Record) -> Record:
    phases = (dataclasses.replace(PHASES[0], cached=True),)
    return dataclasses.replace(record, rounds=tuple(dataclasses.replace(each, phases=phases) for each in record.rounds))


class TestCosts:
    def test_a_cell_costs_the_median_of_its_rounds(self) -> None:
        rounds = tuple(Round(seconds, (), None, 5, None) for seconds in (1.0, 9.0, 2.0))
        assert Costs([dataclasses.replace(took(0), rounds=rounds)])(cell()) == 2.0

    def test_what_was_never_measured_costs_what_is_nearest_to_it(self) -> None:
        cost = Costs([took(10, seed=1), took(20, seed=2), took(60, model="b"), took(2, method="tfidf", model=None)])
        assert cost(cell(seed=1)) == 10
        assert cost(cell(seed=3)) == 15
        assert cost(cell(model="c")) == 30
        assert cost(cell("linear-probe")) == 23

    def test_a_time_from_a_cache_counts_only_where_no_other_seed_has_a_whole_one(self) -> None:
        cached = from_cache(took(1, seed=1))
        assert Costs([cached, took(20, seed=2)])(cell(seed=1)) == 20
        assert Costs([cached, took(60, model="b")])(cell(seed=1)) == 1
        half = dataclasses.replace(took(20), rounds=(*took(20).rounds, *from_cache(took(1)).rounds))
        assert Costs([half])(cell()) == 20

    def test_without_a_baseline_methods_have_relative_costs(self) -> None:
        cost = Costs([])
        ordered = sorted(OF, key=lambda name: cost(cell(name)))
        assert ordered == ["majority", "tfidf", "as-is", "linear-probe", "torch-probe", "fine-tune"]
        assert cost(cell("somebodys-own")) == cost(cell("fine-tune"))


CELLS = st.lists(
    st.builds(
        Cell,
        st.sampled_from(MODELS),
        st.sampled_from([OF["fine-tune"], OF["linear-probe"], OF["torch-probe"]]),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=24,
    unique_by=lambda each: each.id,
)


class TestDivision:
    @given(CELLS, st.integers(1, 9), st.randoms(use_true_random=False))
    def test_every_cell_is_in_exactly_one_shard_and_each_shard_divides_alike(
        self, cells: list[Cell], count: int, chance: random.Random
    ) -> None:
        known = Results([took(chance.choice([0.5, 1, 7, 30]), seed=seed) for seed in (1, 2, 3)], [], origin="main")
        shuffled = chance.sample(cells, len(cells))
        divisions = [divide(cells, Shard(number, count), known) for number in range(1, count + 1)]
        others = [divide(shuffled, Shard(number, count), known) for number in range(1, count + 1)]
        assert sorted(name for each in divisions for name in each.mine) == sorted(each.id for each in cells)
        assert [set(each.mine) for each in divisions] == [set(each.mine) for each in others]
        assert all(each.planned == tuple(each.id for each in cells) for each in divisions)
        assert sum(each.seconds for each in divisions) == pytest.approx(divisions[0].total_seconds)

    @given(CELLS, st.integers(1, 6), st.data())
    def test_no_shard_has_more_than_list_scheduling_may_give_it(
        self, cells: list[Cell], count: int, data: st.DataObject
    ) -> None:
        seconds = {each.id: data.draw(st.floats(0.01, 100)) for each in cells}
        fullest = max(_loads(cells, seconds, count))
        least = max(sum(seconds.values()) / count, *seconds.values(), 0)
        assert fullest <= (2 - 1 / count) * least * (1 + 1e-9)

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.floats(0.01, 100), min_size=1, max_size=7), st.integers(1, 3))
    def test_single_cells_are_within_graham_s_bound_of_the_best_division(self, costs: list[float], count: int) -> None:
        cells = [cell(seed=number) for number in range(len(costs))]
        seconds = {each.id: cost for each, cost in zip(cells, costs, strict=True)}
        best = min(
            max(sum(cost for cost, at in zip(costs, places, strict=True) if at == number) for number in range(count))
            for places in itertools.product(range(count), repeat=len(costs))
        )
        assert max(_loads(cells, seconds, count)) <= (4 / 3 - 1 / (3 * count)) * best * (1 + 1e-9)

    def test_cells_of_one_frozen_encoder_stay_together_up_to_a_fair_share(self) -> None:
        probes = [cell(method, "a", seed) for method in ("linear-probe", "torch-probe") for seed in (1, 2)]
        other = [cell("fine-tune", "b", seed) for seed in (1, 2)]
        together = assign_shards([*probes[:2], *other], lambda each: 1.0 if each in probes else 2.0, 2)
        assert together[probes[0].id] == together[probes[1].id]
        split = assign_shards([*probes, *other], lambda each: 3.0 if each in probes else 4.0, 3)
        assert len({split[each.id] for each in probes}) > 1

    def test_equal_cells_are_placed_by_their_ids(self) -> None:
        cells = [cell(seed=seed) for seed in (3, 1, 2)]
        assert assign_shards(cells, lambda each: 1.0, 2) == {cells[1].id: 1, cells[2].id: 2, cells[0].id: 1}

    def test_all_seeds_of_a_cell_stay_in_one_shard_where_they_stop_together(self) -> None:
        cells = [cell(method, seed=seed) for method in ("fine-tune", "linear-probe", "torch-probe") for seed in (1, 2)]
        shards = assign_shards(cells, lambda _: 1.0, 3, seeds_together=True)
        homes = {key: {shards[one.id] for one in cells if one.key == key} for key in (one.key for one in cells)}
        assert [len(home) for home in homes.values()] == [1, 1, 1]
        assert len(set.union(*homes.values())) == 3

    def test_a_huge_number_of_shards_takes_no_memory(self) -> None:
        assert divide([cell()], Shard(10**15, 10**15), None).mine == ()

    def test_the_summary(self) -> None:
        cells = [cell(seed=seed) for seed in (1, 2, 3)]
        known = Results([took(60, seed=1), took(60, seed=2), took(120, seed=3)], [], origin="main")
        line = divide(cells, Shard(2, 2), known).line
        assert line == "shard 2/2: 2 of 3 cells, about 2 min of 4 min by baseline 'main'"
        assert (
            divide(cells, Shard(1, 3), None).line
            == "shard 1/3: 1 of 3 cells, divided by method because there is no baseline"
        )
        assert divide(cells, Shard(4, 4), None).line.startswith("shard 4/4: none of 3 cells: nothing is left")


def _loads(cells: list[Cell], seconds: dict[str, float], count: int) -> list[float]:
    shard_of = assign_shards(cells, lambda each: seconds[each.id], count)
    return [sum(seconds[name] for name, at in shard_of.items() if at == number) for number in range(1, count + 1)]


class TestOption:
    @pytest.mark.parametrize(
        ("value", "part"),
        [
            ("0/8", "there is no shard '0/8'; the shards are 1/8 to 8/8"),
            ("9/8", "there is no shard '9/8'"),
            ("3", "'3' is not a shard; write 3/8 for the third of eight"),
            ("a/b", "'a/b' is not a shard"),
            ("1/0", "'1/0' is not a shard"),
            ("-1/2", "--sst2-shard"),
        ],
    )
    def test_what_is_no_shard_is_refused_with_what_one_is(self, cells: pytest.Pytester, value: str, part: str) -> None:
        result = cells.runpytest("--sst2-shard", value)
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{part}*"])

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["--sst2-save", "main"], "ERROR: --sst2-save with --sst2-shard 1/2 *pytest-sst2 merge * --save main."),
            (
                ["--sst2-calibrate-floors", "--sst2-seeds", "1,2,3,4,5"],
                "ERROR: --sst2-calibrate-floors with *pytest-sst2 merge *",
            ),
        ],
    )
    def test_what_needs_all_cells_is_refused(self, cells: pytest.Pytester, arguments: list[str], part: str) -> None:
        result = cells.runpytest("--sst2-shard", "1/2", *arguments)
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines([part])

    def test_it_may_stand_in_an_ini_file(self, cells: pytest.Pytester) -> None:
        cells.makeini("[pytest]\nsst2_shard = 2/2\nsst2_methods = tfidf,majority\n")
        assert collected(cells.runpytest("--collect-only", "-q")) == ["majority-seed42"]

    def test_what_k_has_left_is_divided_and_other_tests_are_untouched(self, cells: pytest.Pytester) -> None:
        cells.makepyfile(test_plain="def test_plain(): ...", test_more="def test_again(sst2_cell): ...")
        every = ("--collect-only", "-q", "--methods", "tfidf,majority", "--sst2-seeds", "1,2", "-k", "seed1 or plain")
        shards = [cells.runpytest(*every, "--sst2-shard", f"{number}/2") for number in (1, 2)]
        assert [collected(each) for each in shards] == [["tfidf-seed1"], ["majority-seed1"]]
        for each in shards:
            each.stdout.fnmatch_lines(["*test_plain.py::test_plain*", "3/9 tests collected (6 deselected)*"])
            # Both tests of a cell are in the same shard.
            assert each.stdout.str().count("-seed1") == 2

    def test_costs_come_from_the_newest_baseline_or_the_one_that_is_compared_with(self, cells: pytest.Pytester) -> None:
        dear = [took(40 if seed == 1 else 10, seed=seed, model="minilm") for seed in (1, 2, 3, 4, 5)]
        save(cells.path, "b-old", [took(1, seed=seed, model="minilm") for seed in (1, 2, 3)], at="2026-01-01")
        save(cells.path, "a-new", dear, at="2026-02-01")
        options = ("--collect-only", "--methods", "fine-tune", "--sst2-seeds", "1,2,3,4,5", "--sst2-shard", "1/2")
        newest = cells.runpytest(*options)
        newest.stdout.fnmatch_lines(["sst2: shard 1/2: 1 of 5 cells, about 40 s of 1 min by baseline 'a-new'"])
        named = cells.runpytest(*options, "--sst2-compare", "b-old")
        named.stdout.fnmatch_lines(["sst2: shard 1/2: 3 of 5 cells, about 3 s of 5 s by baseline 'b-old'"])

    def test_a_damaged_baseline_is_skipped_and_named(self, cells: pytest.Pytester) -> None:
        save(cells.path, "good", [took(1)])
        (cells.path / ".sst2" / "main.json").write_text("{", encoding="utf-8")
        result = cells.runpytest("--sst2-shard", "1/2", "--methods", "tfidf", "--collect-only")
        assert result.ret == 0
        result.stdout.fnmatch_lines(["sst2: skipped: *main.json is not a results file*", "*by baseline 'good'"])


def save(folder: Path, name: str, records: list[Record], at: str = "") -> None:
    path = folder / ".sst2" / f"{name}.json"
    save_baseline(path, Results(records), overwrite=False)
    if at:
        text = path.read_text(encoding="utf-8")
        saved = results(path)["saved"]
        path.write_text(text.replace(saved, f"{at}T00:00:00+00:00"), encoding="utf-8")


class TestEmptyShard:
    @pytest.mark.parametrize("how", [[], ["-p", "no:xdist"], ["-n", "2"]], ids=["plain", "without xdist", "xdist"])
    def test_it_passes_and_its_file_says_what_is_planned(self, project: pytest.Pytester, how: list[str]) -> None:
        options = ("--methods", "tfidf,majority", "--sst2-shard", "3/3", "--sst2-json", "r.json")
        result = project.runpytest_subprocess(*options, *how)
        assert result.ret == 0
        result.stdout.fnmatch_lines(["shard 3/3: none of 2 cells: nothing is left for it*"])
        data = results(project.path / "r.json")
        assert (data["records"], data["shard"], data["planned"]) == ([], "3/3", ["tfidf-seed42", "majority-seed42"])

    def test_it_has_nothing_to_compare_and_its_report_says_so(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "tfidf,majority", "--sst2-save", "main")
        result = project.runpytest(
            *("--methods", "tfidf,majority", "--sst2-shard", "3/3", "--sst2-compare", "main", "--sst2-report", "out")
        )
        assert result.ret == 0
        assert "NOTHING MEASURED" in (project.path / "out" / "sst2-report.md").read_text(encoding="utf-8")

    def test_a_selection_that_leaves_no_cell_to_any_shard_is_still_told(self, project: pytest.Pytester) -> None:
        assert project.runpytest("-k", "nothing", "--sst2-shard", "1/2").ret == pytest.ExitCode.NO_TESTS_COLLECTED
