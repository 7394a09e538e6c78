"""The protocol of what measures cells outside this process, such as a Ray cluster."""

from __future__ import annotations

from typing import Protocol

from pytest_sst2.config.specs import Cell
from pytest_sst2.results.record import Environment, Record


class SeedNotNeededError(Exception):
    """A seed is not measured, because its cell is decided; the message says how."""


class Executor(Protocol):
    """Measures the cells of a run on other machines or in other processes."""

    def result(self, cell: Cell) -> Record:
        """Wait for a cell and return its record.

        Raises:
            Sst2Error: The cell could not be measured.
            SeedNotNeededError: The cell is decided without this seed.
            Exception: The method raised it.
        """

    def environment(self) -> Environment:
        """Return the environment of a node."""

    def device_of(self, cell: Cell) -> str:
        """Return the device that a cell is measured on."""
