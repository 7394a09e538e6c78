"""The gate as its users meet it: saved, compared, failed, saved again; on tiny data and a tiny model."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from tests.conftest import results

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
METHODS = ("--methods", "tfidf,majority")

# The words' classifier as an upgrade might leave it: the opposite answer for about a third of the sentences.
WORSE = """
import dataclasses

import numpy as np
from pytest_sst2 import MethodSpec
from pytest_sst2.methods import tfidf

def worse(job):
    trained = tfidf.train(job)

    def predict(sentences):
        turned = np.array([sum(map(ord, sentence)) % 3 == 0 for sentence in sentences])
        return np.where(turned, 1 - trained.predict(sentences), trained.predict(sentences))

    return dataclasses.replace(trained, predict=predict)

def pytest_sst2_methods():
    return [MethodSpec("tfidf", worse, needs_model=False)]
"""
# The same answers as ever, by a setting that has another value.
DRIFTED = """
import dataclasses

from pytest_sst2 import MethodSpec
from pytest_sst2.methods import tfidf

def drifted(job):
    trained = tfidf.train(job)
    classify = lambda sentences: 0.5 + 0.9 * (trained.predict(sentences) - 0.5)
    return dataclasses.replace(trained, predict=classify, settings={**trained.settings, "C": 2.0})

def pytest_sst2_methods():
    return [MethodSpec("tfidf", drifted, needs_model=False)]
"""


def baseline(project: pytest.Pytester, name: str = "main") -> Path:
    return project.path / ".sst2" / f"{name}.json"


def save(project: pytest.Pytester, *arguments: str) -> None:
    assert project.runpytest("--sst2-save", "main", *(arguments or METHODS)).ret == 0
    assert baseline(project).is_file()


def comparison(result: pytest.RunResult) -> str:
    """Return what was printed below the comparison's headline, of which there is one."""
    before, *sections = str(result.stdout).split("= SST-2 comparison =")
    assert "SST-2 benchmark" in before
    assert len(sections) == 1
    assert "Traceback" not in before + sections[0]
    return sections[0]


