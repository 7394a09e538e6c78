"""Test that reports of runs and saved results are written, or refused before any work."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.report.summary import make_report
from pytest_sst2.report.write import CSV, HTML, MARKDOWN, append_step_summary
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results, results_text
from tests.support.record_factory import answered, make_record
from tests.support.run_factory import baseline, later


def read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8")


class TestRun:
    def test_html_markdown_and_csv_are_written_with_the_sentences(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--methods", "majority,tfidf", "--sst2-report", "out/report")
        assert result.ret == 0
        folder = project.path / "out" / "report"
        result.stdout.fnmatch_lines([f"report in *{HTML}, with {MARKDOWN} and {CSV}"])
        page = read(folder, HTML)
        assert "Wrong predictions: " in page
        assert "The sentences are not shown" not in page
        assert read(folder, MARKDOWN).startswith(("✅", "⚪"))
        with (folder / CSV).open(encoding="utf-8", newline="") as file:
            assert [row["method"] for row in csv.DictReader(file)] == ["majority", "tfidf"]

    def test_with_a_baseline_the_report_has_the_comparison(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "tfidf", "--sst2-save", "main")
        result = project.runpytest("--methods", "tfidf", "--sst2-compare", "main", "--sst2-report", "out")
        assert result.ret == 0
        assert "HOLDS: tfidf answered every sentence as before" in read(project.path / "out", HTML)
        assert "Before and after" in read(project.path / "out", HTML)

    def test_a_failing_run_has_a_report(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--methods", "majority", "--sst2-min-accuracy", "1", "--sst2-report", "out")
        assert result.ret == 1
        assert read(project.path / "out", MARKDOWN).startswith("❌ **FAILS: below its floor: majority 0.")

    def test_an_earlier_report_is_replaced_and_other_files_stay(self, project: pytest.Pytester) -> None:
        folder = project.path / "out"
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
        (folder / HTML).write_text("old")
        project.runpytest("--methods", "majority", "--sst2-report", "out")
        assert (folder / "mine.txt").read_text() == "mine"
        assert read(folder, HTML).startswith("<!DOCTYPE html>")
        assert {path.name for path in folder.iterdir()} == {"mine.txt", HTML, MARKDOWN, CSV}

    @pytest.mark.processes
    def test_under_xdist_the_controller_writes_the_report_with_the_sentences(self, project: pytest.Pytester) -> None:
        result = project.runpytest_subprocess("-n", "2", "--methods", "majority,tfidf", "--sst2-report", "out")
        assert result.ret == 0
        page = read(project.path / "out", HTML)
        assert "The sentences are not shown" not in page
        assert "tfidf" in page

    def test_the_report_is_appended_to_the_job_summary(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        summary = project.path / "summary.md"
        summary.write_text("# before\n")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        project.runpytest("--methods", "majority")
        text = summary.read_text(encoding="utf-8")
        assert text.startswith("# before\n")
        assert "majority" in text
        assert not (project.path / "out").exists()

    def test_a_job_summary_that_cannot_be_written_fails_the_run(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(project.path / "pipe")
        for name in ("no/such/folder.md", "pipe"):
            monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / name))
            result = project.runpytest("--methods", "majority")
            assert result.ret == 1
            result.stdout.fnmatch_lines([f"ERROR: the job summary *{name} (GITHUB_STEP_SUMMARY) cannot be written: *"])
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", os.devnull)
        assert project.runpytest("--methods", "majority").ret == 0

    def test_a_report_that_cannot_be_drawn_loses_no_results(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pytest_sst2.report import html

        def broken(*_: object) -> str:
            raise TypeError("no such chart")

        monkeypatch.setattr(html, "html_text", broken)
        result = project.runpytest("--methods", "majority", "--sst2-report", "out", "--sst2-json", "r.json")
        assert result.ret == 3
        # The table is printed before anything is drawn.
        result.stdout.fnmatch_lines(
            ["majority *", "ERROR: the report failed unexpectedly (TypeError: no such chart). *"]
        )
        assert (project.path / "r.json").exists()

    def test_a_stopped_or_otherwise_failed_run_does_not_pass(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        summary = project.path / "summary.md"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        project.makepyfile(test_bench="def test_cell(sst2_run):\n    assert not sst2_run.measure()\n")
        project.runpytest("--methods", "majority", "--sst2-min-accuracy", "0.1")
        assert summary.read_text(encoding="utf-8").startswith("❌ **FAILS: 1 test failed by more than a floor**")
        assert "1 test failed by more than a floor" in summary.read_text(encoding="utf-8")
        summary.unlink()
        project.runpytest("--methods", "majority,tfidf", "--sst2-min-accuracy", "0.1", "-x")
        assert "the run was stopped before its last cell" in summary.read_text(encoding="utf-8")

    @pytest.mark.processes  # slow
    def test_how_to_reproduce_names_the_tests_if_they_are_known(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        summary = project.path / "summary.md"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        for named, start in (
            (["test_bench.py"], "pytest test_bench.py --methods=majority "),
            ([], "pytest --methods="),
        ):
            result = project.runpytest_subprocess(*named, "--methods", "majority", "--sst2-json", "r.json")
            assert result.ret == 0
            text = summary.read_text(encoding="utf-8")
            assert f"\n{start}" in re.sub(r"(?m)^(?:[A-Z_]+=\S+ )+(?=pytest )", "", text)
            assert "benchmarks is a placeholder" not in text
            summary.unlink()
        assert main(["compare", "r.json", "r.json", "--format", "markdown"]) == 0
        assert "benchmarks is a placeholder" in capsys.readouterr().out

    def test_a_run_without_cells_writes_no_job_summary(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        summary = pytester.path / "summary.md"
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
        pytester.makepyfile("def test_nothing(): ...")
        pytester.runpytest_subprocess()
        assert not summary.exists()

    def test_a_file_instead_of_a_folder_is_refused_before_the_run(self, project: pytest.Pytester) -> None:
        (project.path / "out").write_text("precious")
        result = project.runpytest("--methods", "majority", "--sst2-report", "out")
        assert result.ret == 4
        result.stderr.fnmatch_lines(["ERROR: --sst2-report *out is a file. Give a folder*"])
        assert (project.path / "out").read_text() == "precious"

    def test_the_junit_file_has_accuracy_interval_floor_and_seconds(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "majority", "--junitxml", "junit.xml")
        text = read(project.path, "junit.xml")
        for name in ("sst2_accuracy", "sst2_accuracy_interval", "sst2_floor", "sst2_seconds"):
            assert f'name="{name}"' in text

    def test_the_junit_file_has_the_headline_and_the_verdict_of_each_cell(self, project: pytest.Pytester) -> None:
        project.runpytest("--methods", "majority", "--sst2-save", "main")
        low = ("--sst2-min-accuracy", "1")
        project.runpytest("--methods", "majority", "--sst2-compare", "main", "--junitxml", "junit.xml", *low)
        text = read(project.path, "junit.xml")
        assert 'name="sst2_headline" value="FAILS: below its floor: majority 0.5' in text
        assert "; majority answered every sentence as before" in text
        assert 'name="sst2_verdict majority" value="identical, at worst −' in text


def test_outside_github_actions_there_is_no_job_summary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.chdir(tmp_path)
    append_step_summary(make_report(Results([make_record()], [])))
    assert list(tmp_path.iterdir()) == []


class TestReportCommand:
    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name, results in (("before", baseline()), ("after", later())):
            text = results_text(results)
            Path(f"{name}.json").write_text(text, encoding="utf-8")
        save_baseline(Path(".sst2/main.json").absolute(), Results(baseline().records), overwrite=False)

    def test_saved_results_are_reported_without_a_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", "after.json", "-o", "out"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("FAILS: below its floor: minilm × linear-probe 0.7000 instead of 0.9000; no")
        assert lines[1].startswith("Do not merge yet: ")
        assert lines[2:] == [str(Path("out") / name) for name in (HTML, MARKDOWN, CSV)]
        assert "The sentences are not shown" in read(Path("out"), HTML)

    def test_results_can_be_compared_with_a_baseline(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", "after.json", "-o", "out", "--compare", "main", "--fail-on", "none"]) == 0
        assert capsys.readouterr().out.startswith("FAILS: below its floor: minilm × linear-probe")
        assert "main (saved 20" in read(Path("out"), HTML)

    def test_several_files_make_one_report(self, capsys: pytest.CaptureFixture[str]) -> None:
        other = answered([True] * 60, method="torch-probe")
        Path("other.json").write_text(results_text(Results([other])), encoding="utf-8")
        assert main(["report", "before.json", "other.json", "-o", "out"]) == 0
        assert "torch-probe" in read(Path("out"), MARKDOWN)

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["before.json", "after.json"], " are in 'before.json' and in 'after.json'. A table has each cell once"),
            (["twice.json"], "twice.json has more than one record of minilm-linear-probe-seed42"),
            (["after.json", "--compare", "failed.json"], "failed.json' has no measured cell"),
            (["before.json", "elsewhere.json"], "these files cannot share one table"),
            (["nothing.json"], "no baseline 'nothing.json'"),
            (["before.json", "--compare", "nope"], "no baseline 'nope'"),
            (["before.json", "--data", "empty"], "contains no data set"),
        ],
    )
    def test_an_invalid_argument_is_one_sentence_and_writes_nothing(
        self, arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path("empty").mkdir()
        record = answered([True] * 60, model="other")
        data = type(record.dataset)(**{**vars(record.dataset), "name": "sst2"})
        elsewhere = answered([True] * 60, model="other", dataset=data)
        Path("twice.json").write_text(results_text(Results([answered([True] * 60)] * 2)), encoding="utf-8")
        Path("failed.json").write_text(results_text(Results([], later().failures)), encoding="utf-8")
        Path("elsewhere.json").write_text(results_text(Results([elsewhere])), encoding="utf-8")
        assert main(["report", *arguments, "-o", "out"]) == 2
        output = capsys.readouterr()
        assert part in output.err
        assert output.out == ""
        assert "Traceback" not in output.err
        assert not Path("out").exists()

    def test_results_without_a_number_have_a_report(self, capsys: pytest.CaptureFixture[str]) -> None:
        Path("failed.json").write_text(results_text(Results([], later().failures)), encoding="utf-8")
        assert main(["report", "failed.json", "-o", "out"]) == 0
        assert capsys.readouterr().out.startswith("FAILS: no number: albert × fine-tune")
        assert main(["compare", "before.json", "failed.json"]) == 2
        assert capsys.readouterr().out.startswith("CANNOT COMPARE")

    def test_a_data_folder_that_does_not_exist_is_one_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", "before.json", "-o", "out", "--data", "nowhere"]) == 2
        assert "--data 'nowhere' is not a folder" in capsys.readouterr().err
