"""Journal: the results file of a run, written anew as each cell is finished, and whole at every moment.

A run that is killed leaves every cell that it finished, in a file that any reader of results can read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_sst2.files import write_atomically
from pytest_sst2.records import Failure, Record
from pytest_sst2.results_file import Results, framed, record_line


class Journal:
    """What has been measured so far, on disk.

    Lines are kept as text: to write a file anew is to join and copy them, 20 ms for 1,000 cells.

    Args:
        path: The file.
        planned: The ids of all cells that are to be measured, in every shard.
        shard: ``3/8`` where this run is one part, else empty.
        standing: What stands in the file and is to stay there; None where it holds another run's results. Those are
            put aside while this run is not finished.
    """

    def __init__(self, path: Path, planned: Sequence[str], *, shard: str = "", standing: Results | None = None) -> None:
        self.path = path
        self.planned = planned
        self.shard = shard
        self._lines: dict[str, str] = {}
        self._failures: dict[str, Failure] = {}
        self._foreign = standing is None and path.exists()
        self._loses = False
        # Cells that are measured elsewhere are written as they come, beside those whose test has had its turn.
        self._lock = threading.RLock()
        for record in standing.records if standing else ():
            self._lines[record.cell] = record_line(record)

    @property
    def aside(self) -> Path:
        """Where what stood in the file before is kept."""
        return self.path.with_name(f"{self.path.name}.before")

    @property
    def count(self) -> int:
        """How many records it holds."""
        return len(self._lines)

    def add(self, record: Record, *, again: bool = False) -> None:
        """Write a record, in the place of one of the same cell.

        Args:
            record: What was measured, or taken from an earlier run.
            again: Whether the cell was measured again, under other conditions: what it was before is then put aside.

        Raises:
            Sst2Error: The file cannot be written; it is what it was.
        """
        line = record_line(record)
        with self._lock:
            if self._lines.get(record.cell) == line:
                return
            self._loses |= again and record.cell in self._lines
            self._lines[record.cell] = line
            self._failures.pop(record.cell, None)
            self._write("")

    def add_failure(self, failure: Failure) -> None:
        """Write a failure; raises as ``add`` does."""
        with self._lock:
            self._failures[failure.cell] = failure
            self._write("")

    def close(self, *, complete: bool, without: Iterable[str] = ()) -> None:
        """Write the file for the last time.

        Args:
            complete: Whether every cell had its turn; results of another run are then let go.
            without: The ids of cells that stood in the file and do not belong to this run.

        Raises:
            Sst2Error: As ``add``.
        """
        with self._lock:
            for cell in without:
                self._loses |= self._lines.pop(cell, None) is not None
            # They came as they were finished; a reader looks for them in the order of the run.
            first = [cell for cell in self.planned if cell in self._lines]
            self._lines = {cell: self._lines[cell] for cell in dict.fromkeys((*first, *self._lines))}
            self._write(datetime.now(UTC).isoformat(timespec="seconds"))
        if complete and self._foreign:
            self.aside.unlink(missing_ok=True)

    def _write(self, saved: str) -> None:
        if (self._foreign or self._loses) and self.path.is_file() and not self.aside.exists():
            write_atomically(self.aside, self.path.read_bytes())
        rest = Results((), tuple(self._failures.values()), saved, "", self.planned, self.shard)
        write_atomically(self.path, framed(list(self._lines.values()), rest))
