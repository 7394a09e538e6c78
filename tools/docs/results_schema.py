"""Generate the JSON Schema of results files from the dataclasses of the records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from pytest_sst2.results.looks import Look, Skipped
from pytest_sst2.results.migrations import SCHEMA_VERSION
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.typed_json import NOT_FINITE


@dataclass(frozen=True)
class ResultsFile:
    """The results of one run of pytest-sst2, as --sst2-json writes them.

    A field with a default can be missing in a file of an earlier release.

    Attributes:
        schema_version: The version of the schema.
        saved: When the file was written, in ISO 8601 with a time zone; empty if unknown.
        shard: "3/8" for one part of a run, "1+2/8" for two of them, empty for the whole run.
        records: One per measured cell, whether it reached its floor or not.
        failures: One per cell without a number.
        planned: The ids of all planned cells, in every shard. Those without a record, a failure or a place in
            ``skipped`` are missing.
        looks: The looks at the cells of a run with ``--sst2-seeds auto``.
        skipped: The seeds that such a run did not need.
    """

    schema_version: int
    saved: str
    shard: str
    records: Sequence[Record]
    failures: Sequence[Failure]
    planned: Sequence[str]
    looks: Sequence[Look] = ()
    skipped: Sequence[Skipped] = ()


def results_schema() -> dict[str, Any]:
    """Return the JSON Schema of the files that --sst2-json writes."""
    made = TypeAdapter(ResultsFile).json_schema()
    parts = {name: _described(part) for name, part in sorted(made.pop("$defs").items())}
    top = _described(made)
    for field in ("train_loss", "eval_loss", "eval_accuracy"):
        _may_diverge(parts["Epoch"]["properties"][field])
    _may_diverge(parts["Record"]["properties"]["metrics"]["additionalProperties"])
    top["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pytest-sst2:results:{SCHEMA_VERSION}",
        **top,
        "title": f"Results of pytest-sst2, version {SCHEMA_VERSION}",
        "$defs": parts,
    }


def _may_diverge(field: dict[str, Any]) -> None:
    """Allow the strings that replace non-finite numbers in JSON."""
    field["anyOf"] = [{"type": field.pop("type")}, {"enum": list(NOT_FINITE)}]


def _described(part: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one class, without further properties, and with the descriptions of its docstring."""
    about, said = docstring_parts(part.get("description", ""))
    for name, field in part.get("properties", {}).items():
        field.pop("title", None)  # repeats the name, in capitals
        if name in said:
            field["description"] = said[name]
    # Title and description come first, for readers.
    head = {key: value for key, value in (("title", part.get("title")), ("description", about)) if value}
    rest = {key: value for key, value in part.items() if key not in head}
    closed = {"additionalProperties": False} if "properties" in part else {}
    return {**head, **rest, **closed}


_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^[ ]{4}(\w+): (.*(?:\n[ ]{8}.*)*)", re.MULTILINE)


def docstring_parts(text: str) -> tuple[str, dict[str, str]]:
    """Return the description in a Google-style docstring and those of its attributes, each as one line of Markdown."""
    found = _ATTRIBUTES.search(text)
    attributes = dict(_ATTRIBUTE.findall(found[1])) if found else {}
    about = text[: found.start()] if found else text
    return flowing(about), {name: flowing(said) for name, said in attributes.items()}


def flowing(text: str) -> str:
    """Join the lines of a text, with code marked as in Markdown."""
    return " ".join(text.split()).replace("``", "`")
