"""Outputs that lack our signs, clocks that go backwards, paths of another system, and devices that promise nothing."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.results.record import Placement
from pytest_sst2.runner.result_warnings import repetition_warnings
from pytest_sst2.utils.paths import slashes_hint
from pytest_sst2.utils.sanitize import encodable
from tests.conftest import results
from tests.runner.test_cell_runner import answering, make_runner, measure
from tests.support.record_factory import ENVIRONMENT


class TestSigns:
    def test_each_has_one_that_is_near_so_that_columns_stay(self) -> None:
        line = "majority  –  0.50  ±0.1  Δ −1  2 × 3 · 4 …"
        assert encodable(line, "ascii") == "majority  -  0.50  +0.1  D -1  2 x 3 | 4 ~"
        assert encodable(line, "utf-8") == line

    def test_what_an_encoding_has_stays(self) -> None:
        assert encodable("é × – Δ", "latin-1") == "é × - D"
        assert encodable("ü 電影 – 🎬", "ascii") == "? ?? - ?"

    def test_an_unknown_encoding_changes_nothing(self) -> None:
        assert encodable("–", None) == encodable("–", "no-such") == "–"


@pytest.mark.processes
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_utf8_shows_the_table_and_files_are_utf8(
    encoding: str, project: pytest.Pytester, tiny_data: Path
) -> None:
    folder = project.path / "ein Ordner é"
    folder.mkdir()
    (folder / "data").symlink_to(tiny_data)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "test_bench.py").write_text(
        "import pytest\n\n@pytest.mark.sst2\ndef test_cell(sst2_run):\n    sst2_run.measure()\n", encoding="utf-8"
    )
    set_up = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    asked = ["--sst2-data=data", "--sst2-train-size=60", "--methods=majority", "--sst2-json=r é.json"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *asked, "--sst2-save=main"],
        cwd=folder,
        env={**os.environ, **set_up},
        capture_output=True,
        timeout=240,
    )
    said = done.stdout.decode(encoding)
    assert done.returncode == 0, said
    table = said.splitlines()
    rule = next(line for line in table if line.startswith("---"))
    row = next(line for line in table if line.startswith("majority"))
    assert len(row.rstrip()) <= len(rule)
    assert "\\u" not in row
    assert "UnicodeEncodeError" not in said
    assert results(folder / "r é.json")["records"][0]["method"] == "majority"
    assert (folder / ".sst2" / "main.json").read_text(encoding="utf-8")


class TestClock:
    def test_a_clock_that_is_put_back_makes_no_time_negative(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backwards = itertools.count(1_800_000_000, -3600)
        monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
        record = measure(make_runner(answering([0.9] * 10), ENVIRONMENT, placement=Placement()))
        assert record.placement.finished >= record.placement.started > 0
        assert all(phase.seconds >= 0 for cost in record.rounds for phase in cost.phases)
        assert record.rounds[0].seconds >= 0


class TestPathsOfAnotherSystem:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("C:\\data\\sst2", "/data/sst2"), (".\\my-model", "./my-model"), ("D:/models/x", "/models/x")],
    )
    def test_what_is_written_as_on_windows_is_known(self, typed: str, meant: str) -> None:
        if os.name == "nt":
            pytest.skip("there it is right")
        assert repr(meant) in slashes_hint(typed)

    @pytest.mark.parametrize("typed", ["org/name", "./a", "~/x", "minilm", "org/name@main"])
    def test_other_paths_and_names_are_none(self, typed: str) -> None:
        assert slashes_hint(typed) == ""

    @pytest.mark.skipif(os.name == "nt", reason="there it is right")
    @pytest.mark.parametrize("option", ["--sst2-data", "--models", "--sst2-json", "--sst2-report", "--sst2-floors"])
    def test_they_are_refused_with_the_way_to_write_them(self, option: str, cells: pytest.Pytester) -> None:
        result = cells.runpytest("--methods=majority", "--sst2-data=pocket", f"{option}=.\\out\\x")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (told,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert "'./out/x'" in told
        assert not any("\\" in path.name for path in cells.path.iterdir())


class TestDevicesThatPromiseNothing:
    def test_on_the_cpu_and_with_deterministic_algorithms_there_is_nothing_to_say(self) -> None:
        assert repetition_warnings("cpu", deterministic=False) == repetition_warnings("cuda", deterministic=True) == ()

    def test_a_record_of_a_gpu_says_it_in_every_report(self) -> None:
        from pytest_sst2.report.summary import make_report
        from pytest_sst2.results.file import Results

        gpu = dataclasses.replace(ENVIRONMENT, device="cuda", device_name="a GPU")
        record = measure(make_runner(answering([0.9] * 10), gpu))
        (said,) = repetition_warnings("cuda", deterministic=False)
        assert said in record.warnings
        report = make_report(Results([record], [], origin="this run"), None, (), ())
        assert "not promised to repeat" in markdown(report)
        assert "not promised to repeat" in html_text(report, [])
