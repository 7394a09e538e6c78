"""The run delay of a process whose threads wait for a core."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.instruments import run_delay as module
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.instruments.run_delay import delay_since, run_delay


def threads(folder: Path, *schedstats: str | None) -> Path:
    for number, text in enumerate(schedstats):
        (folder / str(number)).mkdir(exist_ok=True)
        if text is not None:
            (folder / str(number) / "schedstat").write_text(text)
    return folder


def test_the_delay_is_the_sum_over_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A thread that ended after the folder was listed has no file any more.
    monkeypatch.setattr(module, "_THREADS", threads(tmp_path, "9 500000000 3", "9 2000000000 3", None))
    assert run_delay() == 2.5
    assert delay_since(1.0) == 1.5
    assert delay_since(3.0) == 0.0
    assert delay_since(None) is None


@pytest.mark.parametrize("schedstats", [(None,), ("not numbers",), ("1",)])
def test_a_kernel_that_does_not_count_has_no_delay(
    schedstats: tuple[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_THREADS", threads(tmp_path, *schedstats))
    assert run_delay() is None
    assert delay_since(1.0) is None


def test_another_system_has_no_delay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_THREADS", tmp_path / "absent")
    clock = PhaseClock()
    with clock.phase("fit"):
        pass
    assert clock.phases[0].delay_seconds is None


def test_an_outer_phase_excludes_the_delay_of_the_inner_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_THREADS", threads(tmp_path, "0 0 0"))
    clock = PhaseClock()
    with clock.phase("train"):
        threads(tmp_path, "0 1000000000 0")
        with clock.phase("predict"):
            threads(tmp_path, "0 4000000000 0")
    assert {phase.name: phase.delay_seconds for phase in clock.phases} == {"predict": 3.0, "train": 1.0}
