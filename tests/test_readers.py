"""Readers: every format people have, and a sentence with file and line for every way it can be broken."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_sst2.errors import Sst2Error
from pytest_sst2.readers import READERS, Rows, read_rows

ROWS = Rows(["a warm , funny film .", "dull"], [1, 0])


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_parquet(folder: Path, columns: dict[str, list[object]], name: str = "train.parquet") -> Path:
    pq.write_table(pa.table(columns), folder / name)
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        read_rows(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("glue.tsv", "sentence\tlabel\na warm , funny film .\t1\ndull\t0\n"),
        ("no-last-newline.tsv", "sentence\tlabel\na warm , funny film .\t1\ndull\t0"),
        ("windows.tsv", "sentence\tlabel\r\na warm , funny film .\t1\r\ndull\t0\r\n"),
        ("blank-lines.tsv", "sentence\tlabel\n\na warm , funny film .\t1\n\ndull\t0\n\n"),
        ("byte-order-mark.tsv", "\ufeffsentence\tlabel\na warm , funny film .\t1\ndull\t0\n"),
        ("other-order.tsv", "idx\tlabel\tsentence\n0\t1\ta warm , funny film .\n1\t0\tdull\n"),
        ("UPPER.TSV", "sentence\tlabel\na warm , funny film .\t1\ndull\t0\n"),
        ("quoted.csv", 'sentence,label\n"a warm , funny film .",1\ndull,0\n'),
        ("excel.csv", '\ufeffsentence,label\r\n"a warm , funny film .",1\r\n"dull","0"\r\n'),
        ("pandas-index.csv", ',sentence,label\n0,"a warm , funny film .",1\n1,dull,0\n'),
        ("blank-lines.csv", 'sentence,label\n\n"a warm , funny film .",1\n\ndull,0\n'),
        ("lines.jsonl", '{"sentence": "a warm , funny film .", "label": 1}\n{"label": "0", "sentence": "dull"}\n'),
        ("lines.json", '{"sentence": "a warm , funny film .", "label": 1}\n\n{"sentence": "dull", "label": 0}'),
        ("windows.jsonl", '{"sentence": "a warm , funny film .", "label": 1}\r\n{"sentence": "dull", "label": 0}\r\n'),
        ("array.json", '\n[{"sentence": "a warm , funny film .", "label": 1},\n {"sentence": "dull", "label": 0}]\n'),
        ("array.jsonl", '[{"sentence": "a warm , funny film .", "label": 1}, {"sentence": "dull", "label": 0}]'),
        (
            "extra.jsonl",
            '{"idx": 0, "sentence": "a warm , funny film .", "label": 1}\n{"sentence": "dull", "label": 0}',
        ),
    ],
)
def test_every_text_format_gives_the_same_rows_in_file_order(tmp_path: Path, name: str, content: str) -> None:
    assert read_rows(write(tmp_path, name, content)) == ROWS


@pytest.mark.parametrize("labels", [[1, 0], ["1", "0"], [" 1 ", "0"]])
def test_a_parquet_file_gives_its_rows_whatever_type_its_labels_have(tmp_path: Path, labels: list[object]) -> None:
    path = write_parquet(tmp_path, {"idx": [0, 1], "label": labels, "sentence": list(ROWS.sentences)})
    assert read_rows(path) == ROWS


def test_there_is_a_reader_for_each_suffix_that_is_promised() -> None:
    assert set(READERS) == {".tsv", ".csv", ".jsonl", ".json", ".parquet"}


def test_quotes_in_a_tsv_file_are_ordinary_characters(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tsv", 'sentence\tlabel\n"a film" it says , isn\'t\t0\n"half a quote\t1\n')
    assert read_rows(path).sentences == ['"a film" it says , isn\'t', '"half a quote']


def test_the_trailing_space_that_glue_leaves_is_kept(tmp_path: Path) -> None:
    assert read_rows(write(tmp_path, "train.tsv", "sentence\tlabel\na film \t1\n")).sentences == ["a film "]


def test_a_csv_sentence_may_run_over_lines_and_hold_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, "train.csv", 'sentence,label\n"so ""good""\nthat , well",1\n')
    assert read_rows(path).sentences == ['so "good"\nthat , well']


def test_an_exotic_line_separator_does_not_end_a_line(tmp_path: Path) -> None:
    # U+2028 ends a line for str.splitlines, but in neither TSV nor JSON lines.
    tsv = write(tmp_path, "train.tsv", "sentence\tlabel\ngood\u2028film\t1\n")
    lines = write(tmp_path, "train.jsonl", '{"sentence": "good\u2028film", "label": 1}\n')
    assert read_rows(tsv) == read_rows(lines) == Rows(["good\u2028film"], [1])


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("train.tsv", "text\tlabel\na\t1\n", ["train.tsv, line 1", "'sentence'", "'text', 'label'"]),
        ("train.tsv", "a film\t1\na play\t0\n", ["train.tsv, line 1", "no column 'sentence'", "'a film', '1'"]),
        ("train.tsv", "sentence\tlabel\tlabel\na\t1\t0\n", ["train.tsv, line 1", "'label' occurs twice"]),
        ("train.tsv", "", ["train.tsv", "no column 'sentence'"]),
        ("train.tsv", "sentence\tlabel\na\t1\nb\tc\t0\n", ["train.tsv, line 3", "3 columns", "header has 2"]),
        ("train.tsv", "sentence\tlabel\na film\n", ["train.tsv, line 2", "1 columns", "header has 2"]),
        (
            "train.tsv",
            "sentence\tlabel\n\na\t2\n",
            ["train.tsv, line 3", "label is '2'", "0 (negative)", "1 (positive)"],
        ),
        ("train.tsv", "sentence\tlabel\na\t-1\n", ["train.tsv, line 2", "'-1'", "unlabelled test split"]),
        ("train.tsv", "sentence\tlabel\na\t\n", ["train.tsv, line 2", "label is ''"]),
        ("train.tsv", "sentence\tlabel\n\t1\n", ["train.tsv, line 2", "sentence is empty"]),
        ("train.tsv", "sentence\tlabel\n  \t1\n", ["train.tsv, line 2", "sentence is empty"]),
        ("train.tsv", b"sentence\tlabel\na\t1\ncaf\xe9\t1\n", ["train.tsv, line 3", "not valid UTF-8"]),
        (
            "train.tsv",
            "sentence\tlabel\na\t1\n".encode("utf-16"),
            ["is UTF-16 text", "iconv -f UTF-16 -t UTF-8 train.tsv"],
        ),
        ("train.csv", "", ["train.csv, line 1", "no column 'sentence'", "columns are none"]),
        ("train.csv", "sentence;label\na;1\n", ["train.csv, line 1", "'sentence;label'"]),
        ("train.csv", "sentence, label\na,1\n", ["train.csv, line 1", "no column 'label'", "' label'"]),
        ("train.csv", "sentence,label\nslow , dull,0\n", ["train.csv, line 2", "3 columns", "quotes"]),
        ("train.csv", "sentence,label\na,positive\n", ["train.csv, line 2", "'positive'"]),
        ("train.csv", 'sentence,label\n"so" good,1\n', ["train.csv, line 2", "not valid CSV"]),
        ("train.jsonl", '{"sentence": "a", "label": 1}\n{"sentence": "b"\n', ["train.jsonl, line 2", "not valid JSON"]),
        ("train.jsonl", '{"sentence": "a", "label": 1}\n"b"\n', ["train.jsonl, line 2", "an object"]),
        ("train.jsonl", '{"sentence": "a"}\n', ["train.jsonl, line 1", "no column 'label'", "'sentence'"]),
        ("train.jsonl", '{"sentence": null, "label": 1}\n', ["train.jsonl, line 1", "sentence is empty"]),
        ("train.jsonl", '{"sentence": 7, "label": 1}\n', ["train.jsonl, line 1", "sentence is 7", "text is wanted"]),
        ("train.jsonl", '{"sentence": "a", "label": true}\n', ["train.jsonl, line 1", "label is True"]),
        ("train.jsonl", '{"sentence": "a", "label": null}\n', ["train.jsonl, line 1", "label is None"]),
        ("train.jsonl", '{"sentence": "a", "label": NaN}\n', ["train.jsonl, line 1", "label is nan"]),
        (
            "train.json",
            '[{"sentence": "a", "label": 1}, {"label": 1}]',
            ["train.json, entry 2", "no column 'sentence'"],
        ),
        ("train.json", '[{"sentence": "a", "label": 1}, 5]', ["train.json, entry 2", "an object"]),
        ("train.json", '[{"sentence": "a",\n  "label": }]', ["train.json, line 2", "not valid JSON"]),
        ("train.json", 100_000 * "[", ["train.json", "not valid JSON"]),
        ("train.parquet", b"", ["train.parquet", "not a readable parquet file"]),
        ("train.parquet", b"sentence,label\na,1\n", ["train.parquet", "not a readable parquet file"]),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_the_line(
    tmp_path: Path, name: str, content: str | bytes, parts: list[str]
) -> None:
    message = refusal(write(tmp_path, name, content))
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.tsv", "sentence\tlabel\n"),
        ("train.csv", "sentence,label\n"),
        ("train.jsonl", ""),
        ("train.json", "[]"),
    ],
)
def test_a_file_without_rows_is_refused_with_its_path(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path, name, content)
    assert f"{path} has no rows" in refusal(path)


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"text": ["a"], "label": [1]}, ["no column 'sentence'", "'text', 'label'"]),
        ({"sentence": ["a", "b"], "label": [1, -1]}, ["row 2", "-1", "unlabelled test split"]),
        ({"sentence": ["a", "b"], "label": [1, None]}, ["row 2", "label is None"]),
        ({"sentence": ["a", None], "label": [1, 1]}, ["row 2", "sentence is empty"]),
        ({"sentence": [b"a"], "label": [1]}, ["row 1", "b'a'"]),
        ({"sentence": [], "label": []}, ["has no rows"]),
    ],
)
def test_a_broken_parquet_table_is_refused_with_its_name_and_the_row(
    tmp_path: Path, columns: dict[str, list[object]], parts: list[str]
) -> None:
    message = refusal(write_parquet(tmp_path, columns))
    assert [part for part in ["train.parquet", *parts] if part not in message] == []


def test_a_parquet_file_with_a_column_twice_is_refused_with_its_name(tmp_path: Path) -> None:
    arrays = [pa.array(["a"]), pa.array([1]), pa.array([0])]
    pq.write_table(pa.table(arrays, names=["sentence", "label", "label"]), tmp_path / "train.parquet")
    message = refusal(tmp_path / "train.parquet")
    assert "train.parquet" in message
    assert "label" in message


def test_a_damaged_parquet_page_is_refused_with_its_name(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, {"sentence": ["good film"], "label": [1]})
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36
    assert "train.parquet" in refusal(write(tmp_path, "train.parquet", bytes(content)))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path / "train.tsv")
    assert str(tmp_path / "train.tsv") in message
    assert "No such file" in message


def test_a_header_of_a_hundred_columns_is_cut_short_in_the_message(tmp_path: Path) -> None:
    header = "\t".join(f"{'wide' * 30}{number}" for number in range(100))
    assert len(refusal(write(tmp_path, "train.tsv", header + "\n"))) < 500


def test_what_a_table_of_columns_holds_is_cut_short_in_the_message(tmp_path: Path) -> None:
    # What pandas' DataFrame.to_json writes unless told otherwise.
    columns = {"sentence": {str(row): "a film" for row in range(1000)}, "label": {str(row): 1 for row in range(1000)}}
    message = refusal(write(tmp_path, "train.json", json.dumps(columns)))
    assert "train.json, line 1" in message
    assert len(message) < 500


def test_a_byte_order_mark_does_not_shift_the_line_of_a_wrong_byte(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tsv", b"\xef\xbb\xbfsentence\tlabel\n\xe9t\xe9\t1\n")
    assert "train.tsv, line 2" in refusal(path)


def test_a_quote_that_is_never_closed_is_named_by_the_line_it_opens_in(tmp_path: Path) -> None:
    path = write(tmp_path, "train.csv", 'sentence,label\nfine,1\n"a film,1\ndull,0\ndull,0\n')
    assert "train.csv, line 3" in refusal(path)


def test_a_parquet_text_that_is_not_utf8_is_refused_with_its_name(tmp_path: Path) -> None:
    offsets = pa.array([0, 2], pa.int32()).buffers()[1]
    latin = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xe9\xe9"))
    pq.write_table(pa.table({"sentence": latin, "label": [1]}), tmp_path / "train.parquet")
    assert "train.parquet" in refusal(tmp_path / "train.parquet")


def test_a_number_of_five_thousand_digits_is_refused_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, "train.jsonl", f'{{"sentence": "a", "label": {5000 * "1"}}}\n')
    assert "train.jsonl, line 1" in refusal(path)


def test_half_an_emoji_is_refused_with_its_line(tmp_path: Path) -> None:
    # json.dumps of a text cut inside a surrogate pair writes this; no encoder can write it again.
    path = write(tmp_path, "train.jsonl", '{"sentence": "good \\ud83d", "label": 1}\n')
    assert "train.jsonl, line 1" in refusal(path)


def test_a_suffix_without_a_reader_is_refused_with_those_there_are(tmp_path: Path) -> None:
    assert ".tsv" in refusal(write(tmp_path, "train.txt", "a\t1\n"))


def test_the_sentence_on_a_parquet_file_ends_in_one_full_stop(tmp_path: Path) -> None:
    assert not refusal(write(tmp_path, "train.parquet", b"sentence,label\na,1\n")).endswith("..")
