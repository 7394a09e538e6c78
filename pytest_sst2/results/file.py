"""Results file: the Records of one run as a versioned JSON text, for ``--sst2-json`` and for baselines.

Schema history:

1 (0.1.0)  ``{"schema_version": 1, "records": [...], "failures": [...]}``; a record is the fields of ``Record`` as
           they were then.
2 (0.2.0)  A record has ``labels``, ``fingerprint`` and ``rounds`` (instead of ``phases``, ``rounds_seconds``,
           ``peak_bytes`` and ``device_peak_bytes``); a phase may be ``cached``; the environment has ``deterministic``
           and ``variables``. The file has ``saved``, and may be packed: what several records have in common stands
           once in ``shared``, and what is one value an example is base64 (see ``_pack``).
3 (0.3.0)  A record has ``placement``, which takes up the environment's ``workers``; the file has ``planned`` and
           ``shard``.
4 (0.4.0)  Fields have names that explain themselves (see ``_RENAMED_IN_4``); their values are as before.

Old files are migrated when they are read, one version at a time, and never rewritten.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pytest_sst2.results.fingerprint import packed_bits, unpacked_bits
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.redact import redacted
from pytest_sst2.utils.safe_read import NotJsonError, parse_json
from pytest_sst2.utils.sanitize import plain_json
from pytest_sst2.utils.typed_json import read_plain

SCHEMA_VERSION = 4
# Between two lines.
SEPARATOR = ",\n"

# Parts that many records of a run have in common.
_SHARED = (
    ("environment",),
    ("dataset",),
    ("recipe",),
    ("weights",),
    ("settings",),
    ("labels",),
    ("fingerprint", "train"),
    ("fingerprint", "evaluation"),
    ("fingerprint", "tokens"),
    *(("fingerprint", "encoder", name) for name in ("parts", "sketch", "hidden", "config")),
)
# Probabilities are kept to 1/4095 in a packed file: a tenth of a pixel of any plot, and far below what seeds move.
_STEPS = 4095


@dataclass(frozen=True)
class Results:
    """What a results file holds.

    Attributes:
        records: One a measured cell.
        failures: One a cell without a number.
        saved: When it was written, in ISO 8601 with a time zone; empty where the file does not say.
        origin: The file's name, or the baseline's, for messages and reports.
        planned: The ids of all cells that were to be measured, in every shard; empty where the file does not say.
        shard: ``3/8`` where this is one part of a run, ``1+2/8`` where it is two of them, empty where it is the whole.
    """

    records: Sequence[Record]
    failures: Sequence[Failure]
    saved: str = ""
    origin: str = ""
    planned: Sequence[str] = ()
    shard: str = ""

    @property
    def told(self) -> set[str]:
        """The ids of cells with a number or a failure."""
        return {each.cell for each in self.records} | {each.cell for each in self.failures}

    @property
    def missing(self) -> list[str]:
        """The ids of cells that were planned and have neither a number nor a failure, in the order planned."""
        told = self.told
        return [cell for cell in self.planned if cell not in told]


def results_text(
    records: Sequence[Record],
    failures: Sequence[Failure],
    *,
    saved: str = "",
    packed: bool = False,
    planned: Sequence[str] = (),
    shard: str = "",
) -> str:
    """Return the text of a results file: one record a line, so that two files can be compared line by line."""
    shared: list[str] = []
    lines = [_dumps(_pack(each.to_json(), shared)) if packed else record_line(each) for each in records]
    return framed(lines, Results((), failures, saved, "", planned, shard), shared if packed else None)


def record_line(record: Record) -> str:
    """Return a record as it stands in a file that is not packed."""
    return _dumps(record.to_json())


def framed(lines: Sequence[str], rest: Results, shared: Sequence[str] | None = None) -> str:
    """Return the text of a file whose records are these lines.

    Args:
        lines: One a record.
        rest: What else the file says; records of its own are not looked at.
        shared: What the records have in common, in a packed file.
    """
    head, tail = frame(rest, shared)
    return head + SEPARATOR.join(lines) + tail


def frame(rest: Results, shared: Sequence[str] | None = None) -> tuple[str, str]:
    """Return what stands in a file before its records' lines, and what after them; arguments as of ``framed``."""
    head = {"schema_version": SCHEMA_VERSION, "saved": rest.saved, "shard": rest.shard}
    tail = {"planned": list(rest.planned), "failures": redacted([asdict(failure) for failure in rest.failures])}
    common = "" if shared is None else ',\n"shared": [\n' + SEPARATOR.join(shared) + "\n]"
    return f'{_dumps(head)[:-1]},\n"records": [\n', f"\n],\n{_dumps(tail)[1:-1]}{common}}}\n"


