"""Damaged results files and floors: valid values, or one sentence that names the file."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.history import cell_histories
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.baselines import load_results
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.floors import Floor, FloorKey, load_floors, write_floors
from pytest_sst2.results.merge import merge
from pytest_sst2.results.record import Record
from tests.support import SAMPLES
from tests.support.fuzzing import DEEP, FUZZ, HUGE, damaged_json, damaged_text, refusal
from tests.support.results_texts import PROBABILITY_ERROR

VERSIONS = ("1", "2", "2_packed", "3", "3_packed", "4", "4_packed")
NAME = "results.json"


def sample(version: str) -> dict[str, Any]:
    """Return a results file of a schema version with one record."""
    text = (SAMPLES / f"results_version_{version}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return {**data, "records": data["records"][:1]}


def with_frame(**changes: object) -> bytes:
    return json.dumps({**sample("3"), **changes}).encode()


def with_record(version: str, **changes: object) -> bytes:
    """Return a results file with values of its record replaced; two underscores separate the names of a path."""
    data = sample(version)
    for path, value in changes.items():
        *parts, last = path.split("__")
        holder = data["records"][0]
        for part in parts:
            holder = holder[int(part) if part.isdigit() else part]
        holder[last] = value
    return json.dumps(data).encode()


def check_results(folder, data: bytes, packed: tuple[bool, ...] = (False, True), use: bool = False) -> None:
    """Assert that a file has valid records that survive being written again, and that they can be compared."""
    path = folder / NAME
    path.write_bytes(data)
    results = load_results(folder, folder, str(path))
    for record in results.records:
        check_record(record)
    for pack in packed:
        text = results_text(results, packed=pack)
        again = results_from_text(text, "again.json")
        assert repr(again.failures) == repr(results.failures)
        for before, after in zip(results.records, again.records, strict=True):
            # As text, because NaN is not equal to itself.
            assert repr(without_probabilities(before)) == repr(without_probabilities(after))
            allowed = PROBABILITY_ERROR if pack else 0.0
            pairs = zip(before.probabilities, after.probabilities, strict=True)
            assert all(abs(one - other) <= allowed for one, other in pairs)
    if use and results.records:
        use_results(results)


def without_probabilities(record: Record) -> dict[str, Any]:
    return {**record.to_json(), "probabilities": []}


def check_record(record: Record) -> None:
    assert 0 <= record.accuracy <= 1
    assert 0 <= record.correct <= record.total
    assert len(record.predictions) == len(record.probabilities) == record.total
    assert len(record.labels) in (0, record.total)
    assert all(0 <= value <= 1 for value in record.probabilities)
    assert {*record.predictions, *record.labels} <= {0, 1}
    assert len(record.rounds) > 0


def use_results(results: Results) -> None:
    """Compare, join and order results that were read from a damaged file: an Sst2Error is the only allowed error."""
    valid = results_from_text(json.dumps(sample("4")), "valid.json")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(valid, results, tolerance=TOLERANCE, alpha=ALPHA)
        compare(results, valid, tolerance=TOLERANCE, alpha=ALPHA)
        cell_histories([results, valid])
        merge([results])


class TestResults:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_valid_file_is_read(self, version, tmp_path):
        data = json.dumps(sample(version)).encode()
        assert refusal(lambda data: check_results(tmp_path, data, use=True), data) == ""

    @pytest.mark.parametrize("version", VERSIONS)
    @FUZZ
    @given(drawn=st.data())
    def test_a_file_with_damaged_values_is_read_or_refused(self, drawn, version, tmp_path):
        data = json.dumps(drawn.draw(damaged_json(sample(version)))).encode()
        packed, use = (drawn.draw(st.booleans()),), drawn.draw(st.integers(0, 7)) == 0
        refusal(lambda data: check_results(tmp_path, data, packed, use), data)

    @FUZZ
    @given(drawn=st.data())
    def test_a_damaged_text_is_read_or_refused(self, drawn, tmp_path):
        small = '{"schema_version": 3, "saved": "", "shard": "", "records": [], "planned": [], "failures": []}'
        files = [small.encode(), small.replace(": 3", ": 4").encode(), b'{"schema_version": 1, "records": []}']
        words = [f'"schema_version": {version}'.encode() for version in range(6)]
        words += [b'"records":', b'"shared":', b"null", b"NaN"]
        refusal(lambda data: check_results(tmp_path, data), drawn.draw(damaged_text(files, words)), NAME)

    # Inputs that once broke the reader, and a part of the sentence that refuses them now.
    @pytest.mark.parametrize(
        ("data", "part"),
        [
            (b"[" * DEEP, "nested too deeply"),
            (b'{"schema_version": ' + b"9" * 4000 + b"}", "schema version a number of more than 30 digits"),
            (b'{"schema_version": 3, "schema_version": 2}', "'schema_version' occurs twice in one object"),
            (with_frame(shard="1/99999999999"), "shard is '1/99999999999'; it must be"),
            (with_frame(shard="9" * 5000 + "/8"), "shard is '9999"),
            (with_frame(shard="9/8"), "shard is '9/8'; it must be"),
            (with_frame(planned=[["a"]]), "planned[0] is a list of 1, not text"),
            (with_frame(saved=HUGE), "saved is a number of more than 30 digits, not text"),
            (with_frame(failures=[{"cell": 1, "model": None, "method": "", "seed": 1, "error": ""}]), "not text"),
            (with_record("3", accuracy=float("nan")), "accuracy is nan; it must be 0 to 1"),
            (with_record("3", accuracy=17.0), "accuracy is 17.0; it must be 0 to 1"),
            (with_record("3", correct=5), "correct is 5; it must be 0 to 4"),
            (with_record("3", seed=True), "seed is True, not a whole number"),
            (with_record("3", seed=10**400), "seed is a number of more than 30 digits"),
            (with_record("3", accuracy=HUGE), "accuracy is a number of more than 30 digits"),
            (with_record("3", predictions=[True, 0.0, 1, 1]), "predictions[0] is True, not a whole number"),
            (with_record("3", accuracy_interval="ab"), "accuracy_interval is 'ab', not a list of 2"),
            (with_record("3", dataset__name=[]), "dataset.name is a list of 0, not text"),
            (with_record("3", environment__packages={"torch": 5}), "environment.packages['torch'] is 5, not text"),
            (with_record("3", recipe__evaluation="test"), "'test', not one of validation, heldout"),
            (with_record("3", fingerprint__encoder__sketch="AAAA"), "fingerprint.encoder.sketch cannot be unpacked"),
            (with_record("3", fingerprint__tokens__pieces="AAAA"), "fingerprint.tokens.pieces cannot be unpacked"),
            (with_record("3", fingerprint__train__blocks="AAAA"), "fingerprint.train.blocks has 3 bytes for 5 rows"),
            (with_record("3", fingerprint__tokens__ids=""), "fingerprint.tokens.ids is of 0 sentences, not of"),
            (with_record("3", fingerprint__train__count=10**15), "fingerprint.train.labels cannot be unpacked"),
            (with_record("3", rounds__0__machine_seconds=1e-320), "rounds[0].machine_seconds is 1e-320"),
            (with_record("3", rounds__0__seconds=1e300), "rounds[0].seconds is 1e+300; it must be 0 to 1e+18"),
            (with_record("3", rounds__0__seconds=float("inf")), "rounds[0].seconds is inf"),
            (with_record("3_packed", total=10**15), "is damaged"),
            (with_record("3_packed", environment=HUGE), "refers to part a number of more than 30 digits"),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    def test_what_broke_the_reader_is_refused(self, data, part, tmp_path):
        assert part in refusal(lambda data: check_results(tmp_path, data), data, NAME)


VALID_FLOORS = """# A comment.
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
INLINE_FLOORS = 'floor = [{dataset = "a", recipe = "b", method = "c", accuracy = 0.5, provenance = ""}]\n'
FLOORS = [VALID_FLOORS.encode(), INLINE_FLOORS.encode(), b""]
TOML_WORDS = (
    *(b"[[floor]]", b"accuracy = ", b'model = ""', b"dataset", b"[floor]", b"floor.", b"{", b"}", b"[", b"]", b'"""'),
    *(b"'''", b"nan", b"inf", b"1e999", b"0x" + b"f" * 40, b"1" * 60, b"1979-05-27T07:32:00Z", b"true", b"\\u0000"),
    *(b"\\U0010FFFF", b"\r\n", b"\r", b"#", b"a.a.a.a.a.a.a.a.a.a", b"[[[[[[[[[[[[[[[[", b"{a={a={a={a="),
)
NEW_FLOORS = [
    (FloorKey("pocket", "quick", "minilm", "linear-probe"), Floor(0.9, "fuzzed")),
    (FloorKey("other", "quick", "", "majority"), Floor(0.4, "fuzzed")),
]


