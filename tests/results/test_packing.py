"""Packing: everything except probabilities is read back exactly, and damaged files are refused."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.packing import (
    packed_bits,
    packed_bytes,
    packed_floats,
    unpacked_bits,
    unpacked_bytes,
    unpacked_floats,
)
from pytest_sst2.results.record import Phase, Round
from pytest_sst2.results.shared_parts import pack_shared, unpack_shared
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import (
    BARE,
    FAILURE,
    FINGERPRINT,
    make_record,
    of_schema_1,
)
from tests.support.results_texts import PROBABILITY_ERROR, SAVED, refusal, without_probabilities


def test_bits_are_packed_eight_per_byte_highest_bit_first() -> None:
    assert packed_bits([1, 0, 1, 1]) == "sA=="  # 1011 0000
    assert packed_bits([0, 0, 0, 0, 0, 0, 0, 1, 1]) == "AYA="  # 0000 0001, 1000 0000
    assert packed_bits([]) == ""


@settings(deadline=None, database=None)
@given(st.lists(st.integers(0, 1)))
def test_bits_are_unpacked_without_loss(bits: list[int]) -> None:
    assert unpacked_bits(packed_bits(bits), len(bits)) == tuple(bits)


@pytest.mark.parametrize(("text", "count"), [("sA==", 9), ("sA==", 0), ("", 1), ("sLA=", 4), ("s", 4), ("s§==", 4)])
def test_bits_of_another_count_or_invalid_base64_are_refused(text: str, count: int) -> None:
    with pytest.raises(ValueError):
        unpacked_bits(text, count)


def test_floats_are_little_endian_float32_on_every_machine() -> None:
    assert packed_floats([1.0, -2.0]) == "AACAPwAAAMA="
    assert unpacked_floats("AACAPwAAAMA=") == (1.0, -2.0)
    assert unpacked_floats("") == ()


@settings(deadline=None, database=None)
@given(st.lists(st.floats(width=32, allow_nan=False)))
def test_float32_is_unpacked_without_loss(values: list[float]) -> None:
    assert unpacked_floats(packed_floats(values)) == tuple(values)


@settings(deadline=None, database=None)
@given(st.lists(st.floats(-1e30, 1e30)))
def test_doubles_are_unpacked_with_the_precision_of_float32(values: list[float]) -> None:
    assert unpacked_floats(packed_floats(values)) == pytest.approx(
        [struct.unpack("<f", struct.pack("<f", value))[0] for value in values], nan_ok=True
    )


@pytest.mark.parametrize("text", ["sA==", "AACAPwA=", "s", "AACAP§=="])
def test_a_part_of_a_float_or_invalid_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        unpacked_floats(text)


@settings(deadline=None, database=None)
@given(st.integers(1, 4), st.lists(st.integers(0, 255), max_size=40))
def test_compressed_numbers_of_any_width_are_unpacked_without_loss(width: int, values: list[int]) -> None:
    data = bytes(values) * width
    assert unpacked_bytes(packed_bytes(data, compressed=True, width=width), compressed=True) == data


class TestPacked:
    def test_everything_except_probabilities_is_exact(self) -> None:
        records = [make_record(), make_record(seed=7), make_record(**BARE)]
        unpacked = results_from_text(results_text(Results(records, [FAILURE], saved=SAVED), packed=True), "main.json")
        assert [*map(without_probabilities, unpacked.records)] == [*map(without_probabilities, records)]
        for record, read in zip(records, unpacked.records, strict=True):
            assert read.probabilities == pytest.approx(record.probabilities, abs=PROBABILITY_ERROR)

    @settings(deadline=None, database=None, max_examples=25)
    @given(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40),
        st.booleans(),
    )
    def test_any_predictions_are_read_back(self, rows: list[tuple[float, int, int]], of_first_schema: bool) -> None:
        probabilities, predictions, labels = zip(*rows, strict=True)
        record = make_record(
            total=len(rows), correct=0, probabilities=probabilities, predictions=predictions, labels=labels, model=None
        )
        record = of_schema_1(record) if of_first_schema else record
        (unpacked,) = results_from_text(results_text(Results([record, record]), packed=True), "main.json").records[1:]
        assert without_probabilities(unpacked) == without_probabilities(record)
        assert unpacked.probabilities == pytest.approx(probabilities, abs=PROBABILITY_ERROR)
        # Packing again does not change the record any more.
        (again,) = results_from_text(results_text(Results([unpacked]), packed=True), "main.json").records
        assert again == unpacked

    def test_packing_does_not_change_the_records(self) -> None:
        record, other = make_record(), make_record()
        results_text(Results([record]), packed=True)
        assert record == other

    def test_equal_parts_of_records_are_stored_once(self) -> None:
        packed = json.loads(results_text(Results([make_record(seed=seed) for seed in range(5)]), packed=True))
        text = json.dumps(unpack_shared(packed["shared"]))
        assert text.count('"cpu_model": "EPYC"') == text.count('"solver": "lbfgs"') == 1
        assert text.count('"tokenizer": "BertTokenizer"') == 1
        assert text.count(FINGERPRINT.encoder.sketch) <= 2  # once for the embeddings, once for the hidden states


def packed_file() -> dict[str, Any]:
    """Return a packed file with its shared parts as a list and most of them in its record, as before 0.4.0."""
    data: dict[str, Any] = json.loads(results_text(Results([make_record()]), packed=True))
    shared = unpack_shared(data["shared"])
    (line,) = data["records"]
    record = {**shared[line.pop("rest")], **line}
    record["fingerprint"] = shared[record["fingerprint"]]
    return {**data, "records": [record], "shared": shared}


def bomb() -> str:
    """Return 100 MB of zeros, packed in 100 KB."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(2**20)) for _ in range(100)]
    return base64.b64encode(b"".join([*parts, packer.flush()])).decode()


