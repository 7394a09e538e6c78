"""Benchmark runs in an environment, and several passes merged."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan, failure_summary, merge_passes, run_benchmarks
from pytest_sst2.upgrade.environments import BuiltEnvironment
from tests.support.record_factory import answered

RIGHT = [True, False, True, True]


def fake_environment(folder: Path, script: str) -> BuiltEnvironment:
    """Return an environment whose interpreter is a script."""
    python = folder / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport os, sys\n{script}\n")
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    return BuiltEnvironment(folder / "environment", {}, 0.0)


WRITES = """
file = next(word.partition("=")[2] for word in sys.argv if word.startswith("--sst2-json="))
open(file, "w").write(open({source!r}).read())
open({log!r}, "a").write(repr([sys.argv, sorted(os.environ)]) + "\\n")
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        ("benchmarks",), ("--sst2-models=models/minilm,other", "--sst2-seeds=1,2", "--sst2-data=pocket"), tmp_path
    )


@pytest.mark.skipif(os.name != "posix", reason="its interpreter is a script")
class TestRunning:
    def test_results_are_read_and_reused(self, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", "/somewhere")
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/somewhere")
        source, log = tmp_path / "source.json", tmp_path / "calls"
        source.write_text(results_text(Results([answered(RIGHT)])), encoding="utf-8")
        environment = fake_environment(tmp_path, WRITES.format(source=str(source), log=str(log)))
        file = tmp_path / "runs" / "before-1.json"
        for _ in range(2):
            assert run_benchmarks(environment, plan, file).records[0].accuracy == 0.75
        (call,) = log.read_text().splitlines()
        for part in ("benchmarks", "--sst2-data=pocket", "--sst2-no-cache", "--sst2-min-accuracy=0", "sst2_compare="):
            assert part in call
        assert "PYTHONPATH" not in call
        assert "GITHUB_STEP_SUMMARY" not in call

    def test_the_progress_within_a_run_is_shown_as_it_comes(self, plan: Plan, tmp_path: Path) -> None:
        source, log = tmp_path / "source.json", tmp_path / "calls"
        source.write_text(results_text(Results([answered(RIGHT)])), encoding="utf-8")
        shown: list[str] = []
        # The run ends only after the first line was shown.
        script = (
            "print('collected\\n\\nsst2 · cell 2 of 5 · encode', flush=True)\n"
            f"while not os.path.exists({str(tmp_path / 'shown')!r}): pass\n"
            f"print('passed')\n{WRITES.format(source=str(source), log=str(log))}"
        )

        def notify(line: str) -> None:
            shown.append(line)
            (tmp_path / "shown").touch()

        run_benchmarks(fake_environment(tmp_path, script), plan, tmp_path / "a.json", notify)
        assert shown == ["cell 2 of 5 · encode"]

    def test_an_interpreter_that_cannot_be_run_is_a_sentence(self, plan: Plan, tmp_path: Path) -> None:
        nothing = BuiltEnvironment(tmp_path / "nowhere", {}, 0.0)
        with pytest.raises(BenchmarkRunError, match="No such file"):
            run_benchmarks(nothing, plan, tmp_path / "a.json")

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            ("print('x'); sys.exit(4)", "x (exit status 4)"),
            ("print('ERROR: no such option\\n'); sys.exit(4)", "no such option (exit status 4)"),
            ("raise ImportError('cannot import name X')", "ImportError: cannot import name X (exit status 1)"),
            ("os.kill(os.getpid(), 9)", "ended by signal 9"),
            ("", "no output (exit status 0)"),
        ],
    )
    def test_a_run_without_results_says_why_and_names_its_log(
        self, script: str, error: str, plan: Plan, tmp_path: Path
    ) -> None:
        file = tmp_path / "runs" / "after-1.json"
        with pytest.raises(BenchmarkRunError) as caught:
            run_benchmarks(fake_environment(tmp_path, script), plan, file)
        assert error in str(caught.value)
        assert str(file.with_suffix(".log")) in str(caught.value)
        assert not file.exists()

    def test_a_run_that_was_interrupted_is_no_result(self, plan: Plan, tmp_path: Path) -> None:
        source, log = tmp_path / "source.json", tmp_path / "calls"
        source.write_text(results_text(Results([answered(RIGHT)])), encoding="utf-8")
        script = WRITES.format(source=str(source), log=str(log)) + "\nsys.exit(2)"
        with pytest.raises(BenchmarkRunError, match="exit status 2"):
            run_benchmarks(fake_environment(tmp_path, script), plan, tmp_path / "a.json")
        assert not (tmp_path / "a.json").exists()

    def test_a_run_without_a_cell_is_no_result(self, plan: Plan, tmp_path: Path) -> None:
        source, log = tmp_path / "source.json", tmp_path / "calls"
        source.write_text(results_text(Results([])), encoding="utf-8")
        with pytest.raises(BenchmarkRunError, match="no benchmark was run: benchmarks has none"):
            run_benchmarks(
                fake_environment(tmp_path, WRITES.format(source=str(source), log=str(log))), plan, tmp_path / "a.json"
            )


