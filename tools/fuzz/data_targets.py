"""The readers of sentences and labels: text files, parquet, and the folders that save_to_disk makes."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Sequence
from pathlib import Path

from pytest_sst2.data.readers import Rows, read_rows
from pytest_sst2.data.sources import load_folder
from tools.fuzz.contract import SCRATCH, Target, require
from tools.fuzz.damage import damaged_bytes

# Our own sentences, with what has broken readers: quotes, separators, accents, right-to-left text, an emoji of several
# characters, line separators that are none in these formats.
SENTENCES = ("a warm film", 'so "good" , so\u2028sad', "café\u0085 \u05d0\u05d1", "👩‍👩‍👧 dull", "x")
LABELS = (1, 0, 1, 0, 1)
_WORDS = (
    *(
        b"sentence",
        b"label",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\x1f\x8b",
        b"\0",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\t",
        b'"',
        b'""',
    ),
    *(b"0", b"1", b"-1", b"1.0", b"1e999", b"NaN", b"\xef\xbc\x91", b"\xe2\x80\xa8", b"\xc2\x85", b"\xed\xa0\x80"),
)
_JSON_WORDS = (
    *(b'{"sentence": "a", "label": 1}', b'"sentence":', b'"label":', b"\\ud83d", b"\\u0000", b"null", b"true"),
    *(b"1e999", b"-0", b"[[[[[[[[", b"{", b"}", b"[", b"]", b"Infinity", b"10000000000000000000000"),
)


def check_rows_read(rows: Rows) -> None:
    """Hold rows against what every reader of data promises."""
    require(len(rows.sentences) == len(rows.labels) > 0, f"{len(rows.sentences)} sentences, {len(rows.labels)} labels")
    require(all(type(label) is int and label in (0, 1) for label in rows.labels), f"labels {rows.labels}")
    for sentence in rows.sentences:
        require(type(sentence) is str and bool(sentence.strip()), f"sentence {sentence!r}")
        require("\0" not in sentence, f"sentence {sentence!r}")
        sentence.encode()


def _read_file(name: str, data: bytes) -> None:
    rows = read_rows(SCRATCH.write(name, data))
    check_rows_read(rows)
    lines = (json.dumps({"sentence": s, "label": y}) for s, y in zip(*rows, strict=True))
    again = read_rows(SCRATCH.write("again.jsonl", "\n".join(lines).encode()))
    require(again == rows, f"{rows} came back as {again}")


def _text_seeds(separator: str) -> list[bytes]:
    def quoted(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if separator == "," else text

    rows = [("sentence", "label"), *zip(map(quoted, SENTENCES), map(str, LABELS), strict=True)]
    text = "".join(f"{first}{separator}{second}\n" for first, second in rows)
    turned = "".join(f"{number}{separator}{second}{separator}{first}\n" for number, (first, second) in enumerate(rows))
    return [
        text.encode(),
        turned.encode(),
        text.replace("\n", "\r\n").encode("utf-8-sig"),
        text.replace("\n", "\r").encode(),
        text.encode("utf-16"),
    ]


def _json_seeds() -> list[bytes]:
    entries = [{"sentence": s, "label": y} for s, y in zip(SENTENCES, LABELS, strict=True)]
    lines = "\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    columns = {"sentence": list(SENTENCES), "label": list(LABELS)}
    return [
        lines.encode(),
        json.dumps(entries, indent=1).encode(),
        json.dumps(columns).encode(),
        b'{"sentence": "a"}\n',
    ]


@functools.cache
def _parquet_files() -> Sequence[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"sentence": list(SENTENCES), "label": list(LABELS), "idx": [0, 1, 2, 3, 4]})
    kinds = (
        *({"compression": name} for name in ("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        {"compression": "none", "use_dictionary": False},
        {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
        {"compression": "none", "use_dictionary": False, "column_encoding": {"sentence": "DELTA_BYTE_ARRAY"}},
        {"compression": "none", "use_dictionary": False, "column_encoding": {"label": "DELTA_BINARY_PACKED"}},
        {"compression": "none", "row_group_size": 2, "write_statistics": False, "store_schema": False},
    )
    found = []
    for options in kinds:
        buffer = io.BytesIO()
        pq.write_table(table, buffer, **options)
        found.append(buffer.getvalue())
    for types in ((pa.large_string(), pa.float64()), (pa.dictionary(pa.int32(), pa.string()), pa.string())):
        other = pa.table({"sentence": table["sentence"].cast(types[0]), "label": table["label"].cast(types[1])})
        buffer = io.BytesIO()
        pq.write_table(other, buffer, compression="none")
        found.append(buffer.getvalue())
    return found


# Which file of a saved folder the first byte of an input damages.
_SAVED_FILES = (
    "train/data-00000-of-00001.arrow",
    "train/state.json",
    "train/dataset_info.json",
    "dataset_dict.json",
    "validation/data-00000-of-00001.arrow",
)


@functools.cache
def _saved_folder() -> Path:
    import datasets

    datasets.disable_progress_bars()
    folder = SCRATCH.folder / "saved"
    rows = {"sentence": list(SENTENCES), "label": list(LABELS)}
    split = datasets.Dataset.from_dict(rows)
    datasets.DatasetDict({"train": split, "validation": split}).save_to_disk(str(folder))
    return folder


@functools.cache
def _saved_files() -> Sequence[bytes]:
    return [(_saved_folder() / name).read_bytes() for name in _SAVED_FILES]


def _damaged_saved(script: bytes) -> bytes:
    """Return a damaged file of a saved folder, after the number of the file whose place it takes."""
    number = script[0] % len(_SAVED_FILES) if script else 0
    return bytes([number]) + damaged_bytes([_saved_files()[number]], script)


def _read_saved(data: bytes) -> None:
    sound = _saved_folder()
    path = sound / _SAVED_FILES[data[0] % len(_SAVED_FILES) if data else 0]
    before = path.read_bytes()
    path.write_bytes(data[1:])
    try:
        found = load_folder(sound)
        for split in found.dataset.values():
            check_rows_read(Rows(split["sentence"][:], split["label"][:]))
    finally:
        path.write_bytes(before)


def data_targets() -> Sequence[Target]:
    """Return the targets of this module."""
    return (
        Target("tsv", functools.partial(_read_file, "train.tsv"), lambda: _text_seeds("\t"), _WORDS),
        Target("csv", functools.partial(_read_file, "train.csv"), lambda: _text_seeds(","), _WORDS),
        Target("json", functools.partial(_read_file, "train.json"), _json_seeds, (*_WORDS, *_JSON_WORDS)),
        Target(
            "parquet",
            functools.partial(_read_file, "train.parquet"),
            lambda: [bytes([number, 0, 0]) for number in range(len(_parquet_files()))],
            longest=64,
            build=lambda script: damaged_bytes(_parquet_files(), script),
        ),
        Target(
            "saved",
            _read_saved,
            lambda: [bytes([number, 0, 0]) for number in range(len(_saved_files()))],
            longest=64,
            build=_damaged_saved,
        ),
    )
