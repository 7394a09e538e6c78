"""Results files of the shards of one run with four planned cells, and refused calls of `pytest-sst2 merge`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Failure, Record
from tests.support.record_factory import answered

NAMES = ("a", "b", "c", "d")
PLANNED = tuple(f"{name}-linear-probe-seed42" for name in NAMES)


def measured(name: str, seed: int = 42, **changes: Any) -> Record:
    return answered([True, False, True, True], model=name, seed=seed, **changes)


def failed(name: str, error: str = "out of memory") -> Failure:
    return Failure(f"{name}-linear-probe-seed42", name, "linear-probe", 42, error)


def write(
    path: str, records: Sequence[Record], failures: Sequence[Failure] = (), *, shard: str = "", **rest: Any
) -> None:
    rest = {"saved": "2026-08-01T12:00:00+00:00", "planned": PLANNED, **rest}
    Path(path).write_text(results_text(Results(records, failures, shard=shard, **rest)), encoding="utf-8")


def read(path: str | Path) -> Results:
    return results_from_text(Path(path).read_text(encoding="utf-8"), str(path))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the error of a merge that is refused and changes no file."""
    before = {path: path.read_bytes() for path in Path().rglob("*.json")}
    capsys.readouterr()
    assert main(["merge", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().rglob("*.json")} == before
    return output.err
