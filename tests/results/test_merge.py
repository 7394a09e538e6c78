"""Merge: shards measured apart are judged as the run that they are, or refused with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Failure, Record
from tests.conftest import results
from tests.end_to_end.test_gate import WORSE
from tests.support.record_factory import ENVIRONMENT, answered

NAMES = ("a", "b", "c", "d")
PLANNED = tuple(f"{name}-linear-probe-seed42" for name in NAMES)


def measured(name: str, seed: int = 42, **changes: Any) -> Record:
    return answered([True, False, True, True], model=name, seed=seed, **changes)


def failed(name: str, error: str = "out of memory") -> Failure:
    return Failure(f"{name}-linear-probe-seed42", name, "linear-probe", 42, error)


def write(
    path: str, records: Sequence[Record], failures: Sequence[Failure] = (), *, shard: str = "", **rest: Any
) -> None:
    rest = {"saved": "2026-08-01T12:00:00+00:00", "planned": PLANNED, **rest}
    Path(path).write_text(results_text(records, failures, shard=shard, **rest), encoding="utf-8")


def read(path: str | Path) -> Results:
    return results_from_text(Path(path).read_text(encoding="utf-8"), str(path))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _two_shards() -> None:
    write("1.json", [measured("d"), measured("b")], shard="1/2")
    write("2.json", [measured("c"), measured("a")], shard="2/2", saved="2026-08-02T12:00:00+00:00")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = {path: path.read_bytes() for path in Path().rglob("*.json")}
    capsys.readouterr()
    assert main(["merge", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().rglob("*.json")} == before
    return output.err


@pytest.mark.usefixtures("_two_shards")
class TestWhole:
    def test_records_are_as_they_were_in_the_order_planned(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["merge", "2.json", "1.json", "-o", "all.json"]) == 0
        assert capsys.readouterr().out == "4 records of 2 files in all.json\n"
        data = results(Path("all.json"))
        assert [record["cell"] for record in data["records"]] == list(PLANNED) == data["planned"]
        single = {each["cell"]: each for name in ("1.json", "2.json") for each in results(Path(name))["records"]}
        assert {each["cell"]: each for each in data["records"]} == single
        assert (data["shard"], data["saved"]) == ("", "2026-08-02T12:00:00+00:00")

    def test_it_may_be_saved_as_a_baseline_instead_or_beside(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 0
        assert capsys.readouterr().out.startswith("baseline 'main' with 4 records in ")
        assert [each.cell for each in read(".sst2/main.json").records] == list(PLANNED)
        there = refusal(capsys, "1.json", "2.json", "--save", "main", "-o", "all.json")
        assert "--save main: there is a baseline of that name" in there
        assert "add --overwrite to replace it" in there
        assert main(["merge", "1.json", "2.json", "--save", "main", "-o", "all.json", "--overwrite"]) == 0
        assert Path("all.json").is_file()

    def test_one_of_both_must_be_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "-o FILE, --save NAME" in refusal(capsys, "1.json", "2.json")

    def test_a_file_that_is_there_is_replaced_only_when_told_to(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "-o '1.json' exists already" in refusal(capsys, "1.json", "2.json", "-o", "1.json")
        assert main(["merge", "1.json", "2.json", "-o", "1.json", "--overwrite"]) == 0
        assert len(read("1.json").records) == 4

    def test_a_shard_without_a_cell_belongs_to_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        for number in (1, 2):
            write(f"{number}.json", read(f"{number}.json").records, shard=f"{number}/3")
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 1
        assert "no file of shard 3/3" in capsys.readouterr().out
        write("3.json", [], shard="3/3", saved="")
        assert main(["merge", "1.json", "2.json", "3.json", "-o", "all.json", "--overwrite"]) == 0


class TestMissing:
    def test_missing_cells_and_shards_are_named_and_what_is_there_is_written(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("1.json", [measured("a")], shard="1/4")
        write("3.json", [measured("c")], shard="3/4")
        assert main(["merge", "1.json", "3.json", "-o", "all.json", "--save", "main"]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "2 records of 2 files in all.json",
            "2 cells of 4 missing: b-linear-probe-seed42, d-linear-probe-seed42",
            "no file of shards 2/4, 4/4",
            "baseline 'main' was not saved: some cells have no result. An existing baseline is unchanged.",
        ]
        assert not Path(".sst2").exists()
        assert read("all.json").shard == "1+3/4"
        # What is missing may come later.
        write("2.json", [measured("b")], shard="2/4")
        write("4.json", [measured("d")], shard="4/4")
        assert main(["merge", "all.json", "2.json", "4.json", "-o", "all.json", "--overwrite"]) == 0
        assert read("all.json").shard == ""

    def test_a_shard_that_was_killed_leaves_its_cells_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], shard="1/2")
        write("2.json", [measured("c")], shard="2/2", saved="")
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 1
        assert "1 cell of 4 missing: d-linear-probe-seed42" in capsys.readouterr().out
        assert read("all.json").shard == "1+2/2"

    def test_a_number_wins_over_a_failure_and_that_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], [failed("c")], shard="1/2")
        write("2.json", [measured("c"), measured("d")], shard="2/2")
        assert main(["merge", "1.json", "2.json", "-o", "all.json", "--save", "main"]) == 0
        assert (
            "c-linear-probe-seed42 failed in '1.json' and has its number from '2.json': out of memory"
            in capsys.readouterr().out
        )
        assert read("all.json").failures == []

    def test_a_cell_that_failed_is_not_missing_and_makes_no_baseline(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], [failed("c")])
        write("2.json", [measured("d")])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
        assert "1 cell without a number: c-linear-probe-seed42" in capsys.readouterr().out
        assert read("all.json").failures == [failed("c")]
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 1
        assert "baseline 'main' was not saved" in capsys.readouterr().out
        assert not Path(".sst2").exists()


class TestRefused:
    def test_a_cell_that_was_measured_twice(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")])
        write("2.json", [measured("b"), measured("a"), measured("c")])
        said = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert "b-linear-probe-seed42, a-linear-probe-seed42 are in '1.json' and in '2.json'" in said

    @pytest.mark.parametrize("other", ["1.json", "./1.json"])
    def test_a_file_that_is_given_twice(self, other: str, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        assert f"'{other}' is given twice" in refusal(capsys, "1.json", other, "-o", "all.json")

    def test_what_is_no_results_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        Path("2.json").write_text("[]", encoding="utf-8")
        assert "2.json is not a results file" in refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert "no baseline '3.json'" in refusal(capsys, "1.json", "3.json", "-o", "all.json")

    @pytest.mark.parametrize(
        ("changes", "parts"),
        [
            ({"name": "sst2"}, ["reviews validation", "sst2 validation", "cannot stand in one table"]),
            ({"split": "heldout"}, ["reviews heldout", "cannot stand in one table"]),
            ({"digest": "ef" * 32}, ["the rows of seed 42 are others in '1.json' (digest abab", "'2.json' (efef"]),
            ({"revision": "sha256:other"}, ["several editions of the data", "sha256:other in '2.json'"]),
        ],
    )
    def test_other_data(self, changes: dict[str, str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        one, other = measured("a"), measured("b")
        write("1.json", [one])
        write("2.json", [dataclasses.replace(other, dataset=dataclasses.replace(other.dataset, **changes))])
        said = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert not [part for part in parts if part not in said]

    def test_another_recipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        write("2.json", [measured("b", recipe_label="standard")])
        assert "recipe standard" in refusal(capsys, "1.json", "2.json", "-o", "all.json")

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"packages": {"torch": "2.14.0"}}, "torch 2.13.0 / 2.14.0"),
            ({"packages": {"torch": "2.13.0", "accelerate": "1.0"}}, "accelerate none / 1.0"),
            ({"python": "3.11.7"}, "python 3.12.1 / 3.11.7"),
            ({"device": "cuda", "device_name": "H100"}, "device cpu / cuda"),
        ],
    )
    def test_other_software(self, changes: dict[str, Any], part: str, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        write("2.json", [measured("b", environment=dataclasses.replace(ENVIRONMENT, **changes))])
        said = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert part in said
        assert "'1.json'" in said
        assert "'2.json'" in said

    def test_another_machine_is_no_reason(self) -> None:
        elsewhere = dataclasses.replace(
            ENVIRONMENT, cpu_model="Xeon", cpu_cores=64, threads=32, variables={}, blas="mkl", device_name="Xeon"
        )
        other = measured("b", environment=elsewhere)
        write("1.json", [measured("a")], planned=PLANNED[:2])
        placement = dataclasses.replace(other.placement, node="n2")
        write("2.json", [dataclasses.replace(other, placement=placement)], planned=PLANNED[:2])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0

    def test_other_seeds_have_other_rows(self) -> None:
        other = measured("a", seed=7)
        write("1.json", [measured("a")], planned=())
        write(
            "2.json",
            [dataclasses.replace(other, dataset=dataclasses.replace(other.dataset, digest="ef" * 32))],
            planned=(),
        )
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0

    def test_shards_of_two_divisions(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")], shard="1/2")
        write("2.json", [measured("b")], shard="2/3")
        assert "1/2 in '1.json', 2/3 in '2.json'" in refusal(capsys, "1.json", "2.json", "-o", "all.json")
        write("2.json", [measured("b")], shard="half")
        assert "2.json is damaged: shard is 'half'; it must be of the form 3/8" in refusal(
            capsys, "1.json", "2.json", "-o", "all.json"
        )


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
            run.stdout.fnmatch_lines([f"*shard {number}/3: * of 6 cells, by method: no baseline is known"])
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
        assert "HOLDS: 3 of 3 unchanged" in capsys.readouterr().out

        gate = project.runpytest(*METHODS, "--sst2-compare", "joined", "--sst2-shard", "1/3")
        assert gate.ret == 0
        gate.stdout.fnmatch_lines(
            ["sst2: shard 1/3: * by baseline 'joined'", "compared for this shard alone: *", "HOLDS: * unchanged"]
        )
        assert "not measured" not in gate.stdout.str()

    def test_what_no_shard_measures_is_missing_in_the_joined_file_alone(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods=tfidf,majority,linear-probe", "--sst2-save=main")
        for number in (1, 2):
            asked = ("--methods=tfidf,majority", f"--sst2-shard={number}/2", f"--sst2-json={number}.json")
            shard = project.runpytest(*asked, "--sst2-compare=main", "--sst2-fail-on=missing")
            assert shard.ret == 0
            shard.stdout.fnmatch_lines(["HOLDS: 1 of 1 unchanged"])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
        assert main(["compare", "main", "all.json"]) == 0
        assert main(["compare", "main", "all.json", "--fail-on=missing"]) == 1

    def test_seeds_of_other_shards_are_missing_in_none(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods=tfidf", "--sst2-seeds=1,2,3", "--sst2-save=main")
        for number in (1, 2):
            asked = ("--methods=tfidf", "--sst2-seeds=1,2", f"--sst2-shard={number}/2", "--sst2-compare=main")
            shard = project.runpytest(*asked, "--sst2-fail-on=missing", f"--sst2-json={number}.json")
            assert shard.ret == 0
            shard.stdout.fnmatch_lines(["HOLDS: 1 of 1 unchanged"])
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
        stopped.stdout.fnmatch_lines(["FAILS: 1 of 1 unchanged; 1 cell of the baseline was not run"])

    def test_a_baseline_from_shards_gates_a_later_run(self, project: pytest.Pytester) -> None:
        methods = ("--methods", "tfidf,majority")
        for number in (1, 2):
            project.runpytest(*methods, "--sst2-shard", f"{number}/2", "--sst2-json", f"{number}.json")
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 0
        assert project.runpytest(*methods, "--sst2-compare", "main").ret == 0
        project.makeconftest(WORSE)
        worse = project.runpytest(*methods, "--sst2-compare", "main")
        assert worse.ret == 1
        worse.stdout.fnmatch_lines(["FAILS: 1 of 2 regressed*"])

    def test_a_shard_whose_cells_are_all_new_has_nothing_to_compare(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "majority", "--sst2-save", "main")
        for number, said in ((1, "HOLDS: 1 of 1 unchanged"), (2, "baseline 'main' has no cell of this shard*")):
            asked = ("--methods", "tfidf,majority", "--sst2-shard", f"{number}/2", "--sst2-compare", "main")
            result = project.runpytest(*asked)
            assert result.ret == 0
            result.stdout.fnmatch_lines([said])
