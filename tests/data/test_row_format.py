"""Own data as they are: columns and labels that are given, found where they are plain, said, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_sst2.data.readers import Rows, read_rows
from pytest_sst2.data.row_format import RowFormat
from pytest_sst2.data.sources import load_folder
from pytest_sst2.utils.errors import Sst2Error

ROWS = Rows(["a good film", "dull"], [1, 0])


def write(folder: Path, kind: str, names: tuple[str, str], labels: tuple[object, object]) -> Path:
    """Write the two rows with a third column, in a format."""
    path = folder / f"train.{kind}"
    rows = [{"id": 7, names[0]: s, names[1]: label} for s, label in zip(ROWS.sentences, labels, strict=True)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        separator = {"csv": ",", "tsv": "\t"}[kind]
        lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(map(separator.join, lines)) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("names", "labels", "given"),
    [
        (("text", "sentiment"), ("positive", "negative"), RowFormat()),
        (("Review", "Polarity"), (" POS ", "neg"), RowFormat()),
        (("words", "mood"), ("1", "0"), RowFormat(("words", "mood"))),
        (("words", "mood"), ("happy", "sad"), RowFormat(("words", "mood"), ("sad", "happy"))),
        (("sentence", "label"), ("1", "2"), RowFormat(labels=("2", "1"))),
        (("sentence", "label"), ("0", "1.0"), RowFormat(labels=("1", "0"))),
        (("sentence", "label"), ("Positive", "Negative"), RowFormat(labels=("negative", "positive"))),
    ],
)
def test_rows_are_read_by_any_names_in_every_format(
    tmp_path: Path, kind: str, names: tuple[str, str], labels: tuple[str, str], given: RowFormat
) -> None:
    assert read_rows(write(tmp_path, kind, names, labels), given) == ROWS


@pytest.mark.parametrize(
    ("labels", "given"), [((4, 0), ("0", "4")), ((True, False), ("false", "true")), ((1, -1), ("-1", "1"))]
)
def test_numbers_and_truth_values_are_given_as_text(
    tmp_path: Path, labels: tuple[object, object], given: tuple[str, str]
) -> None:
    for kind in ("jsonl", "parquet", "csv"):
        assert read_rows(write(tmp_path, kind, ("text", "label"), labels), RowFormat(labels=given)) == ROWS


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("sentence,text,label", ("sentence", "label")),
        ("id,text,label", ("text", "label")),
        ("tweet,label", None),
        ("index,sentence", None),
        (" Review , Sentiment", (" Review ", " Sentiment")),
        ("text,review,label", None),
        ("text,label,target", None),
        ("a,b", None),
        ("text,x,y", None),
    ],
)
def test_columns_are_found_where_they_are_plain(header: str, columns: tuple[str, str] | None) -> None:
    form = RowFormat()
    if columns is None:
        with pytest.raises(Sst2Error, match="--sst2-columns SENTENCE,LABEL names others"):
            form.columns(header.split(","), "train.csv, line 1")
        return
    assert form.columns(header.split(","), "train.csv, line 1") == columns


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named(separator: str) -> None:
    with pytest.raises(Sst2Error) as refused:
        RowFormat().columns([f"sentence{separator}label"], "train.csv, line 1")
    assert str(refused.value).endswith(
        f"They seem to be separated by {separator!r}: write commas into a .csv file, tabs into a .tsv file."
    )


def test_columns_that_were_given_must_be_there() -> None:
    with pytest.raises(Sst2Error, match=r"no column 'words'\. Its columns are: 'sentence', 'label'"):
        RowFormat(("words", "label")).columns(["sentence", "label"], "train.csv, line 1")


@pytest.mark.parametrize("label", ["1", "maybe", "pos", 1, None, ["x"]])
def test_a_label_that_was_not_given_is_refused(tmp_path: Path, label: object) -> None:
    path = write(tmp_path, "jsonl", ("sentence", "label"), ("happy", label))
    with pytest.raises(Sst2Error) as error:
        read_rows(path, RowFormat(labels=("sad", "happy")))
    assert "only 'sad' (negative) and 'happy' (positive) are allowed" in str(error.value)


def test_the_note_says_how_the_data_were_read(tmp_path: Path) -> None:
    write(tmp_path, "csv", ("text", "sentiment"), ("positive", "negative"))
    (tmp_path / "dev.csv").write_text("text,sentiment\nfine,pos\n", encoding="utf-8")
    assert load_folder(tmp_path).note == (
        "columns 'text' and 'sentiment' read as sentence and label; label 'negative' read as negative; "
        "label 'pos' and 'positive' read as positive"
    )
    assert load_folder(tmp_path).dataset["validation"]["label"][:] == [1]


def save(path: Path, names: list[str], labels: list[int]) -> Path:
    """Write the two rows as ``datasets`` does, with the names of its labels."""
    import datasets

    features = datasets.Features({"sentence": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = datasets.Dataset.from_dict({"sentence": list(ROWS.sentences), "label": labels}, features=features)
    rows.to_parquet(path)
    return path


@pytest.mark.parametrize(
    ("names", "labels", "given"),
    [
        (["negative", "positive"], [1, 0], None),
        (["Positive", "Negative"], [0, 1], None),
        (["positive", "negative"], [0, 1], ("1", "0")),
        (["negative", "neutral", "positive"], [2, 0], None),
        (["bad", "good"], [1, 0], None),
        (["good", "bad"], [0, 1], ("bad", "good")),
        (["stay", "other", "churn"], [0, 2], ("churn", "stay")),
    ],
)
def test_labels_are_read_by_the_names_that_the_file_declares(
    tmp_path: Path, names: list[str], labels: list[int], given: tuple[str, str] | None
) -> None:
    assert read_rows(save(tmp_path / "train.parquet", names, labels), RowFormat(labels=given)) == ROWS


@pytest.mark.parametrize(
    ("train", "validation", "given", "message"),
    [
        (["pos", "neg"], ["neg", "pos"], ("1", "0"), "1 for 'pos', which contradicts --sst2-labels 1,0"),
        (["bad", "good"], ["good", "bad"], None, "1 for 'bad', which contradicts another file: 0 for 'bad'"),
    ],
)
def test_label_names_that_contradict_the_option_or_the_other_split_are_refused(
    tmp_path: Path, train: list[str], validation: list[str], given: tuple[str, str] | None, message: str
) -> None:
    form = RowFormat(labels=given)
    read_rows(save(tmp_path / "train.parquet", train, [0, 1]), form)
    with pytest.raises(Sst2Error, match=message):
        read_rows(save(tmp_path / "validation.parquet", validation, [0, 1]), form)


@pytest.mark.parametrize("kind", ["parquet", "saved"])
def test_splits_with_opposite_label_names_are_read_alike(tmp_path: Path, kind: str) -> None:
    import datasets

    both = datasets.DatasetDict()
    for split, names, labels in (("train", ["Negative", "Positive"], [1, 0]), ("validation", ["pos", "neg"], [0, 1])):
        save(tmp_path / f"{split}.parquet", names, labels)
        both[split] = datasets.Dataset.from_parquet(str(tmp_path / f"{split}.parquet"))
    if kind == "saved":
        both.save_to_disk(str(tmp_path / "saved"))
    source = load_folder(tmp_path / "saved" if kind == "saved" else tmp_path)
    for split in ("train", "validation"):
        assert source.dataset[split]["label"][:] == ROWS.labels
    assert source.note == "label 'neg' read as negative; label 'pos' read as positive"
