"""Text for outputs that cannot encode every character."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.utils.sanitize import encodable, one_line, printable
from tests.conftest import results


class TestEncodable:
    def test_one_near_character_for_each_so_that_columns_keep_their_width(self) -> None:
        line = "majority  –  0.50  ±0.1  Δ −1  2 × 3 · 4 …"
        assert encodable(line, "ascii") == "majority  -  0.50  +0.1  D -1  2 x 3 | 4 ~"
        assert encodable(line, "utf-8") == line

    def test_characters_of_the_encoding_stay(self) -> None:
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
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}
    options = ["--sst2-data=data", "--sst2-train-size=60", "--methods=majority", "--sst2-json=r é.json"]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, "--sst2-save=main"],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        timeout=240,
    )
    output = process.stdout.decode(encoding)
    assert process.returncode == 0, output
    table = output.splitlines()
    rule = next(line for line in table if line.startswith("---"))
    row = next(line for line in table if line.startswith("majority"))
    assert len(row.rstrip()) <= len(rule)
    assert "\\u" not in row
    assert "UnicodeEncodeError" not in output
    assert results(folder / "r é.json")["records"][0]["method"] == "majority"
    assert (folder / ".sst2" / "main.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::error::stop", ": :error::stop"),
        ("a line\n  ::set-output name=a::b", "a line\n  : :set-output name=a::b"),
        ("::::", ": :::"),
        ("\u3000::add-mask::a", "\u3000: :add-mask::a"),
        ("see ##[error]stop", "see # #[error]stop"),
        ("##vso[task.complete] and ##VSO[a]", "# #vso[task.complete] and # #VSO[a]"),
        ("##teamcity[buildStop]", "# #teamcity[buildStop]"),
    ],
)
def test_no_text_is_a_command_to_a_ci_service(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert one_line(text.rpartition("\n")[2]).lstrip() == expected.rpartition("\n")[2].lstrip()


@pytest.mark.parametrize("text", ["tests/test_a.py::test_b", "a :: b", "## heading", "##x[a]", ":tada:"])
def test_other_text_with_colons_and_hashes_is_unchanged(text: str) -> None:
    assert printable(text) == one_line(text) == text
