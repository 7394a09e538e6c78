"""Every reader keeps its promise: what the fuzzer found, and a sample of what it does (see tools/fuzz)."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_sst2.config.options import OPTIONS
from pytest_sst2.methods.fast.embedding_cache import _digest
from pytest_sst2.utils.errors import Sst2Error
from tests.support import SAMPLES
from tools.fuzz.__main__ import INPUTS
from tools.fuzz.contract import BrokenPromiseError, Target, checked_sentence, obey
from tools.fuzz.damage import damaged_bytes, damaged_value
from tools.fuzz.results_targets import _ADDRESS, _short_sample
from tools.fuzz.targets import all_targets, target_named

FOUND = SAMPLES / "found"
TARGETS = list(all_targets())
DEEP = 100_000


def results(version: str, **changes: object) -> bytes:
    """Return a results file of one record with some values of it changed, by their names parted by two underscores."""
    data = json.loads(json.dumps(_short_sample(version)))
    for path, value in changes.items():
        *parts, last = path.split("__")
        holder = data["records"][0]
        for part in parts:
            holder = holder[int(part) if part.isdigit() else part]
        holder[last] = value
    return json.dumps(data).encode()


def frame(**changes: object) -> bytes:
    return json.dumps({**_short_sample("3"), **changes}).encode()


def floor(accuracy: str) -> bytes:
    entry = '[[floor]]\ndataset = "a"\nrecipe = "b"\nmethod = "c"\nprovenance = ""\naccuracy = '
    return f"{entry}{accuracy}\n".encode()


def entry(rows: int, dimensions: int, data: bytes) -> bytes:
    """Return an entry of the cache, signed for what it is."""
    payload = struct.pack("<QQ", rows, dimensions) + data
    return _digest(_ADDRESS, payload) + payload


def option(name: str, value: str) -> bytes:
    """Return what has the fuzzer's target parse one option's value."""
    names = [each.name for each in OPTIONS if each.parse is not None]
    return bytes([names.index(name)]) + value.encode()


def in_ini(name: str, value: str) -> bytes:
    """Return what has the fuzzer's target read the settings of a run with one line in its ini file."""
    number = [each.name for each in OPTIONS].index(name)
    return bytes([128 + (number - 128) % len(OPTIONS)]) + value.encode()


