"""Migrations of results files: one step from each schema version to the next.

Schema history:

1 (0.1.0)  ``{"schema_version": 1, "records": [...], "failures": [...]}``. A record has the fields that ``Record`` had
           then.
2 (0.2.0)  A record has ``labels``, ``fingerprint`` and ``rounds``, which replaces ``phases``, ``rounds_seconds``,
           ``peak_bytes`` and ``device_peak_bytes``. A phase can be ``cached``. The environment has ``deterministic``
           and ``variables``. The file has ``saved``, and can be packed (see ``packing``): then it has ``shared``.
3 (0.3.0)  A record has ``placement``, which replaces the environment's ``workers``. The file has ``planned`` and
           ``shard``.
4 (0.4.0)  Fields have descriptive names (see ``_RENAMED_IN_4``). Their values are unchanged.

An old file is migrated when it is read, and stays as it is on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 4


def migrate(data: Mapping[str, Any], records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the content of a results file in the current schema, from its ``data`` and its unpacked records.

    Raises:
        KeyError, TypeError, ValueError, IndexError, AttributeError: A part is missing or of another type.
    """
    migrated = {**data, "records": records}
    for version in range(data["schema_version"], SCHEMA_VERSION):
        migrated = _STEPS[version](migrated)
    return migrated


def _from_version_1(data: dict[str, Any]) -> dict[str, Any]:
    records = [_record_from_version_1(record) for record in data["records"]]
    return {"saved": "", "records": records, "failures": data["failures"]}


def _record_from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    record = {**old}
    phases, seconds = record.pop("phases"), record.pop("rounds_seconds")
    memory = {"peak_bytes": record.pop("peak_bytes"), "device_peak_bytes": record.pop("device_peak_bytes", None)}
    # Version 1 has the phases of the median round only.
    median = sorted(seconds)[(len(seconds) - 1) // 2]
    unmeasured = {"machine_seconds": None, "grown_bytes": None}
    rounds = [
        {"seconds": total, "phases": phases if total == median else [], **memory, **unmeasured} for total in seconds
    ]
    return {
        **record,
        "rounds": rounds,
        "labels": [],
        "fingerprint": None,
        "environment": {**record["environment"], "deterministic": False, "workers": 1, "variables": {}},
    }


def _from_version_2(data: dict[str, Any]) -> dict[str, Any]:
    records = [_record_from_version_2(record) for record in data["records"]]
    return {**data, "records": records, "planned": [], "shard": ""}


def _record_from_version_2(record: dict[str, Any]) -> dict[str, Any]:
    # A copy, because unpacked records share one environment.
    environment = {**record["environment"]}
    workers = environment.pop("workers", 1)
    # The other fields have their defaults.
    placement = {"executor": "xdist" if workers > 1 else "serial", "beside": workers - 1}
    return {**record, "environment": environment, "placement": placement}


# From the part of a record to the old and new names of its fields.
_RENAMED_IN_4: Mapping[tuple[str, ...], Mapping[str, str]] = {
    ("placement",): {"beside": "concurrent_workers"},
    ("fingerprint", "train"): {"letters": "normalized_digest"},
    ("fingerprint", "evaluation"): {"letters": "normalized_digest"},
    ("fingerprint", "encoder"): {
        "grain": "effective_dtype",
        "unsteady": "nondeterminism",
        "company": "batch_sensitivity",
    },
    ("fingerprint",): {"second_pass": "repeat_max_diff", "course": "training", "asked": "prediction_token_ids"},  # nosec B105
}


def _from_version_3(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "records": [_record_from_version_3(record) for record in data["records"]]}


def _record_from_version_3(record: dict[str, Any]) -> dict[str, Any]:
    record = {**record, "rounds": [_renamed(part, {"grown_bytes": "peak_growth_bytes"}) for part in record["rounds"]]}
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


# From the schema version of a file to the step that migrates it to the next version.
_STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: _from_version_1,
    2: _from_version_2,
    3: _from_version_3,
}
