"""ResultsWriter: writes the results file of a run anew after each cell, so that the file is always complete and valid.

A run that is killed leaves a file with every cell that it finished.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pytest_sst2.results.file import SEPARATOR, Results, frame
from pytest_sst2.results.looks import Look
from pytest_sst2.results.packing import json_line
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error


class ResultsWriter:
    """Writes the records and failures of a run to its results file.

    The writer keeps the line of each record. Writing the file anew therefore only copies the lines: 50 ms for 1,000
    cells of 872 examples. A method raises ``Sst2Error`` if the file cannot be written; its content is then unchanged.

    Args:
        path: The results file.
        planned: The ids of all planned cells, in every shard.
        shard: ``3/8`` for one part of a run, else empty.
        resumed: The content of the file if the run resumes it. None if the file has the results of another run: then
            the writer backs it up until this run is complete.

    Attributes:
        backup: The file with the previous content; None while there is none.
    """

    def __init__(self, path: Path, planned: Sequence[str], *, shard: str = "", resumed: Results | None = None) -> None:
        self.path = path
        self.shard = shard
        self._has_other_run = resumed is None and path.exists()
        self._loses_cells = False
        self.backup: Path | None = None
        # A thread adds the cells that were measured on a cluster, while the tests add their own.
        self._lock = threading.RLock()
        earlier = resumed or Results((), ())
        # The run may be a part of the file's matrix; the cells of the other parts stay planned.
        self.planned = list(dict.fromkeys([*earlier.planned, *planned]))
        self._lines = {record.cell: json_line(record.to_json()).encode() for record in earlier.records}
        self._failures = {failure.cell: failure for failure in earlier.failures}
        self._looks: Sequence[Look] = earlier.looks
        self._skipped = {skipped.cell: skipped for skipped in earlier.skipped}

    @property
    def count(self) -> int:
        """The number of records in the file."""
        return len(self._lines)

    def add(self, record: Record, *, remeasured: bool = False, looks: Sequence[Look] = ()) -> None:
        """Write a record, in place of an earlier one or a failure of the same cell, and the looks taken so far.

        If ``remeasured``, the file had a record of the cell from other conditions: its previous content is backed up.
        """
        line = json_line(record.to_json()).encode()
        with self._lock:
            is_known = self._lines.get(record.cell) == line and record.cell not in self._failures
            if is_known and (not looks or self._looks == looks):
                return
            self._looks = looks or self._looks
            self._loses_cells |= remeasured and record.cell in self._lines
            self._lines[record.cell] = line
            self._failures.pop(record.cell, None)
            self._skipped.pop(record.cell, None)
            self._write("")

    def add_failure(self, failure: Failure, *, keeps_record: bool = False) -> None:
        """Write a failure, in place of the record or failure of the same cell.

        If ``keeps_record``, a record that an earlier run measured stays: the test of this run measured nothing.
        """
        with self._lock:
            if keeps_record and failure.cell in self._lines:
                return
            self._loses_cells |= self._lines.pop(failure.cell, None) is not None
            self._failures[failure.cell] = failure
            self._write("")

    def close(self, *, complete: bool, without: Iterable[str] = (), run: Results | None = None) -> None:
        """Write the file for the last time.

        Args:
            complete: Whether the run finished every cell. If so, the backup of another run's results is removed.
            without: The ids of cells of the resumed file that do not belong to this run.
            run: The results of the run, for its looks and skipped seeds.
        """
        with self._lock:
            if run is not None:
                self._looks = run.looks or self._looks
                self._skipped |= {skipped.cell: skipped for skipped in run.skipped}
            for cell in without:
                self._loses_cells |= self._lines.pop(cell, None) is not None
                self.planned = [name for name in self.planned if name != cell]
            # Cells finish in any order; the file has them in the planned order.
            first = [cell for cell in self.planned if cell in self._lines]
            self._lines = {cell: self._lines[cell] for cell in dict.fromkeys((*first, *self._lines))}
            self._write(datetime.now(UTC).isoformat(timespec="seconds"))
        if complete and self._has_other_run and self.backup is not None:
            self.backup.unlink(missing_ok=True)
            self.backup = None

    def _write(self, saved: str) -> None:
        if (self._has_other_run or self._loses_cells) and self.backup is None and self.path.is_file():
            backup = self._unused_backup()
            write_atomically(backup, self._previous_content(), overwrite=False)
            self.backup = backup
        skipped = tuple(self._skipped.values())
        failures = tuple(self._failures.values())
        rest = Results((), failures, saved, "", self.planned, self.shard, looks=self._looks, skipped=skipped)
        head, tail = frame(rest)
        body = SEPARATOR.encode().join(self._lines.values())
        write_atomically(self.path, b"".join((head.encode(), body, tail.encode())))

    def _previous_content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Sst2Error(
                f"cannot back up {str(self.path)!r}: {error.strerror or error}. The file is not overwritten without a "
                "backup. Name another file."
            ) from error

    def _unused_backup(self) -> Path:
        """Return ``FILE.before``, or ``FILE.before-2`` and so on if earlier interrupted runs left backups."""
        numbers = ("", *(f"-{number}" for number in range(2, 1000)))
        names = (self.path.with_name(f"{self.path.name}.before{number}") for number in numbers)
        return next(name for name in names if not name.exists())
