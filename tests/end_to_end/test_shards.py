"""Shards of a run: measured apart, merged, compared and used as a baseline."""

from __future__ import annotations

import pytest

from pytest_sst2.cli.main import main
from tests.conftest import results
from tests.end_to_end.test_gate import WORSE

METHODS = ("--methods", "linear-probe,tfidf,majority", "--sst2-seeds", "1,2")


class TestLifeCycle:
    @pytest.mark.parametrize(
        "how", [pytest.param((), id="plain"), pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.processes)]
    )
    def test_three_shards_joined_are_the_whole_run(
        self, project: pytest.Pytester, how: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        files = [f"{number}.json" for number in (1, 2, 3)]
        for number, file in enumerate(files, 1):
            asked = (*METHODS, "--sst2-shard", f"{number}/3", "--sst2-json", file)
            run = project.runpytest_subprocess(*asked, *how) if how else project.runpytest(*asked)
            assert run.ret == 0
            run.stdout.fnmatch_lines(
                [f"*shard {number}/3: * of 6 cells, divided by method because there is no baseline"]
            )
            assert "did not run" not in run.stdout.str()
            data = results(project.path / file)
            assert (data["shard"], len(data["planned"])) == (f"{number}/3", 6)
        assert main(["merge", *files, "-o", "all.json", "--save", "joined"]) == 0

        assert project.runpytest(*METHODS, "--sst2-json", "whole.json").ret == 0
        whole, joined = results(project.path / "whole.json"), results(project.path / "all.json")
        assert joined["planned"] == whole["planned"]
        accuracies = [[(each["cell"], each["accuracy"]) for each in data["records"]] for data in (whole, joined)]
        assert accuracies[0] == accuracies[1]
        capsys.readouterr()
        assert main(["compare", "whole.json", "all.json"]) == 0
        assert "HOLDS: all 3 cells answered every sentence as before" in capsys.readouterr().out

        gate = project.runpytest(*METHODS, "--sst2-compare", "joined", "--sst2-shard", "1/3")
        assert gate.ret == 0
        gate.stdout.fnmatch_lines(
            ["sst2: shard 1/3: * by baseline 'joined'", "compared for this shard alone: *", "HOLDS: * as before"]
        )
        assert "not measured" not in gate.stdout.str()

    def test_what_no_shard_measures_is_missing_in_the_joined_file_alone(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods=tfidf,majority,linear-probe", "--sst2-save=main")
        for number in (1, 2):
            asked = ("--methods=tfidf,majority", f"--sst2-shard={number}/2", f"--sst2-json={number}.json")
            shard = project.runpytest(*asked, "--sst2-compare=main", "--sst2-fail-on=missing")
            assert shard.ret == 0
            shard.stdout.fnmatch_lines(["HOLDS: * answered every sentence as before"])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
        assert main(["compare", "main", "all.json"]) == 0
        assert main(["compare", "main", "all.json", "--fail-on=missing"]) == 1

    def test_seeds_of_other_shards_are_missing_in_none(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods=tfidf", "--sst2-seeds=1,2,3", "--sst2-save=main")
        for number in (1, 2):
            asked = ("--methods=tfidf", "--sst2-seeds=1,2", f"--sst2-shard={number}/2", "--sst2-compare=main")
            shard = project.runpytest(*asked, "--sst2-fail-on=missing", f"--sst2-json={number}.json")
            assert shard.ret == 0
            shard.stdout.fnmatch_lines(["HOLDS: * answered every sentence as before"])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
        assert main(["compare", "main", "all.json", "--fail-on=missing"]) == 1

    def test_a_cell_of_this_shard_that_had_no_turn_is_missing(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods=tfidf,majority", "--sst2-save=main")
        project.makeconftest("""
            def pytest_collection_modifyitems(items):
                items.sort(key=lambda item: "majority" not in item.name)

            def pytest_runtest_logreport(report):
                if report.when == "teardown" and "majority" in report.nodeid:
                    import pytest
                    raise pytest.exit("enough", returncode=0)
        """)
        asked = ("--methods=tfidf,majority", "--sst2-shard=1/1", "--sst2-compare=main", "--sst2-fail-on=missing")
        stopped = project.runpytest_subprocess(*asked)
        stopped.stdout.fnmatch_lines(["FAILS: * not run, and the baseline has it"])

    def test_a_baseline_from_shards_gates_a_later_run(self, project: pytest.Pytester) -> None:
        methods = ("--methods", "tfidf,majority")
        for number in (1, 2):
            project.runpytest(*methods, "--sst2-shard", f"{number}/2", "--sst2-json", f"{number}.json")
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 0
        assert project.runpytest(*methods, "--sst2-compare", "main").ret == 0
        project.makeconftest(WORSE)
        worse = project.runpytest(*methods, "--sst2-compare", "main")
        assert worse.ret == 1
        worse.stdout.fnmatch_lines(["FAILS: tfidf *"])

    def test_a_shard_whose_cells_are_all_new_has_nothing_to_compare(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "majority", "--sst2-save", "main")
        for number, said in (
            (1, "HOLDS: * as before"),
            (2, "baseline 'main' has no cell of this shard*"),
        ):
            asked = ("--methods", "tfidf,majority", "--sst2-shard", f"{number}/2", "--sst2-compare", "main")
            result = project.runpytest(*asked)
            assert result.ret == 0
            result.stdout.fnmatch_lines([said])