def results_from_text(text: str, origin: str) -> Results:
    """Read the text of a results file of this schema or an older one.

    Args:
        text: The whole file.
        origin: Its name, for messages.

    Raises:
        Sst2Error: It is not JSON, not a results file, damaged, or of a newer schema.
    """
    try:
        data = parse_json(text)
        version = data["schema_version"]
    except (NotJsonError, KeyError, TypeError) as error:
        raise Sst2Error(
            f"{origin} is not a results file written by --sst2-json or --sst2-save: {_reason(error)}."
        ) from error
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise Sst2Error(
            f"{origin} has schema version {quoted(version)}; this pytest-sst2 reads versions 1 to {SCHEMA_VERSION}. "
            "Upgrade pytest-sst2 to read it."
        )
    try:
        for step in range(version, SCHEMA_VERSION):
            data = _MIGRATIONS.get(step, dict)(data)
        shared = data.get("shared")
        plain = data["records"] if shared is None else [_unpack(each, shared) for each in data["records"]]
        if version < 4:
            plain = [_record_from_version_3(record) for record in plain]
        records = [record_from_json(each) for each in plain]
        failures = list(read_plain(Sequence[Failure], data["failures"], "failures"))  # type: ignore[type-abstract]
        planned = read_plain(tuple[str, ...], data["planned"], "planned")
        saved, shard = (read_plain(str, data[name], name) for name in ("saved", "shard"))
        if shard:
            given_shards(shard)
        return Results(records, failures, saved, origin, planned, shard)
    except Sst2Error as error:
        raise Sst2Error(f"{origin}: {error}") from error
    except _DAMAGE as error:
        raise Sst2Error(f"{origin} is damaged: {_reason(error)}. Take it from where it came once more.") from error


# What a migration and an unpacking stumble over; what they gave is held against its types afterwards.
_DAMAGE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, struct.error, zlib.error)
_SHARD = re.compile(r"([0-9]{1,6}(?:\+[0-9]{1,6})*)/([0-9]{1,6})")


def given_shards(text: str) -> tuple[tuple[int, ...], int]:
    """Return which shards a file holds, and of how many: ``1+2/8`` is the first and the second of eight.

    Raises:
        ValueError: It is none of these.
    """
    found = _SHARD.fullmatch(text)
    numbers = tuple(map(int, found[1].split("+"))) if found else ()
    count = int(found[2]) if found else 0
    if not numbers or not all(1 <= number <= count for number in numbers):
        raise ValueError(f"shard is {quoted(text)}, which is none; 3/8 is the third of eight")
    return numbers, count


def _reason(error: Exception) -> str:
    if isinstance(error, NotJsonError):
        return error.placed
    return truncate(f"{error} is missing" if isinstance(error, KeyError) else str(error), 200)