class TestLifeCycle:
    def test_missing_saved_identical_regressed_replaced_identical(self, project: pytest.Pytester) -> None:
        arguments = ("--methods", "linear-probe,tfidf")
        # Nothing is loaded for a comparison that cannot be: not even data that is not there to be read.
        (project.mkdir("broken") / "train.tsv").write_text("no header\n", encoding="utf-8")
        missing = project.runpytest("--sst2-compare", "main", "--sst2-data=broken", *arguments)
        assert missing.ret == USAGE_ERROR
        missing.stderr.fnmatch_lines(["ERROR: no baseline 'main': *Save one with --sst2-save NAME."])
        missing.stdout.no_fnmatch_line("*collected*")

        saved = project.runpytest("--sst2-save", "main", *arguments)
        assert saved.ret == 0
        saved.stdout.fnmatch_lines([f"baseline 'main' with 2 records in {baseline(project)}"])
        assert "SST-2 comparison" not in str(saved.stdout)

        same = project.runpytest("--sst2-compare", "main", *arguments)
        assert same.ret == 0
        report = comparison(same)
        assert "HOLDS: both cells answered every sentence as before" in report
        assert "main (saved 20" in report
        assert "tiny-encoder × linear-probe " in report
        assert "drift:" not in report
        assert "what changed in the environment" not in report

        project.makeconftest(WORSE)
        worse = project.runpytest("--sst2-compare", "main", "--sst2-json", "worse.json", *arguments)
        assert worse.ret == 1
        worse.assert_outcomes(passed=2)
        report = comparison(worse)
        assert "FAILS: tfidf −" in report
        assert re.search(r"^tfidf +42 +REGRESSED ", report, re.MULTILINE)
        assert re.search(r"^tiny-encoder × linear-probe +42 +identical ", report, re.MULTILINE)
        assert [main(["compare", *pair]) for pair in (("main", "worse.json"), ("worse.json", "main"))] == [1, 0]

        kept = baseline(project).read_bytes()
        refused = project.runpytest("--sst2-save", "main", *arguments)
        assert refused.ret == USAGE_ERROR
        refused.stderr.fnmatch_lines(["ERROR: --sst2-save main: there is a baseline of that name*--sst2-overwrite*"])
        assert baseline(project).read_bytes() == kept

        assert project.runpytest("--sst2-save", "main", "--sst2-overwrite", *arguments).ret == 0
        assert baseline(project).read_bytes() != kept
        again = project.runpytest("--sst2-compare", "main", *arguments)
        assert again.ret == 0
        assert "HOLDS: both cells answered every sentence as before" in comparison(again)

        low = project.runpytest("--sst2-compare", "main", "--methods=tfidf", "--sst2-min-accuracy=1")
        assert low.ret == 1
        report = comparison(low)
        assert "FAILS: below its floor: tfidf 0." in report
        assert "Do not merge yet: 1 cell misses its floor; " in report
        assert "You may merge" not in report

    @pytest.mark.processes
    def test_the_same_under_xdist_with_one_table_one_json_and_one_comparison(self, project: pytest.Pytester) -> None:
        arguments = ("-n", "2", *METHODS, "-q")
        saved = project.runpytest_subprocess(*arguments, "--sst2-save", "main", "--sst2-json", "r.json")
        assert saved.ret == 0
        assert str(saved.stdout).count("SST-2 benchmark") == 1
        data = results(project.path / "r.json")
        assert {record["method"] for record in data["records"]} == {"tfidf", "majority"}
        assert {record["placement"]["concurrent_workers"] for record in data["records"]} == {1}

        alone = project.runpytest(*METHODS, "--sst2-compare", "main")
        assert alone.ret == 0
        report = comparison(alone)
        assert "HOLDS: both cells answered every sentence as before" in report
        assert "note: times not compared: on one side other workers ran on the same cores" in report

        project.makeconftest(WORSE)
        worse = project.runpytest_subprocess(*arguments, "--sst2-compare", "main", "--sst2-save", "worse")
        assert worse.ret == 1
        assert "FAILS: tfidf −" in comparison(worse)
        assert str(worse.stdout).count("SST-2 benchmark") == 1
        assert baseline(project, "worse").is_file()