# What broke a reader, or would have: the reader, the input, and a part of the sentence that it is answered with now.
# What is no text stands in tests/samples/found, in a folder for each reader.
BROKE: list[tuple[str, bytes, str]] = [
    ("floors", b"a = " + b"[" * DEEP, "nested too deeply"),
    ("floors", b"a = " + b"1" * 5000, "is not valid TOML: Exceeds the limit"),
    ("floors", floor("0x" + "f" * 5000), "not a number of more than 30 digits"),
    ("floors", floor("1" * 4000), "not a number of more than 30 digits"),
    ("floors", b'"\\u001b[2J" = 1', "it has �[2J"),
    ("floors", b"\0", "NUL"),
    ("results-text", b"[" * DEEP, "nested too deeply"),
    ("results-text", b'{"schema_version": ' + b"9" * 4000 + b"}", "schema version a number of more than 30 digits"),
    ("results-text", b'{"schema_version": 3, "schema_version": 2}', "'schema_version' occurs twice in one object"),
    ("results-text", frame(shard="1/99999999999"), "shard is '1/99999999999', which is none"),
    ("results-text", frame(shard="9" * 5000 + "/8"), "shard is '9999"),
    ("results-text", frame(shard="9/8"), "shard is '9/8', which is none"),
    ("results-text", frame(planned=[["a"]]), "planned[0] is a list of 1, not text"),
    ("results-text", frame(saved=10**4000), "saved is a number of more than 30 digits, not text"),
    ("results-text", frame(failures=[{"cell": 1, "model": None, "method": "", "seed": 1, "error": ""}]), "not text"),
    ("results-3", results("3", accuracy=float("nan")), "accuracy is nan; 0 to 1 is wanted"),
    ("results-3", results("3", accuracy=17.0), "accuracy is 17.0; 0 to 1 is wanted"),
    ("results-3", results("3", correct=5), "correct is 5; 0 to 4 is wanted"),
    ("results-3", results("3", seed=True), "seed is True, not a whole number"),
    ("results-3", results("3", seed=10**400), "seed is a number of more than 30 digits"),
    ("results-3", results("3", accuracy=10**4000), "accuracy is a number of more than 30 digits"),
    ("results-3", results("3", predictions=[True, 0.0, 1, 1]), "predictions[0] is True, not a whole number"),
    ("results-3", results("3", accuracy_interval="ab"), "accuracy_interval is 'ab', not a list of 2"),
    ("results-3", results("3", dataset__name=[]), "dataset.name is a list of 0, not text"),
    ("results-3", results("3", environment__packages={"torch": 5}), "environment.packages['torch'] is 5, not text"),
    (
        "results-3",
        results("3", recipe__evaluation="test"),
        "recipe.evaluation is 'test', not one of validation, heldout",
    ),
    ("results-3", results("3", fingerprint__encoder__sketch="AAAA"), "fingerprint.encoder.sketch cannot be unpacked"),
    ("results-3", results("3", fingerprint__tokens__pieces="AAAA"), "fingerprint.tokens.pieces cannot be unpacked"),
    (
        "results-3",
        results("3", fingerprint__tokens__ids=""),
        "fingerprint.tokens.ids is of 0 sentences, its logits of 64",
    ),
    ("results-3", results("3", fingerprint__train__count=10**15), "fingerprint.train.labels cannot be unpacked"),
    ("results-3", results("3", rounds__0__machine_seconds=1e-320), "rounds[0].machine_seconds is 1e-320"),
    ("results-3", results("3", rounds__0__seconds=1e300), "rounds[0].seconds is 1e+300; 0 to 1e+18 is wanted"),
    ("results-3", results("3", rounds__0__seconds=float("inf")), "rounds[0].seconds is inf"),
    ("results-3-packed", results("3_packed", total=10**15), "is damaged"),
    ("results-3-packed", results("3_packed", environment=10**4000), "refers to part a number of more than 30 digits"),
    ("cache", entry(2**64 - 1, 2**64 - 1, b""), ""),
    ("cache", entry(3, 2**62, b""), ""),
    ("options", option("train_size", "9" * 5000), "is not a whole number of at least 1"),
    ("options", option("rounds", "9" * 18), "is more than 1,000,000,000"),
    ("options", option("alpha", "\uff10.5"), "is not a number"),
    ("options", option("max_length", "\x1e5"), ""),  # white space to str.strip(), none to int()
    ("settings", b"\x02--", "--sst2-data: a value is missing"),
    ("settings", in_ini("models", "'never closed"), "ini option sst2_models: No closing quotation"),
    ("settings", in_ini("no_cache", "perhaps"), "ini option sst2_no_cache: invalid truth value 'perhaps'"),
    ("settings", in_ini("train_size", "9" * 5000), "ini option sst2_train_size: '999"),
    ("settings", in_ini("json", "~no-such-user/x"), "--sst2-json '~no-such-user/x' is in a home folder"),
    ("settings", in_ini("report", "~no-such-user/x"), "--sst2-report '~no-such-user/x' is in a home folder"),
    ("settings", in_ini("floors", "~no-such-user/x"), "--sst2-floors '~no-such-user/x' is in a home folder"),
    ("settings", in_ini("json", "a" * 300), "is no path here: File name too long"),
    ("settings", in_ini("data", "a" * 300), "is neither auto, hub, pocket nor a folder"),
    ("model-index", json.dumps({"weight_map": {"a": "a" * 5000}}).encode(), "as no file can be called"),
    ("model-index", json.dumps({"weight_map": {"a": "a\0"}}).encode(), "as no file can be called"),
    ("model-config", json.dumps({"hidden_size": 10**4000}).encode(), "hidden_size = a number of more than 30 digits"),
    ("model-config", b"[" * DEEP, "nested too deeply"),
    ("pins", b"scikit_le===", "pins no version"),
]


@pytest.mark.parametrize(("name", "data", "part"), BROKE, ids=[f"{name}-{part[:40]}" for name, _, part in BROKE])
def test_what_broke_a_reader_is_answered_with_a_sentence(name: str, data: bytes, part: str) -> None:
    assert part in obey(target_named(name), data)