def set_record(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["records"][0].update(changes)


def set_labels(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["shared"][data["records"][0]["labels"]].update(changes)


PROBABILITIES: str = packed_file()["records"][0]["probabilities"]


DAMAGES: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (set_record(environment=99), "environment refers to part 99 of"),
    (set_record(environment=-1), "environment refers to part -1 of"),
    (set_record(recipe="0"), "recipe refers to part '0' of"),
    (set_record(recipe=True), "recipe refers to part True of"),
    (lambda data: data["records"][0]["fingerprint"].update(train=99), "fingerprint.train refers to part 99 of"),
    (set_record(rest=99), "rest refers to part 99 of"),
    (lambda data: data["records"][0].pop("weights"), "weights is missing"),
    (lambda data: data["records"][0].pop("total"), "'total' is missing"),
    (lambda data: data.update(shared=5), ""),
    (lambda data: data.update(shared=[]), " of 0"),
    (lambda data: data.update(records=[5]), ""),
    (set_record(fingerprint=0), ""),
    (set_record(fingerprint=99), "fingerprint refers to part 99 of"),
    (set_record(fingerprint="0"), "fingerprint refers to part '0' of"),
    (lambda data: data.update(shared=pack_shared(["{}"])), "refers to part"),
    (lambda data: data.update(shared=pack_shared(["{}"])[:-5]), "truncated"),
    (lambda data: data.update(shared="\u00e9"), ""),
    (lambda data: data.update(shared=base64.b85encode(zlib.compress(b"[" * 100_000)).decode()), "nested too deeply"),
    (set_record(labels=packed_file()["records"][0]["recipe"]), "'bits' is missing"),
    (set_record(predictions="sA="), ""),
    (set_record(predictions="s§=="), ""),
    (set_record(predictions=5), ""),
    (set_record(predictions="sLA="), "2 bytes for 4 bits"),
    (set_record(total=9), "1 bytes for 9 bits"),
    (set_record(total=10**12), ""),
    (set_record(total=1.5), ""),
    (set_labels(count=3), "labels"),
    (set_labels(count=-4), ""),
    (set_labels(bits=""), "0 bytes for 4 bits"),
    (set_record(probabilities=PROBABILITIES[:12]), ""),
    (set_record(probabilities=base64.b64encode(b"no zlib").decode()), ""),
    (set_record(probabilities=base64.b64encode(zlib.compress(bytes(6))).decode()), ""),
    (set_record(probabilities=base64.b64encode(zlib.compress(bytes(10))).decode()), ""),
]


@pytest.mark.parametrize(("damage", "part"), DAMAGES)
def test_a_damaged_packed_file_is_refused_in_one_sentence(damage: Callable[[dict[str, Any]], Any], part: str) -> None:
    data = packed_file()
    damage(data)
    message = refusal(json.dumps(data))
    assert message.startswith("old.json")
    assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "damage",
    [
        set_record(probabilities=bomb()),
        lambda data: data.update(shared=base64.b85encode(base64.b64decode(bomb())).decode()),
    ],
    ids=["probabilities", "shared parts"],
)
def test_a_zlib_bomb_is_not_unpacked(damage: Callable[[dict[str, Any]], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("pytest_sst2.results.shared_parts.LARGEST_BYTES", 2**22)
    data = packed_file()
    damage(data)
    text = json.dumps(data)
    tracemalloc.start()
    message = refusal(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("old.json is damaged")
    assert peak < 10 * 2**20


def test_a_cached_phase_stays_cached() -> None:
    rounds = (Round(1.0, (Phase("encode", 0.001, 5, cached=True),), 0.004, 5, 5),)
    (unpacked,) = results_from_text(
        results_text(Results([make_record(rounds=rounds)]), packed=True), "main.json"
    ).records
    assert unpacked.rounds == rounds


@pytest.mark.parametrize("part", ["environment", "settings"])
def test_records_that_share_a_part_share_it_in_memory_too(part: str) -> None:
    packed = json.loads(results_text(Results([make_record(seed=seed) for seed in range(2)]), packed=True))
    first, second = results_from_text(json.dumps(packed), "main.json").records
    assert getattr(first, part) is getattr(second, part)


def test_a_packed_file_that_unpacks_to_more_than_a_plain_file_may_have_is_refused() -> None:
    packed = packed_file()
    (record,) = packed["records"]
    packed["shared"][record["settings"]] = {"text": "x" * 2**21}
    packed["records"] = [record] * 200
    with pytest.raises(Sst2Error, match="shared parts of more than 256 MB"):
        results_from_text(json.dumps(packed), "main.json")
