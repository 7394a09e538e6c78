"""The readers of results files, baselines and journals, in every version of the schema; of floors; of the cache."""

from __future__ import annotations

import functools
import json
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.history import history
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.floors import Floor, FloorKey, load_floors, write_floors
from pytest_sst2.results.merge import merge
from pytest_sst2.results.record import Record
from tools.fuzz.contract import SCRATCH, Target, require
from tools.fuzz.damage import damaged_bytes, damaged_value

_SAMPLES = Path(__file__).resolve().parents[2] / "tests" / "samples"
VERSIONS = ("1", "2", "2_packed", "3", "3_packed")
# Half of a step of a packed probability, and what six digits round away.
_PROBABILITY_ERROR = 1 / 8190 + 1e-6


@functools.cache
def sample(version: str) -> str:
    """Return the text of a file of that version, as the tests keep it."""
    return (_SAMPLES / f"results_version_{version}.json").read_text(encoding="utf-8")


def _read_results(data: bytes) -> None:
    from pytest_sst2.results.baselines import load_results

    path = SCRATCH.write("results.json", data)
    found = load_results(SCRATCH.folder, SCRATCH.folder, str(path))
    for record in found.records:
        check_record(record)
    # What is slow is done to some: which, the input decides.
    chosen = zlib.crc32(data)
    for packed in (False, True)[chosen % 2 :]:
        text = results_text(found.records, found.failures, saved=found.saved, packed=packed, planned=found.planned)
        again = results_from_text(text, "again.json")
        require(len(again.records) == len(found.records), "a record is gone")
        require(repr(again.failures) == repr(found.failures), "failures changed")
        for one, other in zip(found.records, again.records, strict=True):
            require(_rest_of(one) == _rest_of(other), f"{_rest_of(one)} came back as {_rest_of(other)}")
            allowed = _PROBABILITY_ERROR if packed else 0.0
            near = zip(one.probabilities, other.probabilities, strict=True)
            require(all(abs(a - b) <= allowed for a, b in near), "a probability changed")
    if found.records and chosen % 16 == 0:
        _use(found)


def _rest_of(record: Record) -> dict[str, Any]:
    # As it is written, since a number that is none does not equal itself.
    return {**record.to_json(), "probabilities": []}


def check_record(record: Record) -> None:
    """Hold a record against what every reader of it relies on."""
    require(0 <= record.accuracy <= 1, f"accuracy {record.accuracy}")
    require(0 <= record.correct <= record.total, f"{record.correct} of {record.total}")
    require(len(record.predictions) == len(record.probabilities) == record.total, "answers missing")
    require(len(record.labels) in (0, record.total), "labels missing")
    require(all(0 <= value <= 1 for value in record.probabilities), "a probability that is none")
    require({*record.predictions, *record.labels} <= {0, 1}, "an answer that is none")
    require(len(record.rounds) > 0, "no rounds")