class TestIncomparable:
    """What is certain before the first cell ends the run there."""

    def test_nothing_is_measured_or_replaced_if_no_cell_can_be_compared(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority", "--sst2-data", "pocket")
        earlier = project.path / "now.json"
        assert project.runpytest("--methods", "majority", "--sst2-json", "now.json").ret == 0
        content = earlier.read_bytes()
        arguments = ("--methods", "majority", "--sst2-compare", "main", "--sst2-json", "now.json")
        result = project.runpytest(*arguments, "--sst2-report", "out", "--junitxml", "junit.xml")
        assert result.ret == 2
        result.stdout.fnmatch_lines(
            [
                "sst2: tiny-reviews from *tiny-reviews; recipe quick train_size=60 *",
                "*= SST-2 comparison =*",
                "CANNOT COMPARE: majority: data tiny-reviews, was pocket",
                "incomparable: data tiny-reviews, was pocket (majority)",
                "*Interrupted: no cell can be compared with main, so none is measured; --sst2-anyway measures them*",
            ]
        )
        result.stdout.no_fnmatch_line("*SST-2 benchmark*")
        assert earlier.read_bytes() == content
        assert "CANNOT COMPARE" in (project.path / "out" / "sst2-report.md").read_text(encoding="utf-8")
        assert "CANNOT COMPARE" in (project.path / "junit.xml").read_text(encoding="utf-8")

        anyway = project.runpytest(*arguments, "--sst2-anyway")
        assert anyway.ret == 2
        anyway.stdout.fnmatch_lines(["sst2: WARNING: no cell can be compared with baseline 'main': data tiny-r*"])
        assert " INCOMPARABLE " in comparison(anyway)
        assert main(["compare", "main", "now.json"]) == 2
        project.runpytest(*arguments, "--sst2-fail-on=none").assert_outcomes(passed=1)

    @pytest.mark.parametrize(
        ("saved", "now", "reason"),
        [
            (["--sst2-seeds=42"], ["--sst2-seeds=7"], "seed 7, was 42"),
            (["--sst2-eval-size=30"], ["--sst2-eval-size=20"], "recipe eval_size 20, was 30"),
            ([], ["--methods=tfidf"], ""),
        ],
        ids=["seeds", "evaluation rows", "methods"],
    )
    def test_it_ends_before_the_first_cell(
        self, project: pytest.Pytester, saved: list[str], now: list[str], reason: str
    ) -> None:
        save(project, "--methods=majority", *saved)
        result = project.runpytest("--methods=majority", "--sst2-compare=main", *now)
        assert result.ret == 2
        assert "passed" not in result.parseoutcomes()
        result.stdout.fnmatch_lines([f"incomparable: {reason} (majority)" if reason else "*no cell in common*"])

    def test_rows_that_changed_under_the_same_name_are_seen_too(
        self, project: pytest.Pytester, tiny_data: Path
    ) -> None:
        data = shutil.copytree(tiny_data, project.path / tiny_data.name)
        save(project, "--methods=majority", f"--sst2-data={data}")
        (data / "dev.tsv").write_text((data / "dev.tsv").read_text(encoding="utf-8") + "one more .\t1\n", "utf-8")
        result = project.runpytest("--methods=majority", "--sst2-compare=main", f"--sst2-data={data}")
        assert result.ret == 2
        result.stdout.fnmatch_lines(["incomparable: the data set has other rows *", "*Interrupted*"])

    def test_a_run_with_one_comparable_cell_goes_on_with_a_warning(self, project: pytest.Pytester) -> None:
        save(project, "--methods=majority", "--sst2-seeds=42")
        result = project.runpytest("--methods=majority,tfidf", "--sst2-compare=main", "--sst2-seeds=42")
        assert result.ret == 0
        result.stdout.no_fnmatch_line("*WARNING*")

    def test_a_declared_recipe_is_compared(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority", "--sst2-train-size", "50")
        result = project.runpytest("--methods", "majority", "--sst2-compare", "main")
        result.stdout.fnmatch_lines(["undeclared: to compare what changed on purpose: --sst2-changed recipe"])
        declared = project.runpytest("--methods", "majority", "--sst2-compare", "main", "--sst2-changed", "recipe")
        assert declared.ret == 0
        declared.stdout.no_fnmatch_line("*WARNING*")
        declared.stdout.fnmatch_lines(["declared: recipe train_size 60, was 50 (majority)"])

    def test_a_cell_that_failed_this_time_fails_the_run_and_says_so(self, project: pytest.Pytester) -> None:
        save(project)
        project.makeconftest(WORSE.replace("trained = tfidf.train(job)", "raise RuntimeError('no longer')"))
        result = project.runpytest(*METHODS, "--sst2-compare", "main")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["*incomparable: no number this time: RuntimeError: no longer (tfidf)"])

    def test_a_declaration_that_cannot_be_right_ends_the_run_before_it_starts(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority")
        for arguments, words in (
            (["--sst2-compare", "main", "--sst2-changed", "old=new"], "*no model or method 'old'. They have majority."),
            (["--sst2-changed", "recipe"], "*--sst2-changed needs --sst2-compare*"),
        ):
            result = project.runpytest("--methods", "majority", *arguments)
            assert result.ret == USAGE_ERROR
            result.stderr.fnmatch_lines([words])


class TestNothingMeasured:
    def test_a_run_without_a_cell_never_holds(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority")
        project.makepyfile(test_plain="def test_plain(): ...\n")
        for arguments, status in (
            (["-k", "nothing_of_this_name"], pytest.ExitCode.NO_TESTS_COLLECTED),
            (["-k", "plain"], 2),
            (["--benchmark-skip", "--methods", "majority"], 2),
            (["--methods", "tfidf"], 2),
        ):
            assert project.runpytest("--sst2-compare", "main", *arguments).ret == status

    def test_and_is_told_why(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority")
        project.makepyfile(test_plain="def test_plain(): ...\n")
        result = project.runpytest("--sst2-compare", "main", "-k", "plain")
        result.stdout.fnmatch_lines(["no cell was measured", "CANNOT COMPARE: the two have no cell in common"])
        assert "no room" not in result.stdout.str()

    def test_nor_is_anything_saved_of_it(self, project: pytest.Pytester) -> None:
        project.makepyfile(test_plain="def test_plain(): ...\n")
        result = project.runpytest("--sst2-save", "main", "-k", "plain")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["ERROR: baseline 'main' was not saved: no cell was measured.*"])
        assert not baseline(project).exists()


class TestNotSaved:
    def test_not_after_a_cell_failed(self, project: pytest.Pytester, tiny_encoder: Path) -> None:
        models = f"nobody/nothing,{tiny_encoder}"
        arguments = ("--models", models, "--methods", "linear-probe", "--sst2-save", "main")
        result = project.runpytest(*arguments)
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            ["ERROR: baseline 'main' was not saved: 1 cell without a number: *. What was there *"]
        )
        assert not baseline(project).exists()

    def test_nor_after_a_run_that_stopped_and_what_was_there_stays(self, project: pytest.Pytester) -> None:
        save(project)
        kept = baseline(project).read_bytes()
        project.makepyfile(test_zzz="import pytest\ndef test_stop():\n    pytest.exit('enough')\n")
        arguments = (*METHODS, "--sst2-save", "main", "--sst2-overwrite")
        for stop in (["-x", "--sst2-min-accuracy", "1"], []):
            stopped = project.runpytest(*arguments, *stop)
            assert stopped.ret in (1, pytest.ExitCode.INTERRUPTED)
            stopped.stdout.fnmatch_lines(["ERROR: baseline 'main' was not saved: the run stopped. What was there *"])
            assert baseline(project).read_bytes() == kept

    def test_nor_when_another_run_saved_one_of_that_name_meanwhile(self, project: pytest.Pytester) -> None:
        project.makeconftest(
            """
            import pathlib, pytest

            @pytest.hookimpl(trylast=True)
            def pytest_collection_finish(session):
                pathlib.Path(".sst2").mkdir()
                pathlib.Path(".sst2/main.json").write_text("theirs")
            """
        )
        result = project.runpytest("--methods", "majority", "--sst2-save", "main")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["ERROR: cannot write *main.json*"])
        assert baseline(project).read_text(encoding="utf-8") == "theirs"

    def test_a_cell_below_its_floor_has_a_number_and_is_saved(self, project: pytest.Pytester) -> None:
        result = project.runpytest(*METHODS, "--sst2-save", "main", "--sst2-min-accuracy", "1")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["baseline 'main' with 2 records in *"])


