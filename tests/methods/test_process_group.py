"""The ranks of one training: what they tell each other, and that none is left waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.instruments.fingerprint_recorder import OrderDigest
from pytest_sst2.methods.base import train
from pytest_sst2.methods.batch_sharing import random_batches, share_of
from pytest_sst2.methods.process_group import Team
from pytest_sst2.results.record import Placement
from pytest_sst2.results.resume import Conditions
from pytest_sst2.runner import placement
from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error
from tests.methods.test_methods import make_job
from tests.support.record_factory import make_record
from tests.support.tiny_models import write_encoder


def in_ranks(*bodies: Callable[[Team], Any]) -> list[Any]:
    """Return what each rank's body returns or raises, run in threads that share a store."""
    store = torch.distributed.HashStore()  # type: ignore[attr-defined]
    teams = [Team(rank, len(bodies), store) for rank in range(len(bodies))]

    def outcome(rank: int) -> Any:
        try:
            return bodies[rank](teams[rank])
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(outcome, range(len(bodies)), timeout=20))


def going(error: Exception | None = None, patience: float | None = None) -> Callable[[Team], bool]:
    """Return what goes through a stage, or fails in it, and returns whether it is lost to the others."""

    def body(team: Team) -> bool:
        try:
            with team.together(patience):
                if error is not None:
                    raise error
        except ValueError:
            return team.lost
        return team.lost

    return body


class TestTogether:
    def test_alone_there_is_nobody_to_wait_for(self) -> None:
        with Team().together():
            pass
        with pytest.raises(ValueError, match="mine"), Team().together():
            raise ValueError("mine")

    def test_what_one_rank_cannot_do_no_rank_goes_on_after(self) -> None:
        first, second, third = in_ranks(going(), going(ValueError("no file")), going())
        assert str(first) == str(third) == "rank 1 of 3 failed: ValueError: no file"
        assert isinstance(first, Sst2Error)
        assert second is False

    def test_a_mistake_of_the_users_is_told_as_its_sentence(self) -> None:
        first, second = in_ranks(going(), going(Sst2Error("Give another model.")))
        assert str(first) == "rank 1 of 2 failed: Give another model."
        assert str(second) == "Give another model."

    def test_an_error_that_all_have_leaves_none_lost(self) -> None:
        assert in_ranks(*(going(ValueError("nan"), 5.0) for _ in range(2))) == [False, False]

    def test_a_rank_that_failed_while_the_others_work_is_lost_to_them(self) -> None:
        assert in_ranks(lambda team: None, going(ValueError("out of memory"), 0.1)) == [None, True]


class TestCalls:
    def test_the_others_hear_what_rank_zero_decides(self) -> None:
        def lead(team: Team) -> None:
            for cell in ("b", "b", "d"):
                team.call(cell)
            team.dismiss()

        def follow(team: Team) -> list[str]:
            trained = []
            for cell in "abcd":
                while team.next_call() == cell:
                    team.answer()
                    with team.together():
                        trained.append(cell)
            assert team.next_call() == ""
            team.leave()
            return trained

        assert in_ranks(lead, follow, follow) == [None, ["b", "b", "d"], ["b", "b", "d"]]


class TestRefusals:
    def test_a_batch_is_shared_out_evenly_or_not_at_all(self) -> None:
        Team(0, 4).check(16, "cpu")
        Team().check(7, "mps")
        with pytest.raises(Sst2Error, match=r"batch-size 18 cannot .* among 4 processes.* --sst2-batch-size 20\."):
            Team(0, 4).check(18, "cuda")

    def test_a_device_without_processes(self) -> None:
        with pytest.raises(Sst2Error, match="2 processes cannot train together on mps"):
            Team(0, 2).check(16, "mps")

    def test_more_processes_than_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        taken: list[int] = []
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "set_device", taken.append)
        for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        workers.take_local_gpu()
        assert taken == [1]
        monkeypatch.setenv("LOCAL_RANK", "2")
        with pytest.raises(Sst2Error, match=r"rank 5 is process 3 on this machine, which has 2 GPUs; .*-per-node 2"):
            workers.take_local_gpu()

    def test_xdist_workers_are_no_ranks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {"RANK": "0", "WORLD_SIZE": "2", "PYTEST_XDIST_WORKER": "gw0"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Sst2Error, match="pytest-xdist"):
            placement.here()


class TestShares:
    @given(rows=st.lists(st.integers(), min_size=1, max_size=40), processes=st.integers(1, 6))
    def test_every_row_is_in_one_share_and_the_weighted_mean_is_that_of_the_batch(
        self, rows: list[int], processes: int
    ) -> None:
        shares = [share_of(rows, rank, processes) for rank in range(processes)]
        assert all(share for share, _ in shares)
        counted = [row for share, weight in shares if weight for row in share]
        assert sorted(counted) == sorted(rows)
        mean = sum(weight * np.mean(share) for share, weight in shares) / processes
        assert mean == pytest.approx(np.mean(rows))

    def test_without_grouping_the_order_is_the_trainers(self, tmp_path: Path) -> None:
        """What ranks are given is what the Trainer and accelerate give a process that trains alone, in every epoch."""
        recipe = build_recipe("homework9", epochs=2, batch_size=16)
        assert not recipe.group_by_length
        job = make_job(write_encoder(tmp_path / "tiny"), recipe)
        given_rows: list[tuple[int, ...]] = []
        method = next(spec for spec in METHODS if spec.name == "fine-tune")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(OrderDigest, "add", lambda self, ids: given_rows.append(tuple(ids)))
            train(method, job)
        tokenizer = job.loader.tokenizer(job.encoder)
        rows = [tuple(tokenizer(text)["input_ids"]) for text in job.train.sentences]
        batches = random_batches(rows, 16, job.seed)
        assert given_rows == [rows[index] for _ in range(2) for batch in batches for index in batch]


def test_a_cell_is_resumed_with_as_many_processes_as_trained_it() -> None:
    record = make_record(placement=Placement("torchrun", processes=2))
    known = {"recipe": record.recipe, "digest": record.dataset.digest, "environment": record.environment}
    found = [
        Conditions(weights=record.weights, processes=processes, metrics=(), rounds=1, **known).differ_from(record)
        for processes in (1, 2)
    ]
    assert found == ["1 process, was 2", ""]
