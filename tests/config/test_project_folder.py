"""A path in an option must not lead pytest, or the project's baselines, to another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.config.options import OPTIONS
from tests.conftest import BENCHMARK, collected

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


def test_a_path_that_leads_pytest_away_from_its_ini_file_is_refused_with_the_way_out(
    cells: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    cells.makeini("[pytest]\nsst2_methods = tfidf\n")
    lost = cells.runpytest("--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert lost.ret == USAGE_ERROR
    lost.stderr.fnmatch_lines(
        [f"ERROR: pytest took '{elsewhere}' for a folder of tests and read no ini file instead of *=*{elsewhere}."]
    )
    kept = cells.runpytest("--collect-only", "-q", f"--sst2-data={elsewhere}")
    assert collected(kept) == ["tfidf-seed42"]
    also_kept = cells.runpytest(str(cells.path), "--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert collected(also_kept) == ["tfidf-seed42"]


PATH_OPTIONS = [option.flag for option in OPTIONS if option.name in ("data", "json", "report", "resume", "floors")]


@pytest.mark.parametrize("flag", [*PATH_OPTIONS, "--models"])
def test_a_path_that_leads_pytest_to_the_ini_file_of_another_project_is_refused(
    cells: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory, flag: str
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "pytest.ini").write_text("[pytest]\nsst2_methods = majority\n", encoding="utf-8")
    run = cells.runpytest("--collect-only", flag, str(other))
    assert run.ret == USAGE_ERROR
    run.stderr.fnmatch_lines([f"*read the settings of '{other / 'pytest.ini'}'. Write {flag}={other}."])


def test_a_nearer_ini_file_of_the_tests_is_not_lost_to_one_above_the_data(cells: pytest.Pytester) -> None:
    (cells.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    inner = cells.mkdir("inner")
    (inner / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    data = cells.mkdir("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(inner)
        run = cells.runpytest("--collect-only", "--sst2-data", str(data))
    assert run.ret == USAGE_ERROR
    run.stderr.fnmatch_lines([f"*'{cells.path / 'pytest.ini'}' instead of '{inner / 'pytest.ini'}'*"])


@pytest.mark.usefixtures("_heavy_libraries")
@pytest.mark.parametrize("has_setup", [False, True])
def test_without_an_ini_file_baselines_belong_to_the_nearest_project_above_the_current_folder(
    pytester: pytest.Pytester, tiny_data: Path, has_setup: bool
) -> None:
    tests = pytester.makepyfile(test_bench=BENCHMARK)
    if has_setup:
        pytester.makepyfile(setup="")
    here = pytester.mkdir("inner")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        save = ("--sst2-save=main", "--sst2-min-accuracy=0", "--methods=majority", "--sst2-train-size=60")
        run = pytester.runpytest("--sst2-data", str(tiny_data), *save, str(tests))
    assert run.ret == 0
    assert ((pytester.path if has_setup else here) / ".sst2" / "main.json").is_file()