KEPT = sorted(path for path in FOUND.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", KEPT, ids=[path.relative_to(FOUND).as_posix() for path in KEPT])
def test_a_file_that_broke_a_reader_is_read_or_refused(path: Path) -> None:
    obey(target_named(path.parent.name), path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name: str) -> None:
    target = target_named(name)
    answers = [obey(target, target.build(seed)) for seed in target.seeds()]
    assert "" in answers


def inputs_for(target: Target) -> st.SearchStrategy[bytes]:
    """Return what makes inputs: scripts of damage, or pieces of sound files and words put together."""
    seeds = list(target.seeds())
    if target.build is not bytes:
        return st.one_of(st.binary(max_size=target.longest), st.sampled_from(seeds))
    lines = sorted({line + b"\n" for seed in seeds for line in seed.split(b"\n")})
    piece = st.one_of(st.sampled_from([*lines, *target.words]), st.binary(max_size=4))
    beginnings = st.sampled_from(seeds)
    return st.tuples(beginnings, st.integers(0, 400), st.lists(piece, max_size=8)).map(
        lambda told: told[0][: told[1]] + b"".join(told[2])
    )


@pytest.mark.parametrize("name", TARGETS)
def test_a_sample_of_damaged_input_is_read_or_refused(name: str) -> None:
    target = target_named(name)

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(inputs_for(target))
    def keep_promise(data: bytes) -> None:
        obey(target, target.build(data))

    keep_promise()


def test_every_reader_has_its_part_of_a_million_inputs() -> None:
    assert INPUTS.keys() == all_targets().keys()
    assert sum(INPUTS.values()) >= 1_000_000


class TestTheContract:
    """A check that cannot fail shows nothing."""

    def answers(self, message: str) -> str:
        def read(_data: bytes) -> None:
            raise Sst2Error(message)

        return obey(Target("made", read, lambda: ()), b"")

    def test_a_sentence_is_handed_on(self) -> None:
        assert self.answers("train.tsv has no rows.") == "train.tsv has no rows."

    @pytest.mark.parametrize("text", ["", " ", "a\nb", "\x1b[2J", "\ud83d", "\u202e", "a" * 3000])
    def test_what_is_none_is_not(self, text: str) -> None:
        with pytest.raises(BrokenPromiseError):
            checked_sentence(text)

    def test_another_error_is_not_taken_for_an_answer(self) -> None:
        def read(_data: bytes) -> None:
            raise KeyError("sentence")

        with pytest.raises(KeyError):
            obey(Target("made", read, lambda: ()), b"")

    @pytest.mark.parametrize(
        "script", [b"", b"\0", b"\0\0\5\0\x41", b"\0\7\2", b"\1\4\0\3", b"\0\3\1\1\6", b"\0\6\1\1\3"]
    )
    def test_a_script_of_damage_does_the_same_each_time(self, script: bytes) -> None:
        files = [b"sentence", b"label"]
        assert damaged_bytes(files, script) == damaged_bytes(files, script)

    def test_a_script_changes_cuts_and_replaces(self) -> None:
        assert damaged_bytes([b"abcdef"], b"\0" + bytes([0, 1, 0, 88])) == b"aXcdef"
        assert damaged_bytes([b"abcdef"], b"\0" + bytes([7, 2, 0])) == b"ab"
        value = {"a": 1, "b": [2]}
        assert damaged_value([value], b"\0") == value
        assert damaged_value([value], b"\0" + bytes([0, 3])) == {"b": [2]}
        assert damaged_value([value], b"\0" + bytes([2, 0, 0])) == {"a": 1, "b": [None]}
        assert value == {"a": 1, "b": [2]}


class TestMessages:
    """Whatever a file, a model or a server has to say goes through here on its way to a terminal."""

    def test_what_would_do_something_to_a_terminal_is_taken_out(self) -> None:
        assert str(Sst2Error("no \x1b[2J, \u202e or \ud83d")) == "no �[2J, � or �"

    def test_it_is_one_line(self) -> None:
        assert str(Sst2Error("first\nsecond\r\u2028")) == "first second"

    def test_letters_of_every_script_are_as_they_were(self) -> None:
        text = "“naïve” סרט فيلم 映画 👍"
        assert str(Sst2Error(text)) == text

    def test_a_very_long_one_keeps_its_beginning_and_what_to_do(self) -> None:
        message = str(Sst2Error(f"no 'a' among {'b, ' * 5000}. Take another."))
        assert message.startswith("no 'a' among b, b")
        assert message.endswith("b, . Take another.")
        assert len(message) < 2100
