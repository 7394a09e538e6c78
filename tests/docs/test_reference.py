"""What is generated from the code is what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main as cli_main
from pytest_sst2.config import options
from pytest_sst2.report.write import STEP_SUMMARY
from tests.support import ROOT
from tools.docs import reference


def test_reference_and_schema_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "docs" / "reference.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_out_of_date_or_missing_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    for path in (reference.REFERENCE, reference.SCHEMA):
        (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / reference.REFERENCE).write_text("# Reference\n", encoding="utf-8")
    assert reference.main(["--check"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "docs/reference.md is not what the code says. Run: python tools/docs/reference.py",
        "pytest_sst2/results/schema.json is not what the code says. Run: python tools/docs/reference.py",
    ]
    assert not (tmp_path / reference.SCHEMA).exists()
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    assert (tmp_path / reference.REFERENCE).read_bytes() == (ROOT / reference.REFERENCE).read_bytes()


def test_every_option_command_and_fixture_has_a_row(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    text = reference.reference()
    for option in options.OPTIONS:
        assert f"- `{option.flag}" in text
    with pytest.raises(SystemExit):
        cli_main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert "compare" in commands
    assert [f"### pytest-sst2 {name}" for name in commands] == re.findall(r"^### pytest-sst2 .*", text, re.MULTILINE)
    shown = pytester.runpytest("--fixtures", "-p", "no:benchmark").stdout.str()
    fixtures = {name for name in re.findall(r"^(sst2_\w+)", shown, re.MULTILINE) if name != "sst2_timer"}
    assert fixtures == set(re.findall(r"^- `(sst2_\w+)` \((?:function|session)\):", text, re.MULTILINE))


def test_every_variable_that_the_package_reads_is_documented() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pytest_sst2").rglob("*.py"))
    read = set(re.findall(r"""environ(?:\.get\(|\[)\s*"([A-Z0-9_]+)\"""", source)) | {STEP_SUMMARY}
    assert {"CI", "NO_COLOR", "PYTEST_SST2_CACHE"} <= read
    assert read <= set(reference.ENVIRONMENT)


def test_a_default_at_the_end_of_a_help_text_gets_a_column_of_its_own() -> None:
    assert reference._help("rows to keep (default: all)") == ("rows to keep", "all")
    assert reference._help("least accuracies; default: benchmarks/floors.toml") == (
        "least accuracies",
        "`benchmarks/floors.toml`",
    )
    assert reference._help("what --sst2-save wrote") == ("what `--sst2-save` wrote", "–")
    assert reference._help("(default: text)") == ("", "text")
