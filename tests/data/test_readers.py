"""Test every supported format, and that errors name the file and the line."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_sst2.data import arrow as arrow_files
from pytest_sst2.data import readers
from pytest_sst2.data.readers import READERS, Rows, read_rows
from pytest_sst2.utils import safe_read
from pytest_sst2.utils.errors import Sst2Error
from tests.support import SAMPLES

needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs pipes and devices in the file system")

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


def test_there_is_a_reader_for_each_documented_suffix() -> None:
    assert set(READERS) == {".tsv", ".csv", ".jsonl", ".json", ".parquet"}


def test_quotes_in_a_tsv_file_are_ordinary_characters(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tsv", 'sentence\tlabel\n"a film" it says , isn\'t\t0\n"half a quote\t1\n')
    assert read_rows(path).sentences == ['"a film" it says , isn\'t', '"half a quote']


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_a_tsv_file_that_pandas_wrote_is_read_like_the_csv_file_of_the_same_rows(
    tmp_path: Path, quoting: Literal[0, 1, 2], line_end: str
) -> None:
    rows = Rows(['"wow" , he said', "fine", "a\ttab", "so\nlong"], [1, 0, 1, 0])
    with (tmp_path / "train.tsv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=quoting, lineterminator=line_end)
        writer.writerows([("sentence", "label"), *zip(rows.sentences, rows.labels, strict=True)])
    assert read_rows(tmp_path / "train.tsv") == rows


@pytest.mark.parametrize("sentence", ['"fine"', '"well , fine"', '"half', '"one" and "two"'])
def test_a_sentence_of_glue_keeps_quotes_that_no_program_needs(tmp_path: Path, sentence: str) -> None:
    path = write(tmp_path, "train.tsv", f"sentence\tlabel\n{sentence}\t1\nnot , really\t0\n")
    assert read_rows(path).sentences == [sentence, "not , really"]


def test_a_spreadsheet_quotes_the_sentences_with_commas(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tsv", 'sentence\tlabel\n"well, fine"\t1\ndull\t0\n')
    assert read_rows(path).sentences == ["well, fine", "dull"]


def test_quotes_that_are_escaped_by_a_backslash_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path, "train.tsv", '"sentence"\t"label"\n"so \\"good\\""\t1\n"dull"\t0\n')
    assert 'qmethod = "double"' in refusal(path)


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
        ("train.tsv", "words\tmood\na\t1\n", ["train.tsv, line 1", "'sentence'", "'words', 'mood'", "--sst2-columns"]),
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
        (
            "train.tsv",
            "sentence\tlabel\na\t-1\n",
            ["line 2", "unlabelled test split", "if it means negative, add --sst2-labels=-1,1"],
        ),
        ("train.tsv", "sentence\tlabel\na\t\n", ["train.tsv, line 2", "label is ''"]),
        ("train.tsv", "sentence\tlabel\n\t1\n", ["train.tsv, line 2", "sentence is empty"]),
        ("train.tsv", "sentence\tlabel\n  \t1\n", ["train.tsv, line 2", "sentence is empty"]),
        ("train.tsv", b"sentence\tlabel\na\t1\ncaf\xe9\t1\n", ["train.tsv, line 3", "not valid UTF-8"]),
        (
            "train.tsv",
            "sentence\tlabel\na\t1\n".encode("utf-16"),
            ["is UTF-16 text", "iconv -f UTF-16 -t UTF-8 train.tsv"],
        ),
        ("train.csv", "", ["train.csv, line 1", "no column 'sentence'", "columns are: none"]),
        ("train.csv", "sentence;label\na;1\n", ["train.csv, line 1", "'sentence;label'"]),
        ("train.csv", "sentence,label\nslow , dull,0\n", ["train.csv, line 2", "3 columns", "quotes"]),
        ("train.csv", "sentence,label\na,yes\n", ["train.csv, line 2", "'yes'", "--sst2-labels NEGATIVE,POSITIVE"]),
        ("train.csv", 'sentence,label\n"so" good,1\n', ["train.csv, line 2", "not valid CSV"]),
        ("train.jsonl", '{"sentence": "a", "label": 1}\n{"sentence": "b"\n', ["train.jsonl, line 2", "not valid JSON"]),
        ("train.jsonl", '{"sentence": "a", "label": 1}\n"b"\n', ["train.jsonl, line 2", "not a JSON object"]),
        ("train.jsonl", '{"sentence": "a"}\n', ["train.jsonl, line 1", "no column 'label'", "'sentence'"]),
        ("train.jsonl", '{"sentence": null, "label": 1}\n', ["train.jsonl, line 1", "sentence is empty"]),
        ("train.jsonl", '{"sentence": 7, "label": 1}\n', ["train.jsonl, line 1", "sentence is 7", "must be text"]),
        ("train.jsonl", '{"sentence": "a", "label": true}\n', ["train.jsonl, line 1", "label is True"]),
        ("train.jsonl", '{"sentence": "a", "label": null}\n', ["train.jsonl, line 1", "label is None"]),
        ("train.jsonl", '{"sentence": "a", "label": NaN}\n', ["train.jsonl, line 1", "label is nan"]),
        (
            "train.json",
            '[{"sentence": "a", "label": 1}, {"label": 1}]',
            ["train.json, entry 2", "no column 'sentence'"],
        ),
        ("train.json", '[{"sentence": "a", "label": 1}, 5]', ["train.json, entry 2", "not a JSON object"]),
        ("train.json", '[{"sentence": "a",\n  "label": }]', ["train.json, line 2", "not valid JSON"]),
        ("train.json", 100_000 * "[", ["train.json", "not valid JSON"]),
        ("train.parquet", b"", ["train.parquet", "is not a readable Parquet file"]),
        ("train.parquet", b"sentence,label\na,1\n", ["train.parquet", "is not a readable Parquet file"]),
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
        ({"words": ["a"], "mood": [1]}, ["no column 'sentence'", "'words', 'mood'"]),
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


def test_a_header_of_a_hundred_columns_is_truncated_in_the_message(tmp_path: Path) -> None:
    header = "\t".join(f"{'wide' * 30}{number}" for number in range(100))
    assert len(refusal(write(tmp_path, "train.tsv", header + "\n"))) < 500


def test_a_table_stored_by_column_is_truncated_in_the_message(tmp_path: Path) -> None:
    # pandas' DataFrame.to_json writes this by default.
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
    # json.dumps writes this for text truncated inside a surrogate pair. UTF-8 cannot encode it.
    path = write(tmp_path, "train.jsonl", '{"sentence": "good \\ud83d", "label": 1}\n')
    assert "train.jsonl, line 1" in refusal(path)


def test_a_suffix_without_a_reader_is_refused_with_the_supported_ones(tmp_path: Path) -> None:
    assert ".tsv" in refusal(write(tmp_path, "train.txt", "a\t1\n"))


def test_the_error_of_a_parquet_file_ends_in_one_full_stop(tmp_path: Path) -> None:
    assert not refusal(write(tmp_path, "train.parquet", b"sentence,label\na,1\n")).endswith("..")


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    @pytest.mark.parametrize("name", ["train.tsv", "train.csv", "train.jsonl", "train.json"])
    def test_utf_16_is_named_with_the_command_that_converts_it(self, tmp_path: Path, name: str, encoding: str) -> None:
        content = {"train.tsv": "sentence\tlabel\na\t1\n", "train.csv": "sentence,label\na,1\n"}
        data = content.get(name, '{"sentence": "a", "label": 1}\n').encode(encoding)
        message = refusal(write(tmp_path, name, data))
        assert "UTF-16" in message
        assert "iconv -f UTF-16" in message

    def test_a_byte_order_mark_is_not_part_of_json(self, tmp_path: Path) -> None:
        lines = '{"sentence": "a warm , funny film .", "label": 1}\n{"sentence": "dull", "label": 0}\n'
        assert read_rows(write(tmp_path, "train.jsonl", lines.encode("utf-8-sig"))) == ROWS

    @pytest.mark.parametrize(
        ("name", "content", "parts"),
        [
            ("train.tsv", gzip.compress(b"sentence\tlabel\n"), ["compressed by gzip", "gunzip train.tsv"]),
            ("train.csv", b"PK\x03\x04\x14\0\x06\0", ["zip archive", ".xlsx", "CSV in UTF-8"]),
            ("train.jsonl", bz2.compress(b"{}"), ["bzip2", "bunzip2 train.jsonl"]),
            ("train.json", lzma.compress(b"{}"), ["compressed by xz", "unxz train.json"]),
            ("train.tsv", b"\x28\xb5\x2f\xfd\x04", ["zstd"]),
            ("train.tsv", b"PAR1\x15\x04PAR1", ["parquet file", "Name it .parquet"]),
            ("train.tsv", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", ["Git LFS", "git lfs pull"]),
        ],
        ids=["gzip", "zip", "bzip2", "xz", "zstd", "parquet", "git-lfs"],
    )
    def test_files_of_another_kind_are_recognised(
        self, tmp_path: Path, name: str, content: bytes, parts: list[str]
    ) -> None:
        message = refusal(write(tmp_path, name, content))
        assert [part for part in [name, *parts] if part not in message] == []

    @pytest.mark.parametrize("name", ["train.tsv", "train.csv"])
    def test_a_nul_is_refused_with_its_line(self, tmp_path: Path, name: str) -> None:
        separator = "\t" if name == "train.tsv" else ","
        path = write(tmp_path, name, f"sentence{separator}label\nfine{separator}1\na\0b{separator}0\n")
        assert f"{name}, line 3: a NUL character" in refusal(path)

    def test_a_nul_in_json_or_parquet_is_refused(self, tmp_path: Path) -> None:
        assert "NUL" in refusal(write(tmp_path, "train.jsonl", '{"sentence": "a\\u0000b", "label": 1}'))
        assert "row 1" in refusal(write_parquet(tmp_path, {"sentence": ["a\0b"], "label": [1]}))


class TestLineEnds:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("train.tsv", "sentence\tlabel\ra warm , funny film .\t1\rdull\t0\r"),
            ("train.csv", 'sentence,label\r"a warm , funny film .",1\rdull,0\r'),
            ("train.jsonl", '{"sentence": "a warm , funny film .", "label": 1}\r{"sentence": "dull", "label": 0}\r'),
        ],
    )
    def test_cr_ends_a_line_in_a_file_without_lf(self, tmp_path: Path, name: str, content: str) -> None:
        assert read_rows(write(tmp_path, name, content)) == ROWS

    def test_a_lone_cr_in_a_sentence_is_kept(self, tmp_path: Path) -> None:
        path = write(tmp_path, "train.tsv", "sentence\tlabel\nso\rgood\t1\n")
        assert read_rows(path).sentences == ["so\rgood"]
        quoted = write(tmp_path, "train.csv", 'sentence,label\n"so\rgood",1\n')
        assert read_rows(quoted).sentences == ["so\rgood"]

    def test_a_lone_cr_outside_of_quotes_is_refused_with_its_line(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, "train.csv", "sentence,label\nfine,1\nso\rgood,1\n"))
        assert "train.csv, line 3: not valid CSV: new-line character seen in unquoted field." in message

    @pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
    @pytest.mark.parametrize("name", ["train.tsv", "train.csv", "train.jsonl"])
    def test_characters_that_end_a_line_only_for_python_are_kept(self, tmp_path: Path, name: str, sign: str) -> None:
        text = f"so{sign}good"
        contents = {"train.tsv": f"sentence\tlabel\n{text}\t1\n", "train.csv": f"sentence,label\n{text},1\n"}
        content = contents.get(name, json.dumps({"sentence": text, "label": 1}))
        assert read_rows(write(tmp_path, name, content)).sentences == [text]


class TestLabels:
    @pytest.mark.parametrize("label", ["1", " 1", "1 ", "1.0", "\u20281"])
    def test_common_spellings_of_one_are_read(self, tmp_path: Path, label: str) -> None:
        rows = f"sentence,label\na,{label}\n"
        assert read_rows(write(tmp_path, "train.csv", rows)).labels == [1]
        assert read_rows(write(tmp_path, "train.tsv", rows.replace(",", "\t"))).labels == [1]
        assert read_rows(write(tmp_path, "train.jsonl", json.dumps({"sentence": "a", "label": label}))).labels == [1]

    @pytest.mark.parametrize(
        "label", ["+1", "01", "1e0", "1.00", "non-positive", "not good", "True", "yes", "2", "0.5", "1 0"]
    )
    def test_other_labels_are_not_guessed(self, tmp_path: Path, label: str) -> None:
        message = refusal(write(tmp_path, "train.csv", f"sentence,label\na,{label}\n"))
        assert f"train.csv, line 2: the label is {label!r}; only 0 (negative) and 1 (positive) are allowed" in message

    def test_a_digit_of_another_script_is_shown_in_ascii(self, tmp_path: Path) -> None:
        message = refusal(write(tmp_path, "train.csv", "sentence,label\na,\uff11\n"))
        assert "the label is '\uff11', in ASCII '\\uff11'; only 0" in message

    @pytest.mark.parametrize("label", ["1" * 4000, "[" * 900 + "]" * 900, '"' + "x" * 100_000 + '"', "1e999", "-0.5"])
    def test_a_label_of_any_size_is_truncated_in_the_message(self, tmp_path: Path, label: str) -> None:
        message = refusal(write(tmp_path, "train.jsonl", f'{{"sentence": "a", "label": {label}}}'))
        assert "train.jsonl, line 1: the label is" in message
        assert len(message) < 400

    @pytest.mark.parametrize("key", ["sentence", "label"])
    def test_a_duplicate_key_in_json_is_refused(self, tmp_path: Path, key: str) -> None:
        path = write(tmp_path, "train.jsonl", f'{{"sentence": "a", "label": 1, "{key}": "0"}}')
        assert f"'{key}' occurs twice in one object" in refusal(path)


class TestSentences:
    @pytest.mark.parametrize(
        "sentence",
        [
            "so \"good\" , so 'sad'",
            "👩‍👩‍👧 loved it 🇫🇷",
            "סרט נהדר , פשוט",
            "فيلم رائع \u202e!",
            "e\u0301tonnant",
            "\ufeffa mark inside",
            "good" * 2_500_000,
        ],
        ids=["quotes", "emoji", "hebrew", "arabic", "combining", "mark", "ten megabytes"],
    )
    @pytest.mark.parametrize("name", ["train.tsv", "train.csv", "train.jsonl", "train.json", "train.parquet"])
    def test_a_sentence_is_read_unchanged(self, tmp_path: Path, name: str, sentence: str) -> None:
        if name.endswith("parquet"):
            path = write_parquet(tmp_path, {"sentence": [sentence], "label": [1]})
        elif name.endswith("tsv"):
            path = write(tmp_path, name, f"sentence\tlabel\n{sentence}\t1\n")
        elif name.endswith("csv"):
            text = sentence.replace('"', '""')
            path = write(tmp_path, name, f'sentence,label\n"{text}",1\n')
        else:
            entry = {"sentence": sentence, "label": 1}
            path = write(tmp_path, name, json.dumps([entry] if name.endswith("json") else entry, ensure_ascii=False))
        assert read_rows(path) == Rows([sentence], [1])

    def test_the_process_wide_field_limit_of_csv_is_restored(self, tmp_path: Path) -> None:
        before = csv.field_size_limit()
        read_rows(write(tmp_path, "train.csv", "sentence,label\n" + 200_000 * "a" + ",1\n"))
        assert csv.field_size_limit() == before


class TestNotRegularFiles:
    def test_a_folder_with_the_name_of_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "train.tsv").mkdir()
        assert "train.tsv cannot be read: it is a folder" in refusal(tmp_path / "train.tsv")

    @needs_posix
    @pytest.mark.parametrize("name", ["train.tsv", "train.json", "train.parquet"])
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path, name: str) -> None:
        os.mkfifo(tmp_path / name)
        assert "it is not a regular file but a pipe" in refusal(tmp_path / name)

    @needs_posix
    @pytest.mark.parametrize("name", ["train.tsv", "train.parquet"])
    def test_a_device_without_an_end_is_not_read(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).symlink_to("/dev/zero")
        assert "or a device" in refusal(tmp_path / name)

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "train.tsv").symlink_to("train.tsv")
        assert "Too many levels of symbolic links" in refusal(tmp_path / "train.tsv")

    @pytest.mark.parametrize("name", ["train.tsv", "train.parquet"])
    def test_a_file_of_a_terabyte_is_refused_before_it_is_read(self, tmp_path: Path, name: str) -> None:
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)  # a sparse file
        assert "it has 1,048,576 MB, and at most 256 MB are allowed" in refusal(tmp_path / name)

    def test_a_file_that_grows_while_it_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path, "train.tsv", b"sentence\tlabel\n" + b"good\t1\n" * 100)
        monkeypatch.setattr(safe_read, "check_regular_file", lambda *_: None)
        with pytest.raises(Sst2Error, match="at most 0 MB are allowed"):
            safe_read.read_bytes(path, 500)
        assert len(safe_read.read_bytes(path, path.stat().st_size)) == path.stat().st_size

    def test_a_table_that_does_not_fit_into_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_parquet(tmp_path, {"sentence": ["a"], "label": [1]})

        def full(*_: object) -> None:
            raise pa.ArrowMemoryError("malloc of size 1000 failed")

        monkeypatch.setattr("pytest_sst2.data.arrow._check_declared_size", full)
        assert f"{path} does not fit into the free memory" in refusal(path)

    def test_an_empty_file(self, tmp_path: Path) -> None:
        assert "no column 'sentence'" in refusal(write(tmp_path, "train.tsv", b""))
        assert "has no rows" in refusal(write(tmp_path, "train.jsonl", b"\n \n"))


class TestSizes:
    def test_a_hundred_thousand_columns_are_ignored(self, tmp_path: Path) -> None:
        others = "\t".join(map(str, range(100_000)))
        path = write(tmp_path, "train.tsv", f"sentence\tlabel\t{others}\na\t1\t{others}\n")
        assert read_rows(path) == Rows(["a"], [1])

    def test_other_columns_of_a_parquet_file_are_not_decoded(self, tmp_path: Path) -> None:
        path = write_parquet(tmp_path, {"sentence": ["a"], "label": [1], "other": [["x"] * 10]})
        content = path.read_bytes().replace(b"x", b"\xff")
        assert read_rows(write(tmp_path, "train.parquet", content)) == Rows(["a"], [1])

    def test_a_dictionary_column_is_not_decoded_to_one_value_per_row(self, tmp_path: Path) -> None:
        # 6 KB on disk, 10 GB in memory.
        word = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["a" * 100_000]))
        pq.write_table(pa.table({"sentence": word, "label": [1] * 100_000}), tmp_path / "train.parquet")
        tracemalloc.start()
        message = refusal(tmp_path / "train.parquet")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "at most 4,194,304 rows and 256 million characters are allowed" in message
        assert peak < 50 * 2**20

    def test_more_rows_than_allowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(readers, "MAX_ROWS", 1)
        message = refusal(write(tmp_path, "train.tsv", "sentence\tlabel\na\t1\nb\t0\n"))
        assert "train.tsv, line 3: the split is too large; at most 1 rows" in message

    def test_a_row_group_that_declares_too_large_a_size_is_not_decompressed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(arrow_files, "_MAX_GROUP_BYTES", 50)
        assert "MB decompressed; at most" in refusal(write_parquet(tmp_path, {"sentence": ["a"] * 9, "label": [1] * 9}))

    @pytest.mark.parametrize("column", ["sentence", "label"])
    def test_a_column_of_lists_is_refused_with_its_type(self, tmp_path: Path, column: str) -> None:
        message = refusal(write_parquet(tmp_path, {"sentence": ["a"], "label": [1]} | {column: [["a"]]}))
        assert f"column {column!r} has type list" in message

    def test_delta_encoded_text_is_read(self, tmp_path: Path) -> None:
        table = pa.table({"sentence": [*ROWS.sentences], "label": [*ROWS.labels]})
        encodings = {"sentence": "DELTA_BYTE_ARRAY"}
        pq.write_table(table, tmp_path / "train.parquet", use_dictionary=False, column_encoding=encodings)
        assert read_rows(tmp_path / "train.parquet") == ROWS

    def test_damaged_statistics_of_a_column_do_not_crash_the_process(self) -> None:
        # pyarrow 26 crashes if it reads them: "terminate called after throwing a ParquetException".
        sample = SAMPLES / "broken_parquet" / "size_statistics"
        code = f"import sys; sys.argv = ['', {str(sample)!r}]; exec({_READ!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "read or refused\n")


_READ = """
import shutil, sys, tempfile
from pathlib import Path
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.data.readers import read_rows
with tempfile.TemporaryDirectory() as folder:
    try:
        read_rows(Path(shutil.copy(sys.argv[1], Path(folder) / "train.parquet")))
    except Sst2Error:
        pass
print("read or refused")
"""
