"""The share of cores and GPUs of a pytest-xdist worker."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytest_sst2.runner import placement
from pytest_sst2.utils import processes as workers
from tests.support import ROOT

POOLS = """
import os, sys
from pytest_sst2.utils import processes as workers
workers.cores = lambda: 8
assert "torch" not in sys.modules and "numpy" not in sys.modules
{first}
workers.take_share(exclusive={exclusive})
import numpy, torch, threadpoolctl
from pytest_sst2.instruments import environment
blas = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
given = environment.collect_environment("cpu").variables
print(torch.get_num_threads(), max(blas), os.environ.get("OMP_NUM_THREADS", "-"), given.get("OMP_NUM_THREADS", "-"))
"""


def printed_words(code: str, **variables: str) -> list[str]:
    """Run code in a new interpreter with only these variables about threads; return the words that it prints."""
    known = (*workers.THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES")
    kept = {name: value for name, value in os.environ.items() if name not in known and "XDIST" not in name}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**kept, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def pools(*, first: str = "", exclusive: bool = False, **variables: str) -> list[str]:
    return printed_words(POOLS.format(first=first, exclusive=exclusive), **variables)


FOURTH = {"PYTEST_XDIST_WORKER": "gw3", "PYTEST_XDIST_WORKER_COUNT": "4"}


class TestCores:
    def test_a_worker_takes_its_share_which_is_not_recorded_as_set_by_the_user(self) -> None:
        # numpy's BLAS has at most the cores of this machine.
        threads, blas, variable, recorded = pools(**FOURTH)
        assert (threads, variable, recorded) == ("2", "2", "-")
        assert int(blas) <= 2

    def test_the_users_own_setting_stays_and_is_recorded(self) -> None:
        assert pools(**FOURTH, OMP_NUM_THREADS="1") == ["1", "1", "1", "1"]

    @pytest.mark.parametrize("worker", [{}, {"PYTEST_XDIST_WORKER": "gw0", "PYTEST_XDIST_WORKER_COUNT": "1"}])
    def test_a_process_alone_keeps_all_cores(self, worker: dict[str, str]) -> None:
        assert pools(**worker)[2:] == ["-", "-"]

    def test_an_exclusive_cell_has_all_cores(self) -> None:
        assert pools(exclusive=True, **FOURTH)[2:] == ["-", "-"]

    def test_with_more_workers_than_cores_each_has_one_thread(self) -> None:
        many = {"PYTEST_XDIST_WORKER": "gw3", "PYTEST_XDIST_WORKER_COUNT": "64"}
        assert pools(**many)[:3] == ["1", "1", "1"]

    def test_libraries_that_a_conftest_has_loaded_are_limited_too(self) -> None:
        many = {"PYTEST_XDIST_WORKER": "gw3", "PYTEST_XDIST_WORKER_COUNT": "8"}
        assert pools(first="import numpy, torch; torch.set_num_threads(8)", **many)[:2] == ["1", "1"]


class TestGpus:
    @pytest.fixture(autouse=True)
    def _gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Set first, so that monkeypatch restores it.
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "unset")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        monkeypatch.setattr("torch.cuda.is_initialized", lambda: False)

    def taken(self, monkeypatch: pytest.MonkeyPatch, count: int, worker: str, given: str | None = None) -> str | None:
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "8")
        if given is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        workers.take_share(exclusive=True)
        return os.environ.get("CUDA_VISIBLE_DEVICES")

    def test_each_worker_sees_one_of_several(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.taken(monkeypatch, 4, "gw2") == "2"

    def test_more_workers_than_gpus_share_them_in_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.taken(monkeypatch, 4, "gw6") == "2"

    def test_only_gpus_that_the_user_left_visible_are_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.taken(monkeypatch, 2, "gw1", "5, GPU-abc") == "GPU-abc"

    @pytest.mark.parametrize("count", [0, 1])
    def test_with_one_gpu_or_none_nothing_is_set(self, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        assert self.taken(monkeypatch, count, "gw1") is None

    def test_a_worker_with_another_name_sees_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.taken(monkeypatch, 4, "big-machine") is None

    def test_nothing_is_set_after_cuda_is_initialised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
        assert self.taken(monkeypatch, 4, "gw2") is None


class TestPlacement:
    def test_a_worker_records_the_concurrent_workers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert placement.here().executor == "serial"
        for name, value in FOURTH.items():
            monkeypatch.setenv(name, value)
        assert (placement.here().executor, placement.here().worker, placement.here().concurrent_workers) == (
            "xdist",
            "gw3",
            3,
        )
        assert placement.here(exclusive=True).concurrent_workers == 0

    @pytest.mark.parametrize("count", ["abc", "", "-3", "2.5", "\N{SUPERSCRIPT TWO}", "9" * 5000])
    def test_a_count_of_workers_that_is_not_a_number_means_one(
        self, monkeypatch: pytest.MonkeyPatch, count: str
    ) -> None:
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", count)
        assert workers.xdist_workers() == 1

    def test_variables_of_a_launcher_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = placement.here()
        for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        assert placement.here() == expected
        assert (expected.executor, expected.processes) == ("serial", 1)
