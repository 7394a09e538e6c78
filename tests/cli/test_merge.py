"""`pytest-sst2 merge`: where the joined file goes, what may be replaced, and what the command refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from tests.conftest import results
from tests.support.shard_files import PLANNED, measured, read, refusal, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _two_shards() -> None:
    write("1.json", [measured("d"), measured("b")], shard="1/2")
    write("2.json", [measured("c"), measured("a")], shard="2/2", saved="2026-08-02T12:00:00+00:00")


@pytest.mark.usefixtures("_two_shards")
class TestWhole:
    def test_records_are_as_they_were_in_the_order_planned(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["merge", "2.json", "1.json", "-o", "all.json"]) == 0
        assert capsys.readouterr().out == "4 records of 2 files in all.json\n"
        data = results(Path("all.json"))
        assert [record["cell"] for record in data["records"]] == list(PLANNED) == data["planned"]
        single = {record["cell"]: record for name in ("1.json", "2.json") for record in results(Path(name))["records"]}
        assert {record["cell"]: record for record in data["records"]} == single
        assert (data["shard"], data["saved"]) == ("", "2026-08-02T12:00:00+00:00")

    def test_it_may_be_saved_as_a_baseline_instead_or_too(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 0
        assert capsys.readouterr().out.startswith("baseline 'main' with 4 records in ")
        assert [record.cell for record in read(".sst2/main.json").records] == list(PLANNED)
        there = refusal(capsys, "1.json", "2.json", "--save", "main", "-o", "all.json")
        assert "--save main: there is a baseline of that name" in there
        assert "add --overwrite to replace it" in there
        assert main(["merge", "1.json", "2.json", "--save", "main", "-o", "all.json", "--overwrite"]) == 0
        assert Path("all.json").is_file()

    def test_one_of_both_must_be_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "-o FILE, --save NAME" in refusal(capsys, "1.json", "2.json")

    def test_a_file_that_is_there_is_replaced_only_with_overwrite(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "-o '1.json' exists already" in refusal(capsys, "1.json", "2.json", "-o", "1.json")
        assert main(["merge", "1.json", "2.json", "-o", "1.json", "--overwrite"]) == 0
        assert len(read("1.json").records) == 4

    def test_a_shard_without_a_cell_belongs_to_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        for number in (1, 2):
            write(f"{number}.json", read(f"{number}.json").records, shard=f"{number}/3")
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 1
        assert "no file of shard 3/3" in capsys.readouterr().out
        write("3.json", [], shard="3/3", saved="")
        assert main(["merge", "1.json", "2.json", "3.json", "-o", "all.json", "--overwrite"]) == 0


class TestRefused:
    def test_a_file_of_a_commit_is_asked_of_git(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "'nope:a.json' cannot be read from git" in refusal(capsys, "nope:a.json", "-o", "all.json")

    @pytest.mark.parametrize("other", ["1.json", "./1.json"])
    def test_a_file_that_is_given_twice(self, other: str, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        assert f"'{other}' is given twice" in refusal(capsys, "1.json", other, "-o", "all.json")

    def test_what_is_no_results_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        Path("2.json").write_text("[]", encoding="utf-8")
        assert "2.json is not a results file" in refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert "no baseline '3.json'" in refusal(capsys, "1.json", "3.json", "-o", "all.json")