def _use(found: Results) -> None:
    """Have what was read compared, joined and drawn over time: there too it is a number or a sentence."""
    sound = results_from_text(sample("3"), "sound.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(sound, found, tolerance=TOLERANCE, alpha=ALPHA)
        compare(found, sound, tolerance=TOLERANCE, alpha=ALPHA)
        history([found, sound])
        merge([found])


@functools.cache
def _short_sample(version: str) -> dict[str, Any]:
    """Return a file of that version with one record, which all of the damage goes to."""
    data: dict[str, Any] = json.loads(sample(version))
    return {**data, "records": data["records"][:1]}


def _damaged_results(version: str, script: bytes) -> bytes:
    return json.dumps(damaged_value([_short_sample(version)], script)).encode()


_FLOORS = """# A comment.
[[floor]]
dataset = "pocket"
recipe = "quick"
model = "minilm"
method = "linear-probe"
accuracy = 0.79
provenance = "measured: “few”"

[[floor]]
dataset = 'pocket'
recipe = "quick train_size=500"
method = "tfidf"
accuracy = 1
provenance = \"\"\"by
hand\"\"\"
"""
_FLOORS_IN_A_LINE = """floor = [{dataset = "a", recipe = "b", method = "c", accuracy = 0.5, provenance = ""}]\n"""
_TOML_WORDS = (
    *(
        b"[[floor]]",
        b"accuracy = ",
        b'model = ""',
        b"dataset",
        b"[floor]",
        b"floor.",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"""',
        b"'''",
    ),
    *(
        b"nan",
        b"inf",
        b"1e999",
        b"0x" + b"f" * 40,
        b"1" * 60,
        b"1979-05-27T07:32:00Z",
        b"true",
        b"\\u0000",
        b"\\U0010FFFF",
    ),
    *(b"\r\n", b"\r", b"#", b"a.a.a.a.a.a.a.a.a.a", b"[[[[[[[[[[[[[[[[", b"{a={a={a={a="),
)
_NEW_FLOORS = [
    (FloorKey("pocket", "quick", "minilm", "linear-probe"), Floor(0.9, "fuzzed")),
    (FloorKey("other", "quick", "", "majority"), Floor(0.4, "fuzzed")),
]


def _read_floors(data: bytes) -> None:
    path = SCRATCH.write("floors.toml", data)
    before = load_floors(path)
    lowered = write_floors(path, _NEW_FLOORS)
    after = load_floors(path)
    for key, floor in _NEW_FLOORS:
        standing = before.find(key)
        found = after.find(key)
        kept = standing is not None and standing.accuracy > floor.accuracy
        require(found == (standing if kept else floor), f"{key} is {found}, was {standing}")
        require(kept == (key in [each.key for each in lowered]), f"{key} is not told of")
    new = sum(before.find(key) is None for key, _ in _NEW_FLOORS)
    require(len(after) == len(before) + new, f"{len(before)} floors became {len(after)}")


_ADDRESS = "0" * 64


_SHAPES = ((3, 4), (0, 0), (3, 0), (2**62, 4), (2**64 - 1, 2**64 - 1))
_CACHE_PAYLOADS = [struct.pack("<QQ", *shape) + bytes(range(48)) for shape in _SHAPES]


def _signed_entry(script: bytes) -> bytes:
    """Return an entry of the cache that is damaged but signed for what it is, or, for one in four, not signed."""
    from pytest_sst2.methods.fast import embedding_cache

    payload = damaged_bytes(_CACHE_PAYLOADS, script[1:])
    if script[:1] and script[0] % 4 == 0:
        return damaged_bytes([embedding_cache._digest(_ADDRESS, payload) + payload], script)
    return embedding_cache._digest(_ADDRESS, payload) + payload


def _read_cache(data: bytes) -> None:
    import numpy as np

    from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache

    SCRATCH.write(f"{_ADDRESS}.embeddings", data)
    cache = EmbeddingCache(SCRATCH.folder, 2**30)
    found = cache.get(_ADDRESS, 3)
    if found is None:
        require("was damaged" in cache.problem, f"nothing is told of it: {cache.problem!r}")
        require(not (SCRATCH.folder / f"{_ADDRESS}.embeddings").exists(), "a damaged entry stays")
    else:
        require(found.shape[0] == 3 and found.ndim == 2 and found.dtype == np.float32, f"{found.shape} {found.dtype}")


def results_targets() -> Sequence[Target]:
    """Return the targets of this module."""
    words = (
        b'"schema_version": 1',
        b'"schema_version": 2',
        b'"schema_version": 3',
        b'"records":',
        b'"shared":',
        b"null",
        b"NaN",
    )
    small = b'{"schema_version": 3, "saved": "", "shard": "", "records": [], "planned": [], "failures": []}'
    small_old = b'{"schema_version": 1, "records": [], "failures": []}'
    return (
        Target("results-text", _read_results, lambda: [small, small_old, small.replace(b": 3", b": 2")], words),
        *(
            Target(
                f"results-{version.replace('_', '-')}",
                _read_results,
                lambda: [b"\0", *(bytes(range(start, start + 8)) for start in range(0, 64, 4))],
                longest=48,
                build=functools.partial(_damaged_results, version),
            )
            for version in VERSIONS
        ),
        Target("floors", _read_floors, lambda: [_FLOORS.encode(), _FLOORS_IN_A_LINE.encode(), b""], _TOML_WORDS),
        Target(
            "cache",
            _read_cache,
            lambda: [bytes(4), bytes([1, 0]), bytes([1, 1]), bytes([1, 2])],
            longest=64,
            build=_signed_entry,
        ),
    )
