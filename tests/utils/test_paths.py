"""Paths as typed: those in the notation of Windows."""

from __future__ import annotations

import os

import pytest

from pytest_sst2.utils.paths import slashes_hint


class TestWindowsPaths:
    @pytest.mark.parametrize(
        ("typed", "plain"),
        [("C:\\data\\sst2", "/data/sst2"), (".\\my-model", "./my-model"), ("D:/models/x", "/models/x")],
    )
    def test_the_hint_has_the_path_with_slashes(self, typed: str, plain: str) -> None:
        if os.name == "nt":
            pytest.skip("valid on Windows")
        assert repr(plain) in slashes_hint(typed)

    @pytest.mark.parametrize("typed", ["org/name", "./a", "~/x", "minilm", "org/name@main"])
    def test_other_paths_and_names_have_no_hint(self, typed: str) -> None:
        assert slashes_hint(typed) == ""

    @pytest.mark.skipif(os.name == "nt", reason="valid on Windows")
    @pytest.mark.parametrize("option", ["--sst2-data", "--models", "--sst2-json", "--sst2-report", "--sst2-floors"])
    def test_a_run_refuses_them_with_the_hint(self, option: str, cells: pytest.Pytester) -> None:
        result = cells.runpytest("--methods=majority", "--sst2-data=pocket", f"{option}=.\\out\\x")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        (error,) = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert "'./out/x'" in error
        assert not any("\\" in path.name for path in cells.path.iterdir())
