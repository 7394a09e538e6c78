"""Results files: read back without loss, for ever, in little space; and a sentence for what is none of ours."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Epoch, Failure, Phase, Placement, Record, Round
from pytest_sst2.utils.errors import Sst2Error
from tests.support import SAMPLES
from tests.support.record_factory import (
    BARE,
    ENVIRONMENT,
    FAILURE,
    FINGERPRINT,
    PHASES,
    make_record,
    of_schema_1,
)

FROZEN = SAMPLES
SAVED = "2026-08-01T12:00:00+00:00"
# Half of a step of the twelve bits that a packed probability has, and what six digits round away.
PROBABILITY_ERROR = 1 / 8190 + 1e-6


def frozen(name: str) -> Results:
    return results_from_text((FROZEN / name).read_text(encoding="utf-8"), "old.json")


def refusal(text: str) -> str:
    with pytest.raises(Sst2Error) as caught:
        results_from_text(text, "old.json")
    return str(caught.value)


def without_probabilities(record: Record) -> Record:
    return dataclasses.replace(record, probabilities=())


class TestPlain:
    def test_a_file_comes_back_as_it_was(self) -> None:
        records = [make_record(), make_record(**BARE, seed=7)]
        text = results_text(records, [FAILURE], saved=SAVED)
        assert results_from_text(text, "now.json") == Results(records, [FAILURE], SAVED, "now.json")

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize(("records", "failures"), [([], []), ([], [FAILURE]), ([make_record(**BARE)], [])])
    def test_a_file_may_lack_records_or_failures(
        self, records: list[Record], failures: list[Failure], packed: bool
    ) -> None:
        found = results_from_text(results_text(records, failures, packed=packed), "now.json")
        assert [without_probabilities(each) for each in found.records] == [*map(without_probabilities, records)]
        assert (found.failures, found.saved) == (failures, "")

    def test_a_file_has_its_version_first_and_a_record_a_line(self) -> None:
        text = results_text([make_record(), make_record(seed=7)], [FAILURE], saved=SAVED)
        lines = text.split("\n")
        assert lines[:2] == [f'{{"schema_version": 4, "saved": "{SAVED}", "shard": "",', '"records": [']
        assert [json.loads(line.rstrip(","))["seed"] for line in lines[2:4]] == [42, 7]
        assert lines[4:] == ["],", lines[5], ""]
        assert "“few”" in text

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize(
        "changes",
        [
            {"epochs": (Epoch(1, math.nan, math.inf, 0.5),)},
            {"settings": {"C": math.inf}},
            {"metrics": {"f1": math.nan}},
        ],
    )
    def test_it_is_json_to_every_reader_even_after_a_loss_of_nan(self, changes: dict[str, Any], packed: bool) -> None:
        def forbid(name: str) -> float:
            raise AssertionError(f"{name} is not JSON")

        json.loads(results_text([make_record(**changes)], [], packed=packed), parse_constant=forbid)


class TestOldFiles:
    """What released versions have written. Never regenerate the files: teach ``results_file`` to read them."""

    def test_schema_1_of_0_1_0_has_no_labels_no_fingerprint_and_the_phases_of_the_median_round(self) -> None:
        found = frozen("results_version_1.json")
        old = make_record(
            fingerprint=None,
            labels=(),
            environment=dataclasses.replace(ENVIRONMENT, deterministic=False, variables={}),
            rounds=(
                Round(3.25, PHASES, None, 400_000_000, None, 1_000),
                Round(3.5, (), None, 400_000_000, None, 1_000),
            ),
        )
        assert found == Results([old], [FAILURE], "", "old.json")
        assert found.records[0].phases == PHASES

    def test_a_file_of_schema_1_is_written_again_in_the_schema_of_today(self) -> None:
        found = frozen("results_version_1.json")
        again = results_from_text(results_text(found.records, found.failures), "old.json")
        assert again == found

    def test_schema_2_of_0_2_0_plain(self) -> None:
        records = [make_record(), make_record(seed=7, cell="minilm-linear-probe-seed7"), make_record(**BARE)]
        assert frozen("results_version_2.json") == Results(records, [FAILURE], SAVED, "old.json")

    def test_schema_2_counted_the_workers_in_the_environment(self) -> None:
        data = json.loads((FROZEN / "results_version_2.json").read_text(encoding="utf-8"))
        data["records"][1]["environment"]["workers"] = 4
        read = results_from_text(json.dumps(data), "old.json").records
        assert [each.placement for each in read] == [Placement(), Placement("xdist", concurrent_workers=3), Placement()]

    @pytest.mark.parametrize("version", [3, 4])
    def test_schemas_3_of_0_3_0_and_4_of_0_4_0(self, version: int) -> None:
        where = Placement("ray", "node-a", "ray 4711", 0, 1, 2, 1_700_000_000.5, 1_700_000_009.25)
        records = [make_record(placement=where), make_record(seed=7, cell="minilm-linear-probe-seed7")]
        planned = ("minilm-linear-probe-seed42", "minilm-linear-probe-seed7", "other")
        plain = frozen(f"results_version_{version}.json")
        assert plain == Results(records, [FAILURE], SAVED, "old.json", planned, "2/3")
        packed = frozen(f"results_version_{version}_packed.json")
        assert [*map(without_probabilities, packed.records)] == [*map(without_probabilities, records)]
        assert (packed.failures, packed.planned, packed.shard) == ([FAILURE], planned, "2/3")

    def test_schema_2_of_0_2_0_packed(self) -> None:
        found, plain = frozen("results_version_2_packed.json"), frozen("results_version_2.json")
        assert [*map(without_probabilities, found.records)] == [*map(without_probabilities, plain.records)]
        assert found.records[0].probabilities == pytest.approx((0.9, 0.1, 0.8, 0.51), abs=PROBABILITY_ERROR)
        assert (found.failures, found.saved) == ([FAILURE], SAVED)


class TestPacked:
    def test_everything_but_the_probabilities_is_exact(self) -> None:
        records = [make_record(), make_record(seed=7), make_record(**BARE)]
        found = results_from_text(results_text(records, [FAILURE], saved=SAVED, packed=True), "main.json")
        assert [*map(without_probabilities, found.records)] == [*map(without_probabilities, records)]
        for record, read in zip(records, found.records, strict=True):
            assert read.probabilities == pytest.approx(record.probabilities, abs=PROBABILITY_ERROR)

    @settings(deadline=None, database=None, max_examples=60)
    @given(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40),
        st.booleans(),
    )
    def test_whatever_was_predicted_is_read_back(
        self, rows: list[tuple[float, int, int]], of_first_schema: bool
    ) -> None:
        probabilities, predictions, labels = zip(*rows, strict=True)
        record = make_record(
            total=len(rows), correct=0, probabilities=probabilities, predictions=predictions, labels=labels, model=None
        )
        record = of_schema_1(record) if of_first_schema else record
        (found,) = results_from_text(results_text([record, record], [], packed=True), "main.json").records[1:]
        assert without_probabilities(found) == without_probabilities(record)
        assert found.probabilities == pytest.approx(probabilities, abs=PROBABILITY_ERROR)
        # What was read and is packed once more stays what it is.
        (again,) = results_from_text(results_text([found], [], packed=True), "main.json").records
        assert again == found

    def test_packing_leaves_the_records_themselves_alone(self) -> None:
        record, other = make_record(), make_record()
        results_text([record], [], packed=True)
        assert record == other

    def test_what_records_have_in_common_stands_once(self) -> None:
        text = results_text([make_record(seed=seed) for seed in range(5)], [], packed=True)
        assert text.count('"cpu_model": "EPYC"') == text.count('"solver": "lbfgs"') == 1
        assert text.count('"tokenizer": "BertTokenizer"') == 1
        assert text.count(FINGERPRINT.encoder.sketch) <= 2  # once for the embeddings, once for the hidden states


def packed_file() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(results_text([make_record()], [], packed=True))
    return data


def bomb() -> str:
    """Return a hundred megabytes of zeros in a hundred kilobytes."""
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
    (lambda data: data["records"][0].pop("weights"), "'weights' is missing"),
    (lambda data: data["records"][0].pop("total"), "'total' is missing"),
    (lambda data: data.update(shared=5), ""),
    (lambda data: data.update(shared=[]), "refers to part 0 of 0"),
    (lambda data: data.update(records=[5]), ""),
    (set_record(fingerprint=5), ""),
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
def test_a_damaged_packed_file_is_one_sentence(damage: Callable[[dict[str, Any]], Any], part: str) -> None:
    data = packed_file()
    damage(data)
    message = refusal(json.dumps(data))
    assert message.startswith("old.json")
    assert part in message
    assert "\n" not in message


def test_a_zlib_bomb_is_not_unpacked() -> None:
    import tracemalloc

    data = packed_file()
    set_record(probabilities=bomb())(data)
    text = json.dumps(data)
    tracemalloc.start()
    message = refusal(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert message.startswith("old.json is damaged")
    assert peak < 10 * 2**20


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["old.json", "--sst2-json"]),
        ("accuracy,0.8\n", ["old.json", "--sst2-json"]),
        ("[]", ["old.json", "--sst2-json"]),
        ('"text"', ["old.json", "--sst2-json"]),
        ("null", ["old.json", "--sst2-save"]),
        ("[" * 100_000, ["old.json", "--sst2-json"]),
        ('{"benchmarks": []}', ["old.json", "--sst2-json", "schema_version"]),
        ('{"schema_version": 5, "records": []}', ["old.json", "version 5", "versions 1 to 4", "Upgrade pytest-sst2"]),
        ('{"schema_version": 0, "records": []}', ["old.json", "version 0"]),
        ('{"schema_version": true, "records": []}', ["old.json", "version True"]),
        ('{"schema_version": "2", "records": []}', ["old.json", "version '2'"]),
        ('{"schema_version": 1, "failures": []}', ["old.json", "records"]),
        ('{"schema_version": 1, "records": []}', ["old.json", "failures"]),
        ('{"schema_version": 1, "records": 5, "failures": []}', ["old.json"]),
        ('{"schema_version": 1, "records": [5], "failures": []}', ["old.json"]),
        ('{"schema_version": 1, "records": [{}], "failures": []}', ["old.json", "phases"]),
        ('{"schema_version": 1, "records": [], "failures": [{"cell": "a"}]}', ["old.json", "model"]),
        ('{"schema_version": 2, "records": [], "failures": []}', ["old.json", "saved"]),
        ('{"schema_version": 2, "saved": "", "records": [{}], "failures": []}', ["old.json", "environment"]),
        ('{"schema_version": 3, "saved": "", "records": [{}], "failures": []}', ["old.json", "'rounds' is missing"]),
        ('{"schema_version": 4, "saved": "", "records": [{}], "failures": []}', ["old.json", "not a record"]),
        ('{"schema_version": 3, "saved": "", "records": [], "failures": []}', ["old.json", "planned"]),
        ('{"schema_version": 2, "saved": "", "records": 5, "failures": []}', ["old.json"]),
    ],
)
def test_a_file_that_is_no_results_file_is_refused_with_its_name(text: str, parts: list[str]) -> None:
    message = refusal(text)
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("seconds", [[], 5, None])
def test_a_damaged_file_of_schema_1_is_refused(seconds: object) -> None:
    data = json.loads((FROZEN / "results_version_1.json").read_text(encoding="utf-8"))
    data["records"][0]["rounds_seconds"] = seconds
    assert refusal(json.dumps(data)).startswith("old.json")


def test_a_phase_from_a_cache_keeps_its_mark() -> None:
    rounds = (Round(1.0, (Phase("encode", 0.001, 5, cached=True),), 0.004, 5, 5),)
    (found,) = results_from_text(results_text([make_record(rounds=rounds)], [], packed=True), "main.json").records
    assert found.rounds == rounds