def _dumps(value: Any) -> str:
    return plain_json(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def _pack(record: dict[str, Any], shared: list[str]) -> dict[str, Any]:
    """Return the record with its common parts moved to ``shared`` and one number in place of each."""
    record["probabilities"] = _packed_probabilities(record["probabilities"], record["predictions"])
    record["predictions"] = packed_bits(record["predictions"])
    record["labels"] = {"count": len(record["labels"]), "bits": packed_bits(record["labels"])}
    for path in _SHARED:
        holder, name = _holder(record, path)
        if holder is not None and holder[name] is not None:
            value = _dumps(holder[name])
            if value not in shared:
                shared.append(value)
            holder[name] = shared.index(value)
    return record


def _unpack(packed: Mapping[str, Any], shared: Sequence[Any]) -> dict[str, Any]:
    record = {**packed}
    if record["fingerprint"] is not None:
        record["fingerprint"] = {**record["fingerprint"]}
    for path in _SHARED:
        holder, name = _holder(record, path)
        if holder is not None and holder[name] is not None:
            index = holder[name]
            if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(shared):
                raise ValueError(f"{'.'.join(path)} refers to part {quoted(index)} of {len(shared)}")
            holder[name] = shared[index]
    record["labels"] = unpacked_bits(record["labels"]["bits"], record["labels"]["count"])
    record["predictions"] = unpacked_bits(record["predictions"], record["total"])
    record["probabilities"] = _unpacked_probabilities(record["probabilities"], record["predictions"])
    return record


def _holder(record: dict[str, Any], path: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Return the mapping that holds the last name of a path, None where the record has no such part."""
    holder: dict[str, Any] | None = record
    for name in path[:-1]:
        holder = holder[name] if holder is not None else None
    return holder, path[-1]


def _packed_probabilities(values: Sequence[float], predictions: Sequence[int]) -> str:
    """Return probabilities as compressed 16-bit numbers: of the class that was not predicted, high bytes first.

    Most of those are close to nothing, so that their high bytes take next to no room.
    """
    steps = [round(abs(predicted - value) * _STEPS) for value, predicted in zip(values, predictions, strict=True)]
    data = struct.pack(f"<{len(steps)}H", *steps)
    return base64.b64encode(zlib.compress(data[1::2] + data[::2], 9)).decode()


def _unpacked_probabilities(text: str, predictions: Sequence[int]) -> tuple[float, ...]:
    count = len(predictions)
    # No more is unpacked than is wanted, whatever the file says.
    data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 2 * count + 1)
    if len(data) != 2 * count:
        raise ValueError(f"{len(data)} bytes for {count} probabilities")
    known = _probabilities_of_steps()
    highs, lows = data[:count], data[count:]
    try:
        return tuple(
            known[predicted][256 * high + low] for high, low, predicted in zip(highs, lows, predictions, strict=True)
        )
    except IndexError:
        raise ValueError("a probability is more than 1") from None


@functools.cache
def _probabilities_of_steps() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return every probability that a packed file can hold, by its steps: predicted negative, predicted positive."""
    negative = tuple(round(step / _STEPS, 6) for step in range(_STEPS + 1))
    return negative, tuple(round(1 - step / _STEPS, 6) for step in range(_STEPS + 1))


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 2,
        "saved": "",
        "records": [_record_from_version_1(record) for record in data["records"]],
        "failures": data["failures"],
    }


def _record_from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    record = {**old}
    phases, seconds = record.pop("phases"), record.pop("rounds_seconds")
    memory = {"peak_bytes": record.pop("peak_bytes"), "device_peak_bytes": record.pop("device_peak_bytes", None)}
    # Only the phases of the median round were kept; the other rounds are without.
    median = sorted(seconds)[(len(seconds) - 1) // 2]
    rounds = [{"seconds": each, "phases": phases if each == median else [], **memory} for each in seconds]
    return {
        **record,
        "rounds": [{**each, "machine_seconds": None, "grown_bytes": None} for each in rounds],
        "labels": [],
        "fingerprint": None,
        "environment": {**record["environment"], "deterministic": False, "workers": 1, "variables": {}},
    }


def _from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    # In a packed file the environments stand among what its records share.
    environments = data.get("shared") or [record["environment"] for record in data["records"]]
    numbers = [record["environment"] for record in data["records"]] if "shared" in data else range(len(environments))
    workers = {number: environments[number].pop("workers", 1) for number in set(numbers)}
    records = [
        {**record, "placement": _placement_of_version_3(workers[number])}
        for record, number in zip(data["records"], numbers, strict=True)
    ]
    return {**data, "schema_version": 3, "records": records, "planned": [], "shard": ""}


def _placement_of_version_3(workers: int) -> dict[str, Any]:
    executor = "xdist" if workers > 1 else "serial"
    nothing = {"node": "", "worker": "", "processes": 1, "attempt": 1, "started": None, "finished": None}
    return {"executor": executor, "beside": workers - 1, **nothing}


# From the part of a record to its fields' old and new names.
_RENAMED_IN_4: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("placement",): {"beside": "concurrent_workers"},
    ("fingerprint", "train"): {"letters": "normalized_digest"},
    ("fingerprint", "evaluation"): {"letters": "normalized_digest"},
    ("fingerprint", "encoder"): {
        "grain": "effective_dtype",
        "unsteady": "nondeterminism",
        "company": "batch_sensitivity",
    },
    ("fingerprint",): {"second_pass": "repeat_max_diff", "course": "training", "asked": "prediction_token_ids"},
}


def _record_from_version_3(record: dict[str, Any]) -> dict[str, Any]:
    rounds = [_renamed(each, {"grown_bytes": "peak_growth_bytes"}) for each in record["rounds"]]
    record = {**record, "rounds": rounds}
    for path, names in _RENAMED_IN_4.items():
        record = _renamed_at(record, path, names)
    return record


def _renamed_at(part: dict[str, Any], path: Sequence[str], names: Mapping[str, str]) -> dict[str, Any]:
    """Return ``part`` with fields renamed in the mapping at ``path``; unchanged if it has no such mapping."""
    if not path:
        return _renamed(part, names)
    inner = part.get(path[0])
    return part if inner is None else {**part, path[0]: _renamed_at(inner, path[1:], names)}


def _renamed(part: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in part.items()}


_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1, 2: _from_version_2}
