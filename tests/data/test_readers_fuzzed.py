"""Damaged data files and saved data sets: valid rows, or one sentence that names the file."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.data.readers import Rows, read_rows
from pytest_sst2.data.sources import load_folder
from tests.support import SAMPLES
from tests.support.fuzzing import FUZZ, damaged_bytes, damaged_text, refusal

# What once broke readers: quotes, accents, right-to-left text, an emoji of several characters, and characters that are
# line separators elsewhere.
SENTENCES = ["a warm film", 'so "good" , so\u2028sad', "café\u0085 \u05d0\u05d1", "👩‍👩‍👧 dull", "x"]
LABELS = [1, 0, 1, 0, 1]
_SEPARATORS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"\0", b"\r", b"\r\n", b"\n\n", b"\t", b'"', b'""')
_NUMBERS = (b"0", b"1", b"-1", b"1.0", b"1e999", b"NaN", b"\xef\xbc\x91", b"\xe2\x80\xa8", b"\xc2\x85", b"\xed\xa0\x80")
WORDS = (b"sentence", b"label", *_SEPARATORS, *_NUMBERS)
JSON_WORDS = (
    *(b'{"sentence": "a", "label": 1}', b'"sentence":', b'"label":', b"\\ud83d", b"\\u0000", b"null", b"true", b"-0"),
    *(b"[[[[[[[[", b"{", b"}", b"[", b"]", b"Infinity", b"10000000000000000000000"),
)


def delimited(separator: str) -> list[bytes]:
    """Return valid files of sentences and labels, in several orders of columns, line ends and encodings."""
    sentences = ['"' + text.replace('"', '""') + '"' for text in SENTENCES] if separator == "," else SENTENCES
    rows = [("sentence", "label"), *zip(sentences, map(str, LABELS), strict=True)]
    text = "".join(f"{first}{separator}{second}\n" for first, second in rows)
    turned = "".join(f"{number}{separator}{second}{separator}{first}\n" for number, (first, second) in enumerate(rows))
    marked = text.replace("\n", "\r\n").encode("utf-8-sig")
    return [text.encode(), turned.encode(), marked, text.replace("\n", "\r").encode(), text.encode("utf-16")]


def json_files() -> list[bytes]:
    entries = [{"sentence": s, "label": y} for s, y in zip(SENTENCES, LABELS, strict=True)]
    lines = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    columns = {"sentence": SENTENCES, "label": LABELS}
    return [lines.encode(), json.dumps(entries, indent=1).encode(), json.dumps(columns).encode(), b'{"sentence": "a"}']


def parquet_files() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def written(table: pa.Table, **options: object) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, **options)
        return buffer.getvalue()

    table = pa.table({"sentence": SENTENCES, "label": LABELS, "idx": [0, 1, 2, 3, 4]})
    plain = {"compression": "none", "use_dictionary": False}
    files = [written(table, compression=name) for name in ("none", "snappy", "gzip", "zstd", "brotli", "lz4")]
    files += [
        written(table, **plain),
        written(table, **plain, data_page_version="2.0"),
        written(table, **plain, column_encoding={"sentence": "DELTA_BYTE_ARRAY"}),
        written(table, **plain, column_encoding={"label": "DELTA_BINARY_PACKED"}),
        written(table, **plain, row_group_size=2, write_statistics=False, store_schema=False),
    ]
    for sentence, label in ((pa.large_string(), pa.float64()), (pa.dictionary(pa.int32(), pa.string()), pa.string())):
        columns = {"sentence": table["sentence"].cast(sentence), "label": table["label"].cast(label)}
        files.append(written(pa.table(columns), compression="none"))
    return files


FILES = {
    "train.tsv": (delimited("\t"), damaged_text(delimited("\t"), WORDS)),
    "train.csv": (delimited(","), damaged_text(delimited(","), WORDS)),
    "train.json": (json_files(), damaged_text(json_files(), (*WORDS, *JSON_WORDS))),
    "train.parquet": (parquet_files(), damaged_bytes(parquet_files())),
}


def check_rows(rows: Rows) -> None:
    assert len(rows.sentences) == len(rows.labels) > 0
    assert all(type(label) is int and label in (0, 1) for label in rows.labels)
    for sentence in rows.sentences:
        assert type(sentence) is str
        assert sentence.strip()
        assert "\0" not in sentence
        sentence.encode()


def check_file(path: Path, data: bytes) -> None:
    """Assert that a file has valid rows, and that the rows survive being written and read again."""
    path.write_bytes(data)
    rows = read_rows(path)
    check_rows(rows)
    lines = (json.dumps({"sentence": s, "label": y}) for s, y in zip(*rows, strict=True))
    again = path.with_name("again.jsonl")
    again.write_text("\n".join(lines))
    assert read_rows(again) == rows


@pytest.mark.parametrize("name", FILES)
def test_a_valid_file_is_read(name, tmp_path):
    valid, _ = FILES[name]
    assert "" in [refusal(lambda data: check_file(tmp_path / name, data), data) for data in valid]


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(drawn=st.data())
def test_a_damaged_file_is_read_or_refused(drawn, name, tmp_path):
    _, damaged = FILES[name]
    refusal(lambda data: check_file(tmp_path / name, data), drawn.draw(damaged), name)


@pytest.mark.parametrize("sample", sorted((SAMPLES / "broken_parquet").iterdir()), ids=lambda path: path.name)
def test_a_parquet_file_that_broke_the_reader_is_read_or_refused(sample, tmp_path):
    refusal(lambda data: check_file(tmp_path / "train.parquet", data), sample.read_bytes(), "train.parquet")


@pytest.fixture(scope="module")
def saved_folder(tmp_path_factory):
    import datasets

    folder = tmp_path_factory.mktemp("fuzzed") / "saved"
    split = datasets.Dataset.from_dict({"sentence": SENTENCES, "label": LABELS})
    datasets.DatasetDict({"train": split, "validation": split}).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "train/data-00000-of-00001.arrow",
        "train/state.json",
        "train/dataset_info.json",
        "dataset_dict.json",
        "validation/data-00000-of-00001.arrow",
    ],
)
@FUZZ
@given(drawn=st.data())
def test_a_saved_data_set_with_a_damaged_file_is_read_or_refused(drawn, name, saved_folder):
    path = saved_folder / name
    valid = path.read_bytes()

    def check(data: bytes) -> None:
        path.write_bytes(data)
        for split in load_folder(saved_folder).dataset.values():
            check_rows(Rows(split["sentence"][:], split["label"][:]))

    assert refusal(check, valid) == ""
    try:
        refusal(check, drawn.draw(damaged_bytes([valid])), "saved")
    finally:
        path.write_bytes(valid)
