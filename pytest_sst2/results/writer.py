"""ResultsWriter: the results file of a run, written anew as each cell is finished, and whole at every moment.

A run that is killed leaves every cell that it finished, in a file that any reader of results can read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_sst2.results.file import SEPARATOR, Results, frame, record_line
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error


class ResultsWriter:
    """What has been measured so far, on disk.

    Lines are kept as they are written: to write a file anew is to copy them, 50 ms for 1,000 cells of 872 examples.

    Args:
        path: The file.
        planned: The ids of all cells that are to be measured, in every shard.
        shard: ``3/8`` where this run is one part, else empty.
        standing: What stands in the file and is to stay there; None where it holds another run's results. Those are
            put aside while this run is not finished.

    Attributes:
        aside: Where what stood in the file before is kept; None as long as nothing had to be.
    """

    def __init__(self, path: Path, planned: Sequence[str], *, shard: str = "", standing: Results | None = None) -> None:
        self.path = path
        self.planned = planned
        self.shard = shard
        self._lines: dict[str, bytes] = {}
        self._failures: dict[str, Failure] = {}
        self._foreign = standing is None and path.exists()
        self._loses = False
        self.aside: Path | None = None
        # Cells that are measured elsewhere are written as they come, beside those whose test has had its turn.
        self._lock = threading.RLock()
        if standing is None:
            return
        # A part of the matrix may be run again: what is known of the rest of it stays known.
        self.planned = list(dict.fromkeys([*standing.planned, *planned]))
        self._lines = {record.cell: record_line(record).encode() for record in standing.records}
        self._failures = {failure.cell: failure for failure in standing.failures}

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
        line = record_line(record).encode()
        with self._lock:
            if self._lines.get(record.cell) == line and record.cell not in self._failures:
                return
            self._loses |= again and record.cell in self._lines
            self._lines[record.cell] = line
            self._failures.pop(record.cell, None)
            self._write("")

    def add_failure(self, failure: Failure) -> None:
        """Write a failure, in the place of what the same cell was before; raises as ``add`` does."""
        with self._lock:
            self._loses |= self._lines.pop(failure.cell, None) is not None
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
                self.planned = [name for name in self.planned if name != cell]
            # They came as they were finished; a reader looks for them in the order of the run.
            first = [cell for cell in self.planned if cell in self._lines]
            self._lines = {cell: self._lines[cell] for cell in dict.fromkeys((*first, *self._lines))}
            self._write(datetime.now(UTC).isoformat(timespec="seconds"))
        if complete and self._foreign and self.aside is not None:
            self.aside.unlink(missing_ok=True)
            self.aside = None

    def _write(self, saved: str) -> None:
        if (self._foreign or self._loses) and self.aside is None and self.path.is_file():
            aside = self._free_name()
            write_atomically(aside, self._standing_bytes(), overwrite=False)
            self.aside = aside
        rest = Results((), tuple(self._failures.values()), saved, "", self.planned, self.shard)
        head, tail = frame(rest)
        body = SEPARATOR.encode().join(self._lines.values())
        write_atomically(self.path, b"".join((head.encode(), body, tail.encode())))

    def _standing_bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Sst2Error(
                f"cannot read {str(self.path)!r}: {error.strerror or error}. It is not written over before it is put "
                "aside."
            ) from error

    def _free_name(self) -> Path:
        """Return ``FILE.before``, with a number where an earlier run that was cut off has left one."""
        numbers = ("", *(f"-{number}" for number in range(2, 1000)))
        names = (self.path.with_name(f"{self.path.name}.before{number}") for number in numbers)
        return next(name for name in names if not name.exists())
