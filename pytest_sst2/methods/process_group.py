"""Team: the processes that torchrun started for one training, and what they tell each other. Loads torch when asked to.

They speak through the store that torchrun keeps for its ranks. Rank 0 leads: it calls the others to each round of a
cell that is trained together, so that what it alone decides (a cell taken from an earlier run, a stop) needs no word.
The others wait for its next call for as long as it takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Any

from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error

# Rank 0 may be busy with probes and predictions for hours while the others wait.
_FOREVER = timedelta(days=365)
# Within a training the others wait while rank 0 predicts the evaluation rows for the learning curve, which may well
# take longer than the 10 to 30 minutes after which PyTorch gives up.
_TRAINING_TIMEOUT = timedelta(hours=12)
# An error that all ranks have, such as a loss that is not a number, comes to all of them within this.
PATIENCE_SECONDS = 30.0


class Team:
    """The ranks of one training; one alone where there is no torchrun.

    Args:
        rank: Which one this is, from 0.
        processes: How many there are.
        store: What they speak through; None for torchrun's own.

    Attributes:
        lost: Whether this rank had an error that the others did not hear of: nothing can be trained together after.
    """

    def __init__(self, rank: int = 0, processes: int = 1, store: Any = None) -> None:
        self.rank = rank
        self.processes = processes
        self.lost = False
        self._given_store = store
        self._turn = 0
        self._stage = 0
        self._heard: str | None = None

    @classmethod
    def here(cls) -> Team:
        """Return the team that this process belongs to."""
        return cls(workers.rank(), workers.processes())

    @cached_property
    def _store(self) -> Any:
        from torch.distributed import PrefixStore, rendezvous  # type: ignore[attr-defined]

        if self._given_store is not None:
            return self._given_store
        store, _, _ = next(iter(rendezvous("env://", self.rank, self.processes)))
        store.set_timeout(_FOREVER)
        return PrefixStore("pytest-sst2", store)

    def check(self, batch_size: int, device: str) -> None:
        """Refuse what cannot be trained together.

        Raises:
            Sst2Error: The batches cannot be shared out evenly, or the device knows no processes.
        """
        if batch_size % self.processes:
            raise Sst2Error(
                f"--sst2-batch-size {batch_size} cannot be shared out evenly among {self.processes} processes; the "
                f"batch of a recipe is that of all of them together. Start as many as divide {batch_size}, or give "
                f"--sst2-batch-size {-(-batch_size // self.processes) * self.processes}."
            )
        if self.processes > 1 and device not in ("cpu", "cuda"):
            raise Sst2Error(
                f"{self.processes} processes cannot train together on {device}: only on cpu and cuda. "
                "Start pytest without torchrun, or give --sst2-device cpu."
            )

    def call(self, cell: str) -> None:
        """Rank 0 has the others train a cell along, once.

        Raises:
            Sst2Error: One of them cannot begin.
        """
        if self.processes == 1:
            return
        self._next_turn()
        self._store.set(f"turn/{self._turn}", cell)
        with self.together():
            pass

    def next_call(self) -> str:
        """Wait for rank 0; return the cell that it calls to, which stays the same until it is answered.

        Returns:
            The cell's id; empty where there is nothing more to train.
        """
        if self._heard is None:
            key = f"turn/{self._turn + 1}"
            self._store.wait([key], _FOREVER)
            self._heard = self._store.get(key).decode()
        return self._heard

    def answer(self) -> None:
        """Take up the call that was heard."""
        self._heard = None
        self._next_turn()

    def _next_turn(self) -> None:
        self._turn += 1
        self._stage = 0

    def dismiss(self) -> None:
        """Rank 0 lets the others go: there is nothing more to train. It waits a little for them to have heard it.

        Without torchrun's own store, they would lose theirs with rank 0.
        """
        self._store.set(f"turn/{self._turn + 1}", "")
        self._have_all([f"left/{rank}" for rank in range(1, self.processes)], timedelta(seconds=PATIENCE_SECONDS))

    def leave(self) -> None:
        """Another rank says that it has heard that."""
        self._store.set(f"left/{self.rank}", "")

    @contextlib.contextmanager
    def together(self, patience_seconds: float | None = None) -> Iterator[None]:
        """Have all ranks go through the body, and through what comes after it only if none of them failed.

        Args:
            patience_seconds: Where the body waits for other ranks, so that one may be left waiting in it for ever: for
                how long a rank that failed waits for them to have failed as well. Then it is lost to them.

        Raises:
            Sst2Error: Another rank failed.
        """
        if self.processes == 1:
            yield
            return
        self._stage += 1
        keys = [f"stage/{self._turn}/{self._stage}/{rank}" for rank in range(self.processes)]
        try:
            yield
        except Exception as error:
            if not self.lost:
                self._store.set(keys[self.rank], _described(error))
                patience = _FOREVER if patience_seconds is None else timedelta(seconds=patience_seconds)
                self.lost = not self._have_all(keys, patience)
            raise
        self._store.set(keys[self.rank], "")
        self._store.wait(keys, _FOREVER)
        for rank, key in enumerate(keys):
            if told := self._store.get(key).decode():
                raise Sst2Error(f"rank {rank} of {self.processes} failed: {told}")

    def _have_all(self, keys: list[str], patience: timedelta) -> bool:
        try:
            self._store.wait(keys, patience)
        except RuntimeError:  # that is how a store says that the time is over
            return False
        return True

    @contextlib.contextmanager
    def connected(self, device: str) -> Iterator[None]:
        """Connect the ranks for the body, in which they train one model on ``cpu`` or on a ``cuda`` device each."""
        if self.processes == 1:
            yield
            return
        # Whoever fails says so before it leaves the group: to leave may have to wait for the others.
        patience = PATIENCE_SECONDS
        with self.together(patience), self._process_group(device), self.together(patience):
            yield

    @contextlib.contextmanager
    def _process_group(self, device: str) -> Iterator[None]:
        """Open a process group of this turn's own: what a failed training left in another cannot mix with it."""
        from torch import distributed

        if distributed.is_initialized():  # a conftest's; it is not ours to close
            yield
            return
        distributed.init_process_group(
            "nccl" if device == "cuda" else "gloo",
            store=distributed.PrefixStore(f"group/{self._turn}", self._store),  # type: ignore[attr-defined]
            rank=self.rank,
            world_size=self.processes,
            timeout=_TRAINING_TIMEOUT,
        )
        try:
            yield
        finally:
            distributed.destroy_process_group()


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, Sst2Error) else f"{type(error).__name__}: {error}"
