"""The gate over branches alone: coverage's own counts lines with them, which hides branches that nobody takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.checks.branches import main


def report(path: Path, **missed: int) -> Path:
    """Write what ``coverage json`` would say of modules with a hundred branches each."""
    files = {f"{name}.py": {"summary": {"missing_branches": count}} for name, count in missed.items()}
    total = 100 * len(missed)
    totals = {"num_branches": total, "covered_branches": total - sum(missed.values()), "percent_covered": 99.0}
    path.write_text(json.dumps({"files": files, "totals": totals}), encoding="utf-8")
    return path


def test_ninety_two_in_a_hundred_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(report(tmp_path / "coverage.json", drift=16, floors=0)) == 0
    assert capsys.readouterr().out == "  16 branches missed in drift.py\n184 of 200 branches taken: 92.0 %\n"


def test_one_less_is_too_few_however_many_lines_were_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(report(tmp_path / "coverage.json", drift=3, floors=14)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "  14 branches missed in floors.py",
        "   3 branches missed in drift.py",
        "183 of 200 branches taken: 91.5 %",
        "At least 92.0 % are required.",
    ]
