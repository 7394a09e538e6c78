"""Resume: a run that was cut off is finished, and nothing is taken that was measured otherwise."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results

CONFTEST = """
import os, pathlib
import numpy as np
from pytest_sst2 import MethodSpec

HERE = pathlib.Path(__file__).parent

def counted(job):
    with open(HERE / "trained.log", "a") as log:
        log.write(f"{job.seed}\\n")
    if (HERE / f"broken-{job.seed}").exists():
        raise RuntimeError("out of order")
    return lambda sentences: np.array([0.9 if len(each) % (2 + job.seed % 3) else 0.1 for each in sentences])

def pytest_sst2_methods():
    return [MethodSpec("counted", counted, needs_model=False)]
"""
TESTS = """
import pytest

def test_cell(sst2_run):
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
"""


@pytest.fixture
def cells(project: pytest.Pytester) -> pytest.Pytester:
    """A project whose three cells write down that they are trained."""
    project.makeconftest(CONFTEST)
    (project.path / "test_bench.py").write_text(TESTS, encoding="utf-8")
    project.makeini(
        (project.path / "tox.ini").read_text(encoding="utf-8")
        + "\nsst2_methods = counted\nsst2_seeds = 1,2,3\nsst2_resume = r.json\n"
    )
    return project


def trained(project: pytest.Pytester) -> list[int]:
    """Return the seeds trained since this was asked last."""
    log = project.path / "trained.log"
    found = [int(line) for line in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return sorted(found)


def seeds(path: Path) -> list[int]:
    return sorted(record["seed"] for record in results(path)["records"])


def without_seed(path: Path, seed: int) -> None:
    """Take one record out of a file, as if the run had been killed before."""
    lines = path.read_text(encoding="utf-8").split("\n")
    kept = [line for line in lines if f'"seed": {seed}, "accuracy"' not in line]
    assert len(kept) == len(lines) - 1
    text = "\n".join(kept).replace("},\n],", "}\n],")
    json.loads(text)
    path.write_text(text, encoding="utf-8")


class TestLifeCycle:
    def test_what_is_there_is_taken_and_only_the_rest_trained(self, cells: pytest.Pytester) -> None:
        cells.runpytest().assert_outcomes(passed=3)
        assert trained(cells) == [1, 2, 3]
        path = cells.path / "r.json"
        first = results(path)["records"]
        again = cells.runpytest()
        again.assert_outcomes(passed=3)
        assert trained(cells) == []
        again.stdout.fnmatch_lines(["3 of 3 cells taken from r.json"])
        assert results(path)["records"] == first
        without_seed(path, 2)
        third = cells.runpytest()
        assert trained(cells) == [2]
        third.stdout.fnmatch_lines(["2 of 3 cells taken from r.json"])
        assert {each["cell"]: each["predictions"] for each in results(path)["records"]} == {
            each["cell"]: each["predictions"] for each in first
        }
        assert not (cells.path / "r.json.before").exists()

    def test_a_changed_recipe_is_measured_again_and_the_old_file_put_aside(self, cells: pytest.Pytester) -> None:
        cells.runpytest()
        trained(cells)
        result = cells.runpytest("--sst2-train-size", "50")
        assert trained(cells) == [1, 2, 3]
        result.stdout.fnmatch_lines(
            [
                "its previous content is in *r.json.before",
                "0 of 3 cells taken from r.json",
                "3 of its cells measured again: recipe quick train_size=50 *, was quick train_size=60 *",
            ]
        )
        assert results(cells.path / "r.json.before")["records"][0]["recipe"]["train_size"] == 60
        assert {each["recipe"]["train_size"] for each in results(cells.path / "r.json")["records"]} == {50}

    def test_a_method_whose_code_changed_is_measured_again(self, cells: pytest.Pytester) -> None:
        cells.runpytest("--sst2-seeds", "1")
        # Of another length: within one second a file of the same length would be taken for the same.
        cells.makeconftest(CONFTEST.replace("0.1", "0.25"))
        trained(cells)
        result = cells.runpytest("--sst2-seeds", "1")
        result.stdout.fnmatch_lines(["1 of its cells measured again: other code of its method"])
        assert trained(cells) == [1]

    def test_a_file_that_is_begun_says_nothing_of_what_was_taken_from_it(self, cells: pytest.Pytester) -> None:
        assert "taken from" not in cells.runpytest().stdout.str()

    def test_cells_are_counted_of_all_that_were_planned(self, cells: pytest.Pytester) -> None:
        cells.runpytest("-k", "seed1")
        (cells.path / "broken-2").touch()
        stopped = cells.runpytest("-x")
        stopped.assert_outcomes(passed=1, failed=1)
        stopped.stdout.fnmatch_lines(["1 of 3 cells taken from r.json"])

    def test_failed_cells_are_tried_again(self, cells: pytest.Pytester) -> None:
        (cells.path / "broken-2").touch()
        cells.runpytest().assert_outcomes(passed=2, failed=1)
        assert [each["seed"] for each in results(cells.path / "r.json")["failures"]] == [2]
        (cells.path / "broken-2").unlink()
        trained(cells)
        cells.runpytest().assert_outcomes(passed=3)
        assert trained(cells) == [2]
        assert results(cells.path / "r.json")["failures"] == []

    def test_a_damaged_file_is_refused_untouched(self, cells: pytest.Pytester) -> None:
        path = cells.path / "r.json"
        path.write_text('{"schema_version": 3, "records": [', encoding="utf-8")
        refused = cells.runpytest()
        assert refused.ret == pytest.ExitCode.USAGE_ERROR
        refused.stderr.fnmatch_lines(["ERROR: --sst2-resume: *r.json is not a results file*Name another file*"])
        assert path.read_text(encoding="utf-8") == '{"schema_version": 3, "records": ['
        assert trained(cells) == []

    def test_another_file_for_the_results_leaves_the_first_as_it_is(self, cells: pytest.Pytester) -> None:
        cells.runpytest("-k", "seed1")
        before = (cells.path / "r.json").read_bytes()
        cells.runpytest("--sst2-json", "other.json").assert_outcomes(passed=3)
        assert (cells.path / "r.json").read_bytes() == before
        assert trained(cells) == [1, 2, 3]
        assert seeds(cells.path / "other.json") == [1, 2, 3]

    def test_the_same_file_under_another_name_is_the_same(self, cells: pytest.Pytester) -> None:
        cells.runpytest()
        cells.mkdir("sub")
        cells.runpytest("-k", "seed1", "--sst2-json", "sub/../r.json").assert_outcomes(passed=1, deselected=2)
        assert seeds(cells.path / "r.json") == [1, 2, 3]

    def test_a_part_of_the_matrix_leaves_the_others_in_the_file(self, cells: pytest.Pytester) -> None:
        (cells.path / "broken-3").touch()
        cells.runpytest()
        result = cells.runpytest("-k", "seed1")
        result.stdout.fnmatch_lines(["1 record in *r.json, and 1 from earlier runs"])
        found = results(cells.path / "r.json")
        assert seeds(cells.path / "r.json") == [1, 2]
        assert [each["seed"] for each in found["failures"]] == [3]
        assert len(found["planned"]) == 3

    def test_floors_that_rose_fail_a_taken_record(self, cells: pytest.Pytester) -> None:
        cells.runpytest().assert_outcomes(passed=3)
        trained(cells)
        result = cells.runpytest("--sst2-min-accuracy", "0.99")
        result.assert_outcomes(failed=3)
        assert trained(cells) == []
        assert {each["floor"]["accuracy"] for each in results(cells.path / "r.json")["records"]} == {0.99}

    def test_baselines_comparisons_and_reports_take_them_as_any_other(self, cells: pytest.Pytester) -> None:
        cells.runpytest("--sst2-save", "first").assert_outcomes(passed=3)
        trained(cells)
        result = cells.runpytest("--sst2-compare", "first", "--sst2-report", "out", "--sst2-save", "second")
        assert result.ret == 0
        assert trained(cells) == []
        result.stdout.fnmatch_lines(["*baseline 'second' with 3 records*", "*= SST-2 comparison =*"])
        assert (cells.path / "out").is_dir()

    @pytest.mark.parametrize(
        "workers", [pytest.param((), id="serial"), pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.processes)]
    )
    def test_a_taken_cell_has_no_benchmark_and_no_warning(
        self, cells: pytest.Pytester, workers: tuple[str, ...]
    ) -> None:
        path = cells.path / "r.json"
        run = cells.runpytest_subprocess if workers else cells.runpytest
        first = run(*workers, "-k", "seed1 or seed2")
        first.assert_outcomes(passed=2)
        (cells.path / "trained.log").unlink()
        timed = () if workers else ("--benchmark-json", "b.json")
        result = run("-rw", *workers, *timed)
        result.assert_outcomes(passed=3)
        assert "not used at all" not in result.stdout.str()
        counts = [re.findall(r"(\d+) warning", each.stdout.str()) for each in (first, result)]
        assert counts[0] == counts[1]
        assert trained(cells) == [3]
        if not workers:
            (only,) = json.loads((cells.path / "b.json").read_text())["benchmarks"]
            assert only["extra_info"]["seed"] == 3
        assert seeds(path) == [1, 2, 3]

    def test_a_models_tokenizer_that_changed_is_noticed_though_its_weights_are_the_same(
        self, project: pytest.Pytester, tiny_encoder: Path
    ) -> None:
        folder = project.path / "model"
        shutil.copytree(tiny_encoder, folder)
        asked = ("--models", "./model", "--methods", "linear-probe", "--sst2-resume", "r.json")
        project.runpytest(*asked).assert_outcomes(passed=1)
        project.runpytest(*asked).stdout.fnmatch_lines(["1 of 1 cell taken from r.json"])
        config = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**config, "do_lower_case": False}))
        changed = project.runpytest(*asked)
        changed.stdout.fnmatch_lines(["1 of its cells measured again: another config or tokenizer next to the weights"])

    def test_a_disk_that_is_full_for_a_while_stops_no_run(
        self, cells: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # By name: an earlier run in this process may have been given a module of its own, which is forgotten by now.
        journal = importlib.import_module("pytest_sst2.results.writer")
        written = journal.write_atomically
        calls: list[Path] = []

        def full_at_the_second(path: Path, content: bytes, **how: Any) -> None:
            calls.append(path)
            if len(calls) == 2:
                raise Sst2Error(f"cannot write {str(path)!r}: No space left on device. What was there is unchanged.")
            written(path, content, **how)

        monkeypatch.setattr(journal, "write_atomically", full_at_the_second)
        result = cells.runpytest()
        assert result.ret == 0
        result.stdout.fnmatch_lines(["the results file is complete now, but an earlier write failed: *No space*"])
        assert seeds(cells.path / "r.json") == [1, 2, 3]
        monkeypatch.setattr(journal, "write_atomically", lambda *_, **__: (_ for _ in ()).throw(Sst2Error("disk full")))
        failed = cells.runpytest("--sst2-json", "n.json")
        assert failed.ret == 1
        failed.stdout.fnmatch_lines(["*disk full*"])


def test_records_say_which_code_an_added_method_had(cells: pytest.Pytester) -> None:
    cells.runpytest("--methods", "counted,majority", "--sst2-seeds", "1")
    made: list[Record | dict[str, Any]] = results(cells.path / "r.json")["records"]
    codes = {each["method"]: each["settings"].get("code") for each in made}
    assert re.fullmatch("[0-9a-f]{64}", codes["counted"])
    assert codes["majority"] is None
