"""A path in an option must not lead pytest away from its ini file."""

from __future__ import annotations

import pytest

from tests.conftest import collected

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


def test_a_path_that_leads_pytest_away_from_its_ini_file_is_refused_with_the_way_out(
    cells: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    cells.makeini("[pytest]\nsst2_methods = tfidf\n")
    lost = cells.runpytest("--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert lost.ret == USAGE_ERROR
    lost.stderr.fnmatch_lines(
        [f"ERROR: pytest took '{elsewhere}' for a folder of tests*Write --sst2-data={elsewhere} *"]
    )
    kept = cells.runpytest("--collect-only", "-q", f"--sst2-data={elsewhere}")
    assert collected(kept) == ["tfidf-seed42"]
    also_kept = cells.runpytest(str(cells.path), "--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert collected(also_kept) == ["tfidf-seed42"]