def check_floors(folder, data: bytes) -> None:
    """Assert that a file has floors, that new floors are added, and that no higher floor is lowered."""
    path = folder / "floors.toml"
    path.write_bytes(data)
    before = load_floors(path)
    not_lowered = write_floors(path, NEW_FLOORS)
    after = load_floors(path)
    for key, floor in NEW_FLOORS:
        old = before.find(key)
        kept = old is not None and old.accuracy > floor.accuracy
        assert after.find(key) == (old if kept else floor)
        assert kept == (key in [kept_floor.key for kept_floor in not_lowered])
    assert len(after) == len(before) + sum(before.find(key) is None for key, _ in NEW_FLOORS)


def floor_with(accuracy: str) -> bytes:
    entry = '[[floor]]\ndataset = "a"\nrecipe = "b"\nmethod = "c"\nprovenance = ""\naccuracy = '
    return f"{entry}{accuracy}\n".encode()


class TestFloors:
    @pytest.mark.parametrize("data", FLOORS, ids=["tables", "inline", "empty"])
    def test_a_valid_file_is_read(self, data, tmp_path):
        assert refusal(lambda data: check_floors(tmp_path, data), data) == ""

    @FUZZ
    @given(drawn=st.data())
    def test_a_damaged_file_is_read_or_refused(self, drawn, tmp_path):
        refusal(lambda data: check_floors(tmp_path, data), drawn.draw(damaged_text(FLOORS, TOML_WORDS)), "floors.toml")

    @pytest.mark.parametrize(
        ("data", "part"),
        [
            (b"a = " + b"[" * DEEP, "nested too deeply"),
            (b"a = " + b"1" * 5000, "is not valid TOML: Exceeds the limit"),
            (floor_with("0x" + "f" * 5000), "not a number of more than 30 digits"),
            (floor_with("1" * 4000), "not a number of more than 30 digits"),
            (b'"\\u001b[2J" = 1', "it has �[2J"),
            (b"\0", "NUL"),
        ],
        ids=lambda value: value[:40] if isinstance(value, str) else "",
    )
    def test_what_broke_the_reader_is_refused(self, data, part, tmp_path):
        assert part in refusal(lambda data: check_floors(tmp_path, data), data, "floors.toml")
