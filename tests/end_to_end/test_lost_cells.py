"""A cell that a test leaves without a number: no baseline is saved without it, and no run that keeps results passes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results
from tests.conftest import results
from tests.support.record_factory import make_record

# What the test of each seed does before it measures; seed 1 measures. The last ones fail no test.
LOSSES = {
    1: "pass",
    2: "pytest.fail('Timeout >5.0s')  # as pytest-timeout does",
    3: "raise SystemExit(0)",
    4: "raise OSError('no disk')",
    5: "pytest.skip('no GPU')",
    6: "pytest.xfail('later')",
    7: "return",
}
BENCHMARK = """
import pytest

@pytest.fixture
def machine(sst2_cell):
    if sst2_cell.seed == 8:
        raise OSError('no disk')
    if sst2_cell.seed == 9:
        pytest.skip('no GPU')

@pytest.mark.sst2("majority")
def test_cell(machine, sst2_run, sst2_cell):
    {losses}
    sst2_run.measure()
"""
SEEDS = (*LOSSES, 8, 9)


def cell(seed: int) -> str:
    return f"majority-seed{seed}"


@pytest.fixture
def bench(project: pytest.Pytester) -> pytest.Pytester:
    losses = "\n    ".join(f"if sst2_cell.seed == {seed}: {loss}" for seed, loss in LOSSES.items())
    project.makepyfile(test_bench=BENCHMARK.format(losses=losses))
    return project


def saved(project: pytest.Pytester, *seeds: int) -> Path:
    """Save a baseline with a record per seed."""
    path = project.path / ".sst2" / "main.json"
    records = [
        dataclasses.replace(make_record(seed=seed, method="majority", model=None), cell=cell(seed)) for seed in seeds
    ]
    save_baseline(path, Results(records), overwrite=True, drop="*")
    return path


def run(project: pytest.Pytester, *options: str, seeds: tuple[int, ...] = (1, 5)) -> pytest.RunResult:
    return project.runpytest("--methods=majority", f"--sst2-seeds={','.join(map(str, seeds))}", *options)


SAVE = ("--sst2-save=main", "--sst2-overwrite")


class TestTheRunThatSaves:
    def test_no_way_to_end_a_test_without_a_number_replaces_the_baseline(self, bench: pytest.Pytester) -> None:
        path = saved(bench, 1)
        before = path.read_bytes()
        result = run(bench, *SAVE, "--sst2-json=r.json", seeds=SEEDS)
        assert result.ret == 1
        lost = [cell(seed) for seed in SEEDS[1:]]
        result.stdout.fnmatch_lines(
            [f"ERROR: baseline 'main' was not saved: 8 cells without a number: {', '.join(lost)}.*"]
        )
        assert path.read_bytes() == before
        written = results(bench.path / "r.json")
        assert [record["cell"] for record in written["records"]] == [cell(1)]
        reasons = {failure["cell"]: failure["error"] for failure in written["failures"]}
        assert list(reasons) == lost
        assert reasons[cell(2)] == "its test failed before it was measured: Timeout >5.0s"
        assert reasons[cell(5)] == reasons[cell(9)] == "its test was skipped before it was measured: no GPU"
        assert reasons[cell(7)] == "its test passed without measuring it"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            (("-k", "seed1"), "its test was deselected"),
            (("--deselect", f"test_bench.py::test_cell[{cell(5)}]"), "its test was deselected"),
            ((f"test_bench.py::test_cell[{cell(1)}]",), "its test was deselected"),
            (("-p", "exits"), "the run stopped before its test ended"),
            (("-p", "removes"), "its test was deselected"),
            (("-p", "forgets"), "no test reported a result of it"),
        ],
        ids=[
            "-k",
            "--deselect",
            "node id",
            "pytest.exit with status 0",
            "a plugin that removes",
            "a plugin that forgets",
        ],
    )
    def test_a_test_that_does_not_run_loses_its_cell(
        self, bench: pytest.Pytester, options: tuple[str, ...], reason: str
    ) -> None:
        bench.makepyfile(
            exits="import pytest\n\ndef pytest_runtest_setup(item):\n"
            "    if 'seed5' in item.name: pytest.exit('enough', returncode=0)\n",
            removes="def pytest_collection_modifyitems(items):\n    del items[1:]\n",
            forgets="def pytest_collection_finish(session):\n    del session.items[1:]\n",
        )
        bench.syspathinsert()
        result = run(bench, "--sst2-save=new", "--sst2-json=r.json", *options)
        assert result.ret == 1
        result.stdout.fnmatch_lines([f"ERROR: baseline 'new' was not saved: 1 cell without a number: {cell(5)}.*"])
        assert not (bench.path / ".sst2" / "new.json").exists()
        written = results(bench.path / "r.json")
        assert [record["cell"] for record in written["records"]] == [cell(1)]
        assert [(failure["cell"], failure["error"]) for failure in written["failures"]] == [(cell(5), reason)]

    def test_a_file_that_is_skipped_as_a_whole_loses_its_cells(self, bench: pytest.Pytester) -> None:
        bench.makepyfile(
            test_other="import pytest\n\n@pytest.mark.sst2('tfidf')\ndef test_cell(sst2_run): sst2_run.measure()\n",
            skips="import pytest\n\ndef pytest_make_collect_report(collector):\n"
            "    if collector.name == 'test_other.py':  # as --lf does\n"
            "        return pytest.CollectReport(collector.nodeid, 'passed', longrepr=None, result=[])\n",
        )
        bench.syspathinsert()
        result = run(bench, "--methods=majority,tfidf", "--sst2-save=new", "-p", "skips", seeds=(1,))
        assert result.ret == 1
        result.stdout.fnmatch_lines(["ERROR: baseline 'new' was not saved: 1 cell without a number: tfidf-seed1.*"])

    def test_a_cell_of_the_replaced_baseline_is_dropped_only_by_name(self, bench: pytest.Pytester) -> None:
        path = saved(bench, 1, 11, 12)
        result = run(bench, *SAVE, seeds=(1,))
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            [
                f"sst2: WARNING: baseline 'main' will not be saved, because this run does not measure {cell(11)}, *",
                "ERROR: baseline 'main' was not saved: 2 cells of the baseline that it replaces not measured: *"
                f"drop them: --sst2-drop-cells={cell(11)},{cell(12)}.",
            ]
        )
        assert run(bench, *SAVE, "--sst2-drop-cells=*-seed11", seeds=(1,)).ret == 1
        result = run(bench, *SAVE, "--sst2-drop-cells=*-seed11,majority-seed12", seeds=(1,))
        assert result.ret == 0
        result.stdout.fnmatch_lines([f"baseline 'main' with 1 record in *, without {cell(11)}, {cell(12)}"])
        assert [record["cell"] for record in results(path)["records"]] == [cell(1)]

    def test_a_lost_cell_that_is_dropped_by_name_fails_nothing(self, bench: pytest.Pytester) -> None:
        assert run(bench, "--sst2-save=main", "--sst2-drop-cells=majority-seed5").ret == 0
        assert run(bench, "--sst2-save=other", "--sst2-drop-cells=majority-seed5", "-k", "seed1").ret == 0


class TestTheRunThatDoesNotSave:
    def test_it_may_select_some_cells(self, bench: pytest.Pytester) -> None:
        saved(bench, 1, 5)
        result = run(bench, "-k", "seed1", "--sst2-json=r.json")
        assert result.ret == 0
        result.stdout.no_fnmatch_line("*without a number*")
        assert results(bench.path / "r.json")["failures"] == []

    def test_a_skipped_cell_fails_it_if_it_keeps_its_results(self, bench: pytest.Pytester) -> None:
        result = run(bench, "--sst2-json=r.json")
        assert result.ret == 1
        result.stdout.fnmatch_lines([f"ERROR: 1 cell without a number although no test failed: {cell(5)}. *"])
        assert [failure["cell"] for failure in results(bench.path / "r.json")["failures"]] == [cell(5)]
        result = run(bench)
        assert result.ret == 0
        result.stdout.fnmatch_lines([f"1 cell did not run: {cell(5)}"])
        result.stdout.no_fnmatch_line("*FAILED*")

    def test_a_mark_that_skips_a_test_leaves_its_cell_out_on_purpose(self, bench: pytest.Pytester) -> None:
        bench.makepyfile(
            test_marked="import pytest\n\n@pytest.mark.skipif(True, reason='no GPU')\n@pytest.mark.sst2('tfidf')\n"
            "def test_cell(sst2_run): sst2_run.measure()\n"
        )
        result = run(bench, "--methods=majority,tfidf", "--sst2-json=r.json", seeds=(1,))
        assert result.ret == 0
        result.stdout.fnmatch_lines(["1 cell did not run: tfidf-seed1"])
        assert results(bench.path / "r.json")["failures"] == []
        saving = run(bench, "--methods=majority,tfidf", "--sst2-save=new", seeds=(1,))
        assert saving.ret == 1
        saving.stdout.fnmatch_lines(["ERROR: baseline 'new' was not saved: 1 cell without a number: tfidf-seed1.*"])

    def test_a_skipped_cell_keeps_its_record_of_an_earlier_run(self, bench: pytest.Pytester) -> None:
        assert run(bench, "--sst2-json=r.json", seeds=(1,)).ret == 0
        path = bench.path / "r.json"
        path.write_text(path.read_text(encoding="utf-8").replace("seed1", "seed5"), encoding="utf-8")
        assert run(bench, "--sst2-resume=r.json", seeds=(5,)).ret == 1
        written = results(path)
        assert [record["cell"] for record in written["records"]] == [cell(5)]

    def test_a_test_that_cannot_measure_plans_no_cell(self, bench: pytest.Pytester) -> None:
        bench.makepyfile(test_names="def test_name(sst2_cell):\n    assert sst2_cell.id\n")
        assert run(bench, "--sst2-save=main", "--methods=majority,tfidf", "--sst2-json=r.json", seeds=(1,)).ret == 0
        assert results(bench.path / "r.json")["planned"] == [cell(1)]


@pytest.mark.processes
@pytest.mark.parametrize("options", [(), ("-k", "seed1 or seed3")], ids=["skipped", "deselected"])
def test_the_controller_of_pytest_xdist_knows_what_its_workers_lost(
    bench: pytest.Pytester, options: tuple[str, ...]
) -> None:
    saved(bench, 1, 5)
    result = bench.runpytest_subprocess(
        "--methods=majority", "--sst2-seeds=1,5", "-n2", *SAVE, "--sst2-json=r.json", *options
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"ERROR: baseline 'main' was not saved: 1 cell without a number: {cell(5)}.*"])
    assert [failure["cell"] for failure in results(bench.path / "r.json")["failures"]] == [cell(5)]
