"""Results file: the records of one run as versioned JSON, for ``--sst2-json`` and baselines.

``migrations`` has the history of the schema, ``packing`` the packed form that baselines use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_sst2.results.looks import Look, Skipped
from pytest_sst2.results.migrations import SCHEMA_VERSION, migrate
from pytest_sst2.results.packing import (
    UNPACKING_ERRORS,
    check_unpacked_size,
    json_line,
    pack_record,
    unpack_record,
)
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.shared_parts import pack_shared, unpack_shared
from pytest_sst2.results.validation import read_shared_parts, record_from_json
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.redact import redact_fields
from pytest_sst2.utils.safe_read import LARGEST_BYTES, NotJsonError, parse_json
from pytest_sst2.utils.typed_json import read_plain

SEPARATOR = ",\n"  # between the lines of two records


@dataclass(frozen=True)
class Results:
    """The content of a results file.

    Attributes:
        records: One per measured cell.
        failures: One per cell without a number.
        saved: When the file was written, in ISO 8601 with a time zone; empty if unknown.
        origin: The name of the file or baseline, for messages and reports.
        planned: The ids of all planned cells, in every shard; empty if unknown.
        shard: ``3/8`` for one part of a run, ``1+2/8`` for two of them, empty for the whole run.
        notes: Sentences about where the results were read from. They are not written.
        looks: The looks at the cells of a run with ``--sst2-seeds auto``; empty for other runs.
        skipped: The seeds that such a run did not need.
    """

    records: Sequence[Record]
    failures: Sequence[Failure] = ()
    saved: str = ""
    origin: str = ""
    planned: Sequence[str] = ()
    shard: str = ""
    notes: tuple[str, ...] = ()
    looks: Sequence[Look] = ()
    skipped: Sequence[Skipped] = ()

    @property
    def finished(self) -> set[str]:
        """The ids of cells with a record or a failure, and of skipped seeds."""
        return {cell.cell for cells in (self.records, self.failures, self.skipped) for cell in cells}

    @property
    def missing(self) -> list[str]:
        """The ids of planned cells that are not finished, in the planned order."""
        finished = self.finished
        return [cell for cell in self.planned if cell not in finished]


def results_text(results: Results, *, packed: bool = False) -> str:
    """Return the text of a results file: one line per record, so that ``diff`` can compare two files."""
    shared: list[str] = []
    plain = [record.to_json() for record in results.records]
    lines = [json_line(pack_record(record, shared) if packed else record) for record in plain]
    head, tail = frame(results, shared if packed else None)
    return head + SEPARATOR.join(lines) + tail


def frame(results: Results, shared: Sequence[str] | None = None) -> tuple[str, str]:
    """Return the text of a file before and after its records; ``shared`` has the shared parts of a packed file."""
    head = {"schema_version": SCHEMA_VERSION, "saved": results.saved, "shard": results.shard}
    tail: dict[str, Any] = {"planned": list(results.planned), "failures": list(map(asdict, results.failures))}
    if results.looks or results.skipped:
        tail |= {name: list(map(asdict, getattr(results, name))) for name in ("looks", "skipped")}
    tail = redact_fields(tail, ("error", "reason"))
    shared_text = "" if shared is None else f',\n"shared": {json_line(pack_shared(shared))}'
    return f'{json_line(head)[:-1]},\n"records": [\n', f"\n],\n{json_line(tail)[1:-1]}{shared_text}}}\n"


def results_from_text(text: str, origin: str) -> Results:
    """Read the text of a results file of the current or an older schema; messages name its ``origin``.

    Raises:
        Sst2Error: The text is not JSON, not a results file, damaged, or of a newer schema.
    """
    try:
        data = parse_json(text)
        version = data["schema_version"]
    except (NotJsonError, KeyError, TypeError) as error:
        reason = "it is not a JSON object" if isinstance(error, TypeError) else _reason(error)
        raise Sst2Error(f"{origin} is not a results file written by --sst2-json or --sst2-save: {reason}.") from error
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        reason = f"its schema version is {quoted(version)}, and not a number from 1 to {SCHEMA_VERSION}"
        raise Sst2Error(f"{origin} is damaged: {reason}. Restore the file, or measure again.")
    if version > SCHEMA_VERSION:
        raise Sst2Error(
            f"{origin} has schema version {quoted(version)}; this pytest-sst2 reads versions 1 to {SCHEMA_VERSION}. "
            "Upgrade pytest-sst2 to read it."
        )
    try:
        return _results(data, origin)
    except Sst2Error as error:
        raise Sst2Error(f"{origin}: {error}") from error
    except _DAMAGE as error:
        raise Sst2Error(f"{origin} is damaged: {_reason(error)}. Restore the file, or measure again.") from error


# Errors of unpacking and migrating a damaged file. The types of the values are checked afterwards.
_DAMAGE = (*UNPACKING_ERRORS, KeyError, TypeError, IndexError, AttributeError, OverflowError)
_SHARD = re.compile(r"([0-9]{1,6}(?:\+[0-9]{1,6})*)/([0-9]{1,6})")


def _results(data: dict[str, Any], origin: str) -> Results:
    shared = unpack_shared(data["shared"]) if data.get("shared") is not None else None
    if shared is not None:
        check_unpacked_size(data["records"], shared, LARGEST_BYTES)
    plain = data["records"] if shared is None else [unpack_record(record, shared) for record in data["records"]]
    data = migrate(data, plain)
    if shared is not None:
        read_shared_parts(data["records"])
    records = [record_from_json(record) for record in data["records"]]
    failures = list(read_plain(Sequence[Failure], data["failures"], "failures"))  # type: ignore[type-abstract]
    planned = read_plain(tuple[str, ...], data["planned"], "planned")
    saved, shard = (read_plain(str, data[name], name) for name in ("saved", "shard"))
    if shard:
        parse_shards(shard)
    looks = read_plain(tuple[Look, ...], data.get("looks", []), "looks")
    skipped = read_plain(tuple[Skipped, ...], data.get("skipped", []), "skipped")
    return Results(records, failures, saved, origin, planned, shard, looks=looks, skipped=skipped)


def parse_shards(text: str) -> tuple[tuple[int, ...], int]:
    """Return the numbers of a file's shards and how many shards the run has: ``((1, 2), 8)`` for ``1+2/8``."""
    match = _SHARD.fullmatch(text)
    numbers = tuple(map(int, match[1].split("+"))) if match else ()
    count = int(match[2]) if match else 0
    if not numbers or not all(1 <= number <= count for number in numbers):
        raise ValueError(f"shard is {quoted(text)}; it must be of the form 3/8, the third of eight")
    return numbers, count


def _reason(error: Exception) -> str:
    if isinstance(error, NotJsonError):
        return error.placed
    return truncate(f"{error} is missing" if isinstance(error, KeyError) else str(error), 200)
