"""Merging: results of shards become one run, or are refused with the reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.cli.main import main
from tests.support.record_factory import ENVIRONMENT
from tests.support.shard_files import PLANNED, failed, measured, read, refusal, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class TestMissing:
    def test_missing_cells_and_shards_are_named_and_the_rest_is_written(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write("1.json", [measured("a")], shard="1/4")
        write("3.json", [measured("c")], shard="3/4")
        assert main(["merge", "1.json", "3.json", "-o", "all.json", "--save", "main"]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "2 records of 2 files in all.json",
            "2 cells of 4 missing: b-linear-probe-seed42, d-linear-probe-seed42",
            "no file of shards 2/4, 4/4",
            "baseline 'main' was not saved: shards are missing. What was there is unchanged.",
        ]
        assert not Path(".sst2").exists()
        assert read("all.json").shard == "1+3/4"
        # Missing shards can be merged later.
        write("2.json", [measured("b")], shard="2/4")
        write("4.json", [measured("d")], shard="4/4")
        assert main(["merge", "all.json", "2.json", "4.json", "-o", "all.json", "--overwrite"]) == 0
        assert read("all.json").shard == ""

    def test_a_shard_that_was_killed_leaves_its_cells_missing(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], shard="1/2")
        write("2.json", [measured("c")], shard="2/2", saved="")
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 1
        assert "1 cell of 4 missing: d-linear-probe-seed42" in capsys.readouterr().out
        assert read("all.json").shard == "1+2/2"

    def test_a_record_replaces_a_failure_with_a_note(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], [failed("c")], shard="1/2")
        write("2.json", [measured("c"), measured("d")], shard="2/2")
        assert main(["merge", "1.json", "2.json", "-o", "all.json", "--save", "main"]) == 0
        assert (
            "c × linear-probe seed 42 failed in '1.json' and has its record from '2.json': out of memory"
            in capsys.readouterr().out
        )
        assert read("all.json").failures == []

    def test_a_failed_cell_is_not_missing_and_prevents_a_baseline(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")], [failed("c")])
        write("2.json", [measured("d")])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
        assert "1 cell without a number: c × linear-probe seed 42" in capsys.readouterr().out
        assert read("all.json").failures == [failed("c")]
        assert main(["merge", "1.json", "2.json", "--save", "main"]) == 1
        assert "baseline 'main' was not saved" in capsys.readouterr().out
        assert not Path(".sst2").exists()


class TestRefused:
    def test_a_cell_with_two_records(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a"), measured("b")])
        write("2.json", [measured("b"), measured("a"), measured("c")])
        message = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert "b × linear-probe seed 42, a × linear-probe seed 42 are in '1.json' and in '2.json'" in message

    @pytest.mark.parametrize(
        ("changes", "parts"),
        [
            ({"name": "sst2"}, ["reviews validation", "sst2 validation", "cannot share one table"]),
            ({"split": "heldout"}, ["reviews heldout", "cannot share one table"]),
            ({"digest": "ef" * 32}, ["the rows of seed 42 differ: digest abab", "in '1.json', efef", "in '2.json'"]),
            ({"revision": "sha256:other"}, ["several revisions of the data", "sha256:other in '2.json'"]),
        ],
    )
    def test_other_data(self, changes: dict[str, str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        one, other = measured("a"), measured("b")
        write("1.json", [one])
        write("2.json", [dataclasses.replace(other, dataset=dataclasses.replace(other.dataset, **changes))])
        message = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert not [part for part in parts if part not in message]

    def test_another_recipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        write("2.json", [measured("b", recipe_label="standard")])
        assert "recipe standard" in refusal(capsys, "1.json", "2.json", "-o", "all.json")

    @pytest.mark.parametrize(
        ("changes", "part"),
        [
            ({"packages": {"torch": "2.14.0"}}, "torch 2.13.0 / 2.14.0"),
            ({"packages": {"torch": "2.13.0", "accelerate": "1.0"}}, "accelerate none / 1.0"),
            ({"python": "3.11.7"}, "python 3.12.1 / 3.11.7"),
            ({"device": "cuda", "device_name": "H100"}, "device cpu / cuda"),
        ],
    )
    def test_other_software(self, changes: dict[str, Any], part: str, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")])
        write("2.json", [measured("b", environment=dataclasses.replace(ENVIRONMENT, **changes))])
        message = refusal(capsys, "1.json", "2.json", "-o", "all.json")
        assert part in message
        assert "'1.json'" in message
        assert "'2.json'" in message

    def test_another_machine_is_allowed(self) -> None:
        elsewhere = dataclasses.replace(
            ENVIRONMENT, cpu_model="Xeon", cpu_cores=64, threads=32, variables={}, blas="mkl", device_name="Xeon"
        )
        other = measured("b", environment=elsewhere)
        write("1.json", [measured("a")], planned=PLANNED[:2])
        placement = dataclasses.replace(other.placement, node="n2")
        write("2.json", [dataclasses.replace(other, placement=placement)], planned=PLANNED[:2])
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0

    def test_other_seeds_have_other_rows(self) -> None:
        other = measured("a", seed=7)
        write("1.json", [measured("a")], planned=())
        write(
            "2.json",
            [dataclasses.replace(other, dataset=dataclasses.replace(other.dataset, digest="ef" * 32))],
            planned=(),
        )
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0

    def test_shards_of_different_runs(self, capsys: pytest.CaptureFixture[str]) -> None:
        write("1.json", [measured("a")], shard="1/2")
        write("2.json", [measured("b")], shard="2/3")
        assert "1/2 in '1.json', 2/3 in '2.json'" in refusal(capsys, "1.json", "2.json", "-o", "all.json")
        write("2.json", [measured("b")], shard="half")
        assert "2.json is damaged: shard is 'half'; it must be of the form 3/8" in refusal(
            capsys, "1.json", "2.json", "-o", "all.json"
        )