class TestPlan:
    def test_one_cell_is_asked_for_as_its_model_was_typed_with_all_its_seeds(self, plan: Plan) -> None:
        records = [answered(RIGHT, seed=seed) for seed in (1, 2)]
        assert plan.only(records).flags == (
            "--sst2-data=pocket",
            "--sst2-models=models/minilm",
            "--sst2-methods=linear-probe",
            "--sst2-seeds=1,2",
        )

    def test_a_name_that_was_typed_goes_before_a_folder_that_ends_so(self, tmp_path: Path) -> None:
        plan = Plan(("benchmarks",), ("--sst2-models=models/minilm,minilm",), tmp_path)
        assert "--sst2-models=minilm" in plan.only([answered(RIGHT)]).flags

    def test_models_that_were_not_typed_are_left_to_the_ini_file(self, tmp_path: Path) -> None:
        flags = Plan(("benchmarks",), (), tmp_path).only([answered(RIGHT)]).flags
        assert flags == ("--sst2-methods=linear-probe", "--sst2-seeds=42")

    def test_a_method_without_a_model_needs_none(self, plan: Plan) -> None:
        flags = plan.only([answered(RIGHT, model=None, method="tfidf", seed=7)]).flags
        assert flags == ("--sst2-data=pocket", "--sst2-methods=tfidf", "--sst2-seeds=7")


class TestMerging:
    def test_the_rounds_of_all_passes_are_kept(self) -> None:
        first = answered(RIGHT)
        results = merge_passes([Results([first], [])] * 3, "before")
        assert len(results.records[0].rounds) == 3 * len(first.rounds)
        assert (results.origin, results.records[0].warnings) == ("before", first.warnings)

    def test_answers_that_differ_between_two_passes_are_a_warning(self) -> None:
        other = answered([not RIGHT[0], *RIGHT[1:]])
        (record,) = merge_passes([Results([answered(RIGHT)], []), Results([other], [])], "before").records
        assert "differ in 1 of 4 answers" in record.warnings[-1]

    def test_a_cell_that_failed_in_any_pass_has_no_number(self) -> None:
        record = answered(RIGHT)
        failure = Failure(record.cell, record.model, record.method, record.seed, "out of memory")
        results = merge_passes([Results([record], []), Results([], [failure])], "after")
        assert (results.records, results.failures) == ([], [failure])

    def test_a_cell_that_a_pass_lacks_has_no_number_either(self) -> None:
        record, other = answered(RIGHT), answered(RIGHT, seed=7, cell="other")
        assert merge_passes([Results([record, other], []), Results([record], [])], "a").records[0].cell == record.cell

    def test_reasons_are_listed_once_with_their_cells(self) -> None:
        failures = [Failure(f"{model}-x", model, "x", 1, "broken") for model in ("a", "b")]
        assert failure_summary(Results([], failures)) == "a × x, b × x: broken"
        assert failure_summary(Results([], [])) == ""