class TestOptions:
    def test_a_baseline_of_a_newer_schema_is_refused_at_the_start(self, project: pytest.Pytester) -> None:
        project.mkdir(".sst2")
        baseline(project).write_text('{"schema_version": 5, "records": []}', encoding="utf-8")
        result = project.runpytest(*METHODS, "--sst2-compare", "main")
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *main.json has schema version 5; *Upgrade pytest-sst2 to read it."])
        result.stdout.no_fnmatch_line("*collected*")

    def test_drift_alone_fails_only_those_who_ask_for_it(self, project: pytest.Pytester) -> None:
        save(project)
        project.makeconftest(DRIFTED)
        asked = project.runpytest(*METHODS, "--sst2-compare", "main", "--sst2-fail-on", "drifted")
        assert asked.ret == 1
        assert "FAILS: tfidf " in comparison(asked)
        assert "drift: C 2, was 1 (tfidf)" in comparison(asked)
        assert project.runpytest(*METHODS, "--sst2-compare", "main").ret == 0

    def test_cells_of_the_baseline_that_were_not_run_fail_those_who_ask_for_it(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        save(project)
        asked = ("--sst2-compare=main", "--sst2-fail-on=regressed,missing")
        assert project.runpytest(*METHODS, *asked).ret == 0
        for shorter in (["-k", "tfidf"], ["--methods=tfidf"]):
            assert project.runpytest(*METHODS, "--sst2-compare=main", *shorter).ret == 0
            result = project.runpytest(*METHODS, *asked, "--sst2-json=now.json", *shorter)
            assert result.ret == 1
            assert "FAILS: majority was not run, and the baseline has it" in comparison(result)
            assert "missing: not measured this time: majority" in comparison(result)
        monkeypatch.chdir(project.path)
        assert main(["compare", "main", "now.json"]) == 0
        assert main(["compare", "main", "now.json", "--fail-on", "missing"]) == 1
        assert "FAILS: majority was not run, and the baseline has it" in capsys.readouterr().out

    def test_nothing_fails_where_nothing_may_and_it_is_printed_all_the_same(self, project: pytest.Pytester) -> None:
        save(project)
        project.makeconftest(WORSE)
        for arguments in (["--sst2-fail-on", "none"], ["--sst2-tolerance", "60"], ["--sst2-alpha", "1e-9"]):
            result = project.runpytest(*METHODS, "--sst2-compare", "main", *arguments)
            assert result.ret == 0
            assert ("REGRESSED" in comparison(result)) is (arguments[1] == "none")

    def test_the_baseline_may_stand_in_the_ini_file_and_be_any_results_file(self, project: pytest.Pytester) -> None:
        assert project.runpytest("--methods", "majority", "--sst2-json", "out/old.json").ret == 0
        ini = project.path / "tox.ini"
        ini.write_text(ini.read_text(encoding="utf-8") + "\nsst2_compare = out/old.json\n", encoding="utf-8")
        result = project.runpytest("--methods", "majority")
        assert result.ret == 0
        assert "out/old.json (saved 20" in comparison(result)
        # Who only runs other tests is left alone.
        project.makepyfile(test_plain="def test_plain(): ...\n")
        plain = project.runpytest("-k", "plain")
        assert plain.ret == 0
        assert "SST-2" not in str(plain.stdout)

    def test_calibrating_lowers_no_floor_without_overwrite(self, project: pytest.Pytester) -> None:
        arguments = ("--sst2-calibrate-floors", "--sst2-seeds", "1,2,3,4,5", "--methods", "majority")
        assert project.runpytest(*arguments).ret == 0
        floors = project.path / "benchmarks" / "floors.toml"
        raised = floors.read_text(encoding="utf-8").replace("accuracy = 0.485", "accuracy = 0.9")
        floors.write_text(raised, encoding="utf-8")
        kept = project.runpytest(*arguments)
        assert kept.ret == 1
        kept.stdout.fnmatch_lines(
            [
                "ERROR: the floor of tiny-reviews × quick * × majority stays 0.9000: these seeds would lower it to "
                "0.4850. --sst2-overwrite lowers it."
            ]
        )
        assert floors.read_text(encoding="utf-8") == raised
        lowered = project.runpytest(*arguments, "--sst2-overwrite")
        assert lowered.ret == 0
        assert "accuracy = 0.485" in floors.read_text(encoding="utf-8")

    def test_a_saved_baseline_is_packed_json(self, project: pytest.Pytester) -> None:
        save(project, "--methods", "majority")
        data = json.loads(baseline(project).read_text(encoding="utf-8"))
        assert data["schema_version"] == 4
        assert data["shared"]
        assert isinstance(data["shared"], str)
        assert "predictions" not in data["records"][0]
