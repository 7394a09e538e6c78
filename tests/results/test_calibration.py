"""Calibration: one floor per model and method, from at least five seeds."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_sst2.results.calibration import calibrate_floors
from pytest_sst2.results.floors import load_floors
from tests.support.record_factory import answered


def records(right: int, seeds: range):
    return [answered([index < right for index in range(400)], seed=seed) for seed in seeds]


def test_five_seeds_make_a_floor_and_four_make_none(tmp_path: Path) -> None:
    path = tmp_path / "floors.toml"
    too_few = calibrate_floors(records(360, range(4)), path, overwrite=False)
    assert too_few.notes == []
    assert [problem.partition(": ")[2] for problem in too_few.problems] == ["4 of 5 seeds were measured."]
    assert not path.exists()
    (of_cell, written), problems = calibrate_floors(records(360, range(5)), path, overwrite=False)
    assert re.fullmatch(r"floor of .*: 0\.8850, measured .*: mean 0\.9000, sd 0\.0000 over seeds 0,1,2,3,4.*", of_cell)
    assert (written, problems) == (f"1 floor in {path}", [])
    assert load_floors(path).find(records(360, range(1))[0].floor_key).accuracy == 0.885


def test_a_floor_is_lowered_with_overwrite_only(tmp_path: Path) -> None:
    path = tmp_path / "floors.toml"
    calibrate_floors(records(360, range(5)), path, overwrite=False)
    kept = calibrate_floors(records(320, range(5)), path, overwrite=False)
    assert kept.notes == [f"0 floors in {path}"]
    assert "stays 0.8850: these seeds would lower it to 0.7850. --sst2-overwrite lowers it." in kept.problems[0]
    assert calibrate_floors(records(320, range(5)), path, overwrite=True).problems == []


def test_a_file_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    calibration = calibrate_floors(records(360, range(5)), tmp_path / "file" / "floors.toml", overwrite=False)
    assert calibration.notes == []
    assert len(calibration.problems) == 1
