"""Sources: every layout people have, every broken one, what ``auto`` does, and how SST-2 is recognised."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_sst2.data import sources
from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import HUB_FILES, HUB_ID, Source, cached_hub, content_digest, load_folder, load_source
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor, FloorKey, Floors
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import make_record

TRAIN = Rows(
    ["a warm film .", "dull , and long", "so good , so sad", "not a film", "it works", "no"], [1, 0, 1, 0, 1, 0]
)
VALIDATION = Rows(["fine , really", "a mess", "hardly dull", "lifeless"], [1, 0, 1, 0])


def rows_of(source: Source, split: str) -> Rows:
    dataset = source.dataset[split]
    return Rows(dataset["sentence"][:], dataset["label"][:])


def part(rows: Rows, first: int, last: int) -> Rows:
    return Rows(rows.sentences[first:last], rows.labels[first:last])


def tsv(path: Path, rows: Rows) -> Path:
    lines = [f"{sentence}\t{label}" for sentence, label in zip(*rows, strict=True)]
    return text(path, "\n".join(["sentence\tlabel", *lines]) + "\n")


def comma(path: Path, rows: Rows) -> Path:
    """Write a CSV file as pandas does, its index included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["", "sentence", "label"])
        writer.writerows((number, *row) for number, row in enumerate(zip(*rows, strict=True)))
    return path


def objects(rows: Rows) -> list[dict[str, Any]]:
    return [{"idx": n, "sentence": s, "label": y} for n, (s, y) in enumerate(zip(*rows, strict=True))]


def lines(path: Path, rows: Rows) -> Path:
    return text(path, "".join(json.dumps(entry) + "\n" for entry in objects(rows)))


def array(path: Path, rows: Rows) -> Path:
    return text(path, json.dumps(objects(rows), indent=2))


def parquet(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"idx": list(range(len(rows.labels))), "sentence": rows.sentences, "label": rows.labels}
    pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="\n")
    return path


def saved(folder: Path, **splits: Rows) -> datasets.DatasetDict:
    """Return what is then to be saved to ``folder``, with an ``idx`` column as on the Hub."""
    features = datasets.Features(
        idx=datasets.Value("int32"),
        sentence=datasets.Value("string"),
        label=datasets.ClassLabel(names=["negative", "positive"]),
    )
    found = {
        name: datasets.Dataset.from_dict(
            {"idx": list(range(len(rows.labels))), "sentence": rows.sentences, "label": rows.labels}, features=features
        )
        for name, rows in splits.items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    return datasets.DatasetDict(found)


UNLABELLED = Rows(["who knows"], [-1])


def glue_tsv(folder: Path) -> None:
    tsv(folder / "train.tsv", TRAIN)
    tsv(folder / "dev.tsv", VALIDATION)
    text(folder / "test.tsv", "index\tsentence\n0\twho knows\n")


def glue_archive_unpacked_on_a_mac(folder: Path) -> None:
    glue_tsv(folder / "SST-2")
    text(folder / "SST-2" / "original" / "dictionary.txt", "good|1\n")
    text(folder / "__MACOSX" / "SST-2" / "._train.tsv", "\x00\x05\x16\x07")
    text(folder / "SST-2" / "._train.tsv", "\x00\x05\x16\x07")


def csv_files(folder: Path) -> None:
    comma(folder / "train.csv", TRAIN)
    comma(folder / "validation.csv", VALIDATION)


def csv_files_of_other_names(folder: Path) -> None:
    comma(folder / "reviews_training.csv", TRAIN)
    comma(folder / "reviews_valid.csv", VALIDATION)
    comma(folder / "reviews_test.csv", UNLABELLED)


def shouted_names(folder: Path) -> None:
    tsv(folder / "TRAIN.TSV", TRAIN)
    tsv(folder / "VAL.TSV", VALIDATION)


def json_lines(folder: Path) -> None:
    lines(folder / "train.jsonl", TRAIN)
    lines(folder / "dev.jsonl", VALIDATION)
    lines(folder / "test.jsonl", UNLABELLED)


def json_arrays(folder: Path) -> None:
    array(folder / "train.json", TRAIN)
    array(folder / "validation.json", VALIDATION)
    text(folder / "dataset_infos.json", "{}")


def mixed_formats(folder: Path) -> None:
    parquet(folder / "train.parquet", TRAIN)
    lines(folder / "dev.jsonl", VALIDATION)


def single_parquet(folder: Path) -> None:
    parquet(folder / "train.parquet", TRAIN)
    parquet(folder / "validation.parquet", VALIDATION)
    parquet(folder / "test.parquet", UNLABELLED)


def clone_of_the_hub_repository(folder: Path) -> None:
    parquet(folder / "data" / "train-00000-of-00001.parquet", TRAIN)
    parquet(folder / "data" / "validation-00000-of-00001.parquet", VALIDATION)
    parquet(folder / "data" / "test-00000-of-00001.parquet", UNLABELLED)
    text(folder / "README.md", "# SST-2\n")
    text(folder / ".gitattributes", "*.parquet filter=lfs\n")


def sharded_parquet(folder: Path) -> None:
    for number in range(3):
        parquet(folder / f"train-0000{number}-of-00003.parquet", part(TRAIN, 2 * number, 2 * number + 2))
    parquet(folder / "validation-00000-of-00002.parquet", part(VALIDATION, 0, 3))
    parquet(folder / "validation-00001-of-00002.parquet", part(VALIDATION, 3, 4))


def older_hub_name_with_a_hash(folder: Path) -> None:
    parquet(folder / "data" / "train-00000-of-00001-b42a775f407cee45.parquet", TRAIN)
    parquet(folder / "data" / "validation-00000-of-00001-134b8fd0c89408b6.parquet", VALIDATION)


def folders_for_splits(folder: Path) -> None:
    lines(folder / "train" / "reviews.jsonl", TRAIN)
    lines(folder / "validation" / "reviews.jsonl", VALIDATION)
    lines(folder / "test" / "reviews.jsonl", UNLABELLED)


def hub_conversion_two_levels_down(folder: Path) -> None:
    parquet(folder / "default" / "train" / "0000.parquet", TRAIN)
    parquet(folder / "default" / "validation" / "0000.parquet", VALIDATION)
    parquet(folder / "default" / "test" / "0000.parquet", UNLABELLED)


def folders_that_repeat_the_split(folder: Path) -> None:
    tsv(folder / "train" / "train.tsv", TRAIN)
    tsv(folder / "dev" / "dev.tsv", VALIDATION)


def save_to_disk(folder: Path) -> None:
    saved(folder, train=TRAIN, validation=VALIDATION, test=UNLABELLED).save_to_disk(str(folder))


def save_to_disk_with_dev(folder: Path) -> None:
    saved(folder, train=TRAIN, dev=VALIDATION).save_to_disk(str(folder))


def save_to_disk_in_shards(folder: Path) -> None:
    saved(folder, train=TRAIN, validation=VALIDATION).save_to_disk(
        str(folder), num_shards={"train": 3, "validation": 1}
    )


LAYOUTS = [
    glue_tsv,
    glue_archive_unpacked_on_a_mac,
    csv_files,
    csv_files_of_other_names,
    shouted_names,
    json_lines,
    json_arrays,
    mixed_formats,
    single_parquet,
    clone_of_the_hub_repository,
    sharded_parquet,
    older_hub_name_with_a_hash,
    folders_for_splits,
    hub_conversion_two_levels_down,
    folders_that_repeat_the_split,
    save_to_disk,
    save_to_disk_with_dev,
    save_to_disk_in_shards,
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_rows_in_file_order(tmp_path: Path, layout: Callable[[Path], None]) -> None:
    layout(tmp_path / "reviews")

    source = load_folder(tmp_path / "reviews")

    assert rows_of(source, "train") == TRAIN
    assert rows_of(source, "validation") == VALIDATION
    assert set(source.dataset) == {"train", "validation"}
    assert source.dataset["train"].column_names == ["sentence", "label"]
    assert source.dataset["validation"].features["label"].names == ["negative", "positive"]
    assert (source.name, source.source, source.note) == ("reviews", "folder", "")


def test_the_revision_of_a_folder_is_that_of_its_rows_not_of_its_files(tmp_path: Path) -> None:
    glue_tsv(tmp_path / "one")
    sharded_parquet(tmp_path / "two")
    glue_tsv(tmp_path / "other")
    tsv(tmp_path / "other" / "dev.tsv", Rows(VALIDATION.sentences, [0, 0, 1, 0]))

    one, two, other = (load_folder(tmp_path / name).revision for name in ("one", "two", "other"))

    assert one == two != other
    assert one.startswith("sha256:")
    assert len(one) == len("sha256:") + 12


def test_the_digest_is_that_of_sentence_tab_label_newline() -> None:
    rows = Rows([" a film ", "no"], [1, 0])
    assert content_digest(rows) == hashlib.sha256(b" a film \t1\nno\t0\n").hexdigest()
    assert content_digest(rows, strip=True) == hashlib.sha256(b"a film\t1\nno\t0\n").hexdigest()


def test_rows_without_as_many_labels_have_no_digest() -> None:
    with pytest.raises(ValueError, match="shorter"):
        content_digest(Rows(["a film", "no"], [1]))


def test_the_digest_is_the_same_for_rows_and_for_a_dataset(tmp_path: Path) -> None:
    glue_tsv(tmp_path)
    assert content_digest(load_folder(tmp_path).dataset["train"]) == content_digest(TRAIN)


def test_the_folder_in_which_the_files_were_found_is_told_and_no_part_of_the_name(tmp_path: Path) -> None:
    glue_tsv(tmp_path / "reviews" / "data")
    source = load_folder(tmp_path / "reviews")
    assert (source.name, source.source, source.place) == ("reviews", "folder", str(tmp_path / "reviews" / "data"))


@pytest.mark.parametrize("names", [["negative", "positive"], ["neg", "pos"], ["0", "1"], ["bad", "good"], ["no", "x"]])
def test_classes_that_are_named_as_here_or_otherwise_are_read(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "reviews"
    both = saved(folder, train=TRAIN, validation=VALIDATION)
    both.cast_column("label", datasets.ClassLabel(names=names)).save_to_disk(str(folder))
    assert rows_of(load_folder(folder), "train") == TRAIN


@pytest.mark.parametrize("said", ["", "[]", "{", '{"info": {"features": {"label": {"names": [0, 1]}}}}', '{"info": 1}'])
def test_what_a_schema_says_besides_and_nobody_understands_is_passed_over(tmp_path: Path, said: str) -> None:
    for name, rows in (("train", TRAIN), ("validation", VALIDATION)):
        table = pa.table({"sentence": rows.sentences, "label": rows.labels})
        pq.write_table(table.replace_schema_metadata({"huggingface": said}), tmp_path / f"{name}.parquet")
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_the_shallowest_level_with_both_splits_is_taken(tmp_path: Path) -> None:
    glue_tsv(tmp_path)
    tsv(tmp_path / "old" / "train.tsv", Rows(["an older file"], [0]))
    tsv(tmp_path / "old" / "dev.tsv", Rows(["an older file"], [0]))
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def no_validation(folder: Path) -> None:
    tsv(folder / "train.tsv", TRAIN)
    tsv(folder / "test.tsv", VALIDATION)


def wrong_label_in_dev(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "dev.tsv", "sentence\tlabel\nfine\t1\na mess\tnegative\n")


def unlabelled_dev(folder: Path) -> None:
    glue_tsv(folder)
    tsv(folder / "dev.tsv", UNLABELLED)


def dev_without_labels(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "dev.tsv", "index\tsentence\n0\twho knows\n")


def empty_sentence_in_train(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "train.tsv", "sentence\tlabel\nfine\t1\n\t0\n")


def ragged_csv(folder: Path) -> None:
    csv_files(folder)
    text(folder / "train.csv", "sentence,label\nfine,1\ndull , and long,0\n")


def truncated_json(folder: Path) -> None:
    json_lines(folder)
    text(folder / "dev.jsonl", '{"sentence": "fine", "label": 1}\n{"sentence": "a me')


def truncated_json_array(folder: Path) -> None:
    json_arrays(folder)
    text(folder / "validation.json", '[\n{"sentence": "fine", "label": 1},\n{"sentence": "a mess"')


def not_utf8(folder: Path) -> None:
    glue_tsv(folder)
    (folder / "dev.tsv").write_bytes(b"sentence\tlabel\nfine\t1\nclich\xe9\t0\n")


def header_only(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "dev.tsv", "sentence\tlabel\n")


def no_header(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "train.tsv", "a warm film .\t1\n")


def pointer_instead_of_parquet(folder: Path) -> None:
    clone_of_the_hub_repository(folder)
    text(folder / "data" / "train-00000-of-00001.parquet", "version https://git-lfs.github.com/spec/v1\n")


def parquet_with_null(folder: Path) -> None:
    single_parquet(folder)
    parquet(folder / "validation.parquet", Rows(["fine", "a mess"], [1, None]))  # type: ignore[list-item]


def bad_row_in_the_second_shard(folder: Path) -> None:
    sharded_parquet(folder)
    parquet(folder / "train-00001-of-00003.parquet", Rows(["fine", "a mess"], [1, 3]))


def two_files_for_train(folder: Path) -> None:
    glue_tsv(folder)
    tsv(folder / "train_full.tsv", TRAIN)


def two_formats_of_train(folder: Path) -> None:
    glue_tsv(folder)
    lines(folder / "train.jsonl", TRAIN)


def shards_of_two_formats(folder: Path) -> None:
    single_parquet(folder)
    (folder / "train.parquet").rename(folder / "train-00000-of-00002.parquet")
    lines(folder / "train-00001-of-00002.jsonl", TRAIN)


def two_tasks_side_by_side(folder: Path) -> None:
    glue_tsv(folder / "SST-2")
    glue_tsv(folder / "CoLA")


def a_shard_missing(folder: Path) -> None:
    sharded_parquet(folder)
    (folder / "train-00001-of-00003.parquet").unlink()


def the_first_shard_missing(folder: Path) -> None:
    sharded_parquet(folder)
    (folder / "validation-00000-of-00002.parquet").unlink()


def a_shard_beside_the_whole(folder: Path) -> None:
    single_parquet(folder)
    parquet(folder / "train-00000-of-00001.parquet", TRAIN)


def shards_of_two_sizes(folder: Path) -> None:
    sharded_parquet(folder)
    parquet(folder / "train-00000-of-00004.parquet", TRAIN)


OF_TWO_SETS = ("00000-of-00003", "00001-of-00003", "00002-of-00004")


def a_shard_of_another_set(folder: Path) -> None:
    single_parquet(folder)
    (folder / "train.parquet").unlink()
    for name in OF_TWO_SETS:
        parquet(folder / f"train-{name}.parquet", part(TRAIN, 0, 2))


def a_shard_twice(folder: Path) -> None:
    for place in ("a", "b"):
        parquet(folder / place / "train-00000-of-00002.parquet", part(TRAIN, 0, 3))
    parquet(folder / "a" / "validation.parquet", VALIDATION)


def a_shard_beyond_the_last(folder: Path) -> None:
    sharded_parquet(folder)
    (folder / "train-00000-of-00003.parquet").rename(folder / "train-00003-of-00003.parquet")


def more_shards_than_any_disk_has(folder: Path) -> None:
    single_parquet(folder)
    (folder / "train.parquet").rename(folder / "train-00000-of-1000000000000.parquet")


def saved_without_validation(folder: Path) -> None:
    saved(folder, train=TRAIN, test=VALIDATION).save_to_disk(str(folder))


def saved_with_unlabelled_row(folder: Path) -> None:
    saved(folder, train=TRAIN, validation=Rows(["fine", "who knows"], [1, -1])).save_to_disk(str(folder))


def saved_and_damaged(folder: Path) -> None:
    save_to_disk(folder)
    (folder / "train" / "data-00000-of-00001.arrow").write_bytes(b"ARROW")


def saved_with_a_file_missing(folder: Path) -> None:
    save_to_disk(folder)
    (folder / "validation" / "data-00000-of-00001.arrow").unlink()


def changed_json(path: Path, **changes: Any) -> None:
    text(path, json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}))


def saved_out_of_its_folder(folder: Path) -> None:
    save_to_disk(folder)
    changed_json(folder / "train" / "state.json", _data_files=[{"filename": "../validation/data-00000-of-00001.arrow"}])


def saved_without_a_list_of_splits(folder: Path) -> None:
    save_to_disk(folder)
    changed_json(folder / "dataset_dict.json", splits={"train": 1})


def saved_and_compressed(folder: Path) -> None:
    save_to_disk(folder)
    path = folder / "train" / "data-00000-of-00001.arrow"
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema, options=options) as stream:
        stream.write_table(table)


def saved_by_an_old_release(folder: Path) -> None:
    save_to_disk(folder)
    changed_json(folder / "train" / "state.json", _indices_data_files=[{"filename": "indices.arrow"}])


def labelled_the_other_way_round(folder: Path) -> datasets.DatasetDict:
    """Return what is then to be saved, its validation split with the names of its classes turned round."""
    both = saved(folder, train=TRAIN, validation=VALIDATION)
    other = datasets.ClassLabel(names=["Positive", "Negative"])
    both["validation"] = both["validation"].cast_column("label", other)
    return both


def saved_with_names_turned_round(folder: Path) -> None:
    labelled_the_other_way_round(folder).save_to_disk(str(folder))


def parquet_with_names_turned_round(folder: Path) -> None:
    folder.mkdir()
    for name, rows in labelled_the_other_way_round(folder).items():
        rows.to_parquet(folder / f"{name}.parquet")


def splits_that_lie_apart(folder: Path) -> None:
    tsv(folder / "reviews" / "train.tsv", TRAIN)
    tsv(folder / "tweets" / "dev.tsv", VALIDATION)


def a_folder_called_train_tsv(folder: Path) -> None:
    glue_tsv(folder)
    (folder / "train.tsv").unlink()
    (folder / "train.tsv").mkdir()


def a_pipe_called_dev_tsv(folder: Path) -> None:
    glue_tsv(folder)
    (folder / "dev.tsv").unlink()
    os.mkfifo(folder / "dev.tsv")


def a_link_in_a_circle(folder: Path) -> None:
    glue_tsv(folder)
    (folder / "dev.tsv").unlink()
    (folder / "dev.tsv").symlink_to("dev.tsv")


def saved_with_other_columns(folder: Path) -> None:
    both = saved(folder, train=TRAIN, validation=VALIDATION).rename_column("sentence", "text")
    both.save_to_disk(str(folder))


def saved_without_rows(folder: Path) -> None:
    saved(folder, train=TRAIN, validation=Rows([], [])).save_to_disk(str(folder))


NO_DATA_SET = (
    "{folder} holds no data set: a file each for train and validation is needed (train.tsv and dev.tsv, "
    "train-00000-of-00001.parquet and so on; .tsv, .csv, .jsonl, .json, .parquet), or a folder made by "
    "DatasetDict.save_to_disk."
)
NOT_ONE = "are not the parts of one train split; keep those of one, or name a folder that holds one."
KEEP_ONE = "could each be the train split; keep one, or name a folder that holds one."


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (Path.mkdir, [NO_DATA_SET]),
        (no_validation, ["{folder} holds no data set", "train and validation"]),
        (wrong_label_in_dev, ["dev.tsv, line 3", "'negative'", "0 (negative) and 1 (positive)"]),
        (unlabelled_dev, ["dev.tsv, line 2", "'-1'", "unlabelled test split"]),
        (dev_without_labels, ["dev.tsv, line 1", "no column 'label'", "'index', 'sentence'"]),
        (empty_sentence_in_train, ["train.tsv, line 3", "sentence is empty"]),
        (ragged_csv, ["train.csv, line 3", "3 columns where the header has 2", "quotes"]),
        (truncated_json, ["dev.jsonl, line 2", "not valid JSON"]),
        (truncated_json_array, ["validation.json, line 3", "not valid JSON"]),
        (not_utf8, ["dev.tsv, line 3", "UTF-8"]),
        (header_only, ["{folder}/dev.tsv has no rows"]),
        (no_header, ["train.tsv, line 1", "no column 'sentence'", "'a warm film .'"]),
        (pointer_instead_of_parquet, ["train-00000-of-00001.parquet", "not a readable parquet file"]),
        (parquet_with_null, ["validation.parquet, row 2", "label is None"]),
        (bad_row_in_the_second_shard, ["train-00001-of-00003.parquet, row 2", "label is 3"]),
        (two_files_for_train, [f"{{folder}}/train.tsv, {{folder}}/train_full.tsv {KEEP_ONE}"]),
        (two_formats_of_train, [f"{{folder}}/train.jsonl, {{folder}}/train.tsv {KEEP_ONE}"]),
        (a_shard_beside_the_whole, [f"{{folder}}/train-00000-of-00001.parquet, {{folder}}/train.parquet {KEEP_ONE}"]),
        (shards_of_two_formats, [f"{{folder}}/train-00001-of-00002.jsonl {KEEP_ONE}"]),
        (two_tasks_side_by_side, [f"{{folder}}/CoLA/train.tsv, {{folder}}/SST-2/train.tsv {KEEP_ONE}"]),
        (a_shard_missing, ["{folder}: only 2 of 3 files of the train split are there."]),
        (the_first_shard_missing, ["{folder}: only 1 of 2 files of the validation split are there."]),
        (shards_of_two_sizes, [f"{{folder}}/train-00002-of-00003.parquet {NOT_ONE}"]),
        (
            a_shard_of_another_set,
            [", ".join(f"{{folder}}/train-{each}.parquet" for each in OF_TWO_SETS) + f" {NOT_ONE}"],
        ),
        (a_shard_twice, [f"{{folder}}/b/train-00000-of-00002.parquet {NOT_ONE}"]),
        (a_shard_beyond_the_last, [f"{{folder}}/train-00003-of-00003.parquet {NOT_ONE}"]),
        (more_shards_than_any_disk_has, ["{folder}: only 1 of 1000000000000 files of the train split are there."]),
        (saved_without_validation, ["{folder}", "no split 'validation'", "'train', 'test'"]),
        (saved_with_unlabelled_row, ["reviews, split 'validation', row 2", "-1", "unlabelled"]),
        (saved_and_damaged, ["{folder}/train/data-00000-of-00001.arrow", "not a readable Arrow file"]),
        (saved_with_a_file_missing, ["{folder}/validation/data-00000-of-00001.arrow cannot be read: No such file"]),
        (saved_with_other_columns, ["{folder}/train/data-00000", "no column 'sentence'", "'text'"]),
        (
            saved_with_names_turned_round,
            ["{folder}/validation/data", "0 for 'positive' and 1 for 'negative'", "1 - label"],
        ),
        (parquet_with_names_turned_round, ["validation.parquet", "0 for 'positive' and 1 for 'negative'"]),
        (
            splits_that_lie_apart,
            [
                "{folder}/reviews/train.tsv and {folder}/tweets/dev.tsv lie apart",
                "Name the folder that holds both splits of one.",
            ],
        ),
        (
            a_folder_called_train_tsv,
            ["holds no data set", "train.tsv is passed over: a folder, a pipe or a broken link"],
        ),
        (a_pipe_called_dev_tsv, ["holds no data set", "dev.tsv is passed over: a folder, a pipe or a broken link"]),
        (a_link_in_a_circle, ["holds no data set", "dev.tsv is passed over: a folder, a pipe or a broken link"]),
        (saved_out_of_its_folder, ["{folder}/train/state.json", "names no files beside it"]),
        (saved_without_a_list_of_splits, ["{folder}/dataset_dict.json", "no list of splits"]),
        (saved_and_compressed, ["{folder}/train/data-00000-of-00001.arrow: it is compressed"]),
        (saved_by_an_old_release, ["{folder}/train", "old release of datasets"]),
    ],
)
def test_every_broken_folder_is_refused_with_file_and_line(
    tmp_path: Path, broken: Callable[[Path], None], parts: list[str]
) -> None:
    folder = tmp_path / "reviews"
    broken(folder)

    with pytest.raises(Sst2Error) as caught:
        load_folder(folder)

    assert [part for part in parts if part.format(folder=folder) not in str(caught.value)] == []


def test_a_saved_split_without_rows_is_refused_also_where_datasets_cannot_read_it_back(tmp_path: Path) -> None:
    saved_without_rows(tmp_path / "reviews")
    with pytest.raises(Sst2Error, match=r"reviews.*(has no rows|cannot read it)"):
        load_folder(tmp_path / "reviews")


@pytest.mark.parametrize("name", ["sst2", "pocket"])
def test_a_folder_called_like_a_known_data_set_does_not_pass_for_it(tmp_path: Path, name: str) -> None:
    glue_tsv(tmp_path / name)
    assert load_folder(tmp_path / name).name == f"folder {name}"


def test_what_is_told_of_the_rows_decides_their_revision_sentence_and_label_and_split(tmp_path: Path) -> None:
    tsv(tmp_path / "one" / "train.tsv", TRAIN)
    tsv(tmp_path / "one" / "dev.tsv", VALIDATION)
    tsv(tmp_path / "swapped" / "train.tsv", VALIDATION)
    tsv(tmp_path / "swapped" / "dev.tsv", TRAIN)
    one, swapped = (load_folder(tmp_path / name).revision for name in ("one", "swapped"))
    both = content_digest(TRAIN) + content_digest(VALIDATION)
    assert one == f"sha256:{hashlib.sha256(both.encode()).hexdigest()[:12]}"
    assert one != swapped


def test_half_of_the_shards_in_the_older_naming_is_not_the_whole_split(tmp_path: Path) -> None:
    older_hub_name_with_a_hash(tmp_path)
    data = tmp_path / "data"
    (data / "train-00000-of-00001-b42a775f407cee45.parquet").rename(
        data / "train-00000-of-00002-b42a775f407cee45.parquet"
    )
    with pytest.raises(Sst2Error, match="1 of"):
        load_folder(tmp_path)


def test_all_shards_in_the_older_naming_are_one_split(tmp_path: Path) -> None:
    parquet(tmp_path / "data" / "train-00000-of-00002-b42a775f407cee45.parquet", part(TRAIN, 0, 3))
    parquet(tmp_path / "data" / "train-00001-of-00002-134b8fd0c89408b6.parquet", part(TRAIN, 3, 6))
    parquet(tmp_path / "data" / "validation-00000-of-00001-134b8fd0c89408b6.parquet", VALIDATION)
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


@pytest.mark.parametrize("name", ["dev", "train"])
def test_a_folder_may_be_called_dev_or_train_and_hold_other_files(tmp_path: Path, name: str) -> None:
    glue_tsv(tmp_path / name)
    text(tmp_path / name / "vocabulary.json", "{}")
    source = load_folder(tmp_path / name)
    assert rows_of(source, "train") == TRAIN
    assert source.place == str(tmp_path / name)


def test_three_levels_down_nothing_is_looked_for(tmp_path: Path) -> None:
    glue_tsv(tmp_path / "a" / "b" / "c")
    assert rows_of(load_folder(tmp_path / "a"), "train") == TRAIN
    with pytest.raises(Sst2Error, match="holds no data set"):
        load_folder(tmp_path)


def test_hidden_folders_and_hidden_files_are_passed_over(tmp_path: Path) -> None:
    tsv(tmp_path / ".train.tsv", VALIDATION)
    glue_tsv(tmp_path / ".cache")
    with pytest.raises(Sst2Error, match="holds no data set"):
        load_folder(tmp_path)
    glue_tsv(tmp_path / "data")
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_a_folder_may_have_the_name_of_a_file(tmp_path: Path) -> None:
    glue_tsv(tmp_path)
    (tmp_path / "train.csv").mkdir()
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_shards_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in range(11, -1, -1):
        parquet(tmp_path / f"train-{number:05}-of-00012.parquet", Rows([f"sentence {number}"], [number % 2]))
    parquet(tmp_path / "validation-00000-of-00001.parquet", VALIDATION)
    rows = rows_of(load_folder(tmp_path), "train")
    assert rows == Rows([f"sentence {number}" for number in range(12)], [0, 1] * 6)


@pytest.mark.parametrize("name", ["test", "info", "state"])
def test_in_a_folder_called_train_other_files_are_none_of_the_split(tmp_path: Path, name: str) -> None:
    lines(tmp_path / "train" / "reviews.jsonl", TRAIN)
    text(tmp_path / "train" / f"dataset_{name}.json", "{}")
    lines(tmp_path / "dev" / "reviews.jsonl", VALIDATION)
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_a_folder_called_dev_does_not_make_any_file_in_it_the_validation_split(tmp_path: Path) -> None:
    tsv(tmp_path / "dev" / "train.tsv", TRAIN)
    tsv(tmp_path / "dev" / "unused.tsv", VALIDATION)
    with pytest.raises(Sst2Error, match="holds no data set"):
        load_folder(tmp_path / "dev")


def test_a_data_set_saved_in_the_format_of_a_library_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    saved(folder, train=TRAIN, validation=VALIDATION).with_format("numpy").save_to_disk(str(folder))
    assert rows_of(load_folder(folder), "train") == TRAIN


def test_a_data_set_saved_with_a_format_of_some_columns_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    both = saved(folder, train=TRAIN, validation=VALIDATION).with_format("numpy", columns=["label"])
    both.save_to_disk(str(folder))
    assert rows_of(load_folder(folder), "train") == TRAIN


def test_a_saved_dictionary_of_words_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    path = folder / "train" / "data-00000-of-00001.arrow"
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    table = pa.table({"sentence": table["sentence"].dictionary_encode(), "label": table["label"]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    assert rows_of(load_folder(folder), "train") == TRAIN


def test_an_extra_column_of_a_saved_data_set_is_not_even_decoded(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    both = saved(folder, train=TRAIN, validation=VALIDATION)
    for name, rows in both.items():
        posters = [{"bytes": b"no image", "path": None}] * len(rows)
        both[name] = rows.add_column("poster", posters).cast_column("poster", datasets.Image())
    both.save_to_disk(str(folder))
    assert rows_of(load_folder(folder), "train") == TRAIN


def test_half_an_emoji_is_refused_with_file_and_line(tmp_path: Path) -> None:
    json_lines(tmp_path)
    text(tmp_path / "dev.jsonl", '{"sentence": "good \\ud83d", "label": 1}\n')
    with pytest.raises(Sst2Error, match=r"dev\.jsonl, line 1"):
        load_folder(tmp_path)


def test_splits_saved_one_by_one_are_told_to_be_saved_together(tmp_path: Path) -> None:
    for name, rows in saved(tmp_path, train=TRAIN, validation=VALIDATION).items():
        rows.save_to_disk(str(tmp_path / name))
    with pytest.raises(Sst2Error, match="DatasetDict"):
        load_folder(tmp_path)


# What --sst2-data asks for, and what the Hub has to offer.

COMMIT = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"
REASON = "https://hub.test cannot be reached (no such name)"


def refuse_download(*_: Any, **__: Any) -> hub.Snapshot:
    raise hub.HubError(REASON)


def fail_if_asked(*_: Any, **__: Any) -> hub.Snapshot:
    raise AssertionError("the Hub was asked")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's clients."""
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "hub-cache")
    return tmp_path / "hub-cache"


@pytest.fixture
def unreachable(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and no Hub to fill it from."""
    monkeypatch.setattr(hub, "download_snapshot", refuse_download)
    return hub_cache


def cached(hub_cache: Path, commit: str = COMMIT) -> Path:
    """Return the folder of the data set's snapshot in the cache, where ``main`` points to it."""
    repository = hub_cache / "datasets--stanfordnlp--sst2"
    text(repository / "refs" / "main", commit)
    return repository / "snapshots" / commit


def floors_for(*names: str) -> Floors:
    keys = [FloorKey(name, "quick", "minilm", "linear-probe") for name in names]
    return Floors({key: Floor(0.7, "by hand") for key in keys}, "floors/ours.toml")


def test_auto_without_cache_and_hub_takes_the_pocket_set_and_says_why(unreachable: Path) -> None:
    source = load_source("auto")
    assert (source.name, source.source) == ("pocket", "pocket")
    assert source.note == f"built-in pocket set of 1,200 sentences, not SST-2, taken because {REASON}"


def refusal(data: str, **options: Any) -> str:
    with pytest.raises(Sst2Error) as caught:
        load_source(data, **options)
    return str(caught.value)


@pytest.mark.parametrize("named", ["", ".", "..", "../x.arrow", "/x.arrow", "below/x.arrow", 5, None])
def test_a_saved_split_has_its_files_beside_what_names_them(tmp_path: Path, named: Any) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    changed_json(folder / "train" / "state.json", _data_files=[{"filename": named}])
    assert refusal(str(folder)) == f"{folder / 'train' / 'state.json'} names no files beside it, as save_to_disk does."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is not as save_to_disk writes it: an object is wanted."),
        ("{", "is not readable JSON: Expecting property name enclosed in double quotes in line 1, column 2."),
        (" " * (2**20 + 1), "cannot be read: it has 1 MB, and at most 1 MB are read into memory."),
        ("{}", "names no files beside it, as save_to_disk does."),
    ],
)
def test_what_a_saved_split_says_of_itself_is_an_object_of_bearable_size(
    tmp_path: Path, content: str, said: str
) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    text(folder / "train" / "state.json", content)
    assert refusal(str(folder)) == f"{folder / 'train' / 'state.json'} {said}"


@pytest.mark.parametrize(
    ("splits", "shown"),
    [([], "none"), (["a" * 50], repr("a" * 40)), ([*"abcdefgh"], "'a', 'b', 'c', 'd', 'e', 'f'")],
)
def test_the_splits_that_are_there_are_shown_as_far_as_they_fit(tmp_path: Path, splits: list[str], shown: str) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    changed_json(folder / "dataset_dict.json", splits=splits)
    assert refusal(str(folder)) == f"{folder} has no split 'train'; it has {shown}."


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "or a folder made by DatasetDict.save_to_disk."),
        (("a.csv", "b.tsv"), " a.csv, b.tsv are passed over: a folder, a pipe or a broken link."),
        (
            ("a.csv", "b.tsv", "c.json", "d.csv"),
            " a.csv, b.tsv, c.json are passed over: a folder, a pipe or a broken link.",
        ),
    ],
)
def test_what_has_the_name_of_a_file_and_is_none_is_named(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert refusal(str(tmp_path)).endswith(said)


def test_a_folder_that_may_not_be_listed_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glue_tsv(tmp_path)

    def refuse(_folder: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(str(tmp_path)) == f"{tmp_path} cannot be read: Permission denied."


def baseline_of(*names: str) -> Results:
    dataset = make_record().dataset
    records = [make_record(dataset=dataclasses.replace(dataset, name=name)) for name in names]
    return Results(records, (), origin="main")


UNDER_CI = "Under CI nothing is put in its place. "
OTHER_FLOORS = "floors/ours.toml has floors for other data than the pocket set, so nothing is put in its place. "
OTHER_BASELINE = "Baseline 'main' is of other data than the pocket set, so nothing is put in its place. "
WAYS_ON = (
    "Three ways on: run once where the Hub can be reached, to fill the cache; --sst2-data=FOLDER with your own copy; "
    "or --sst2-data pocket for the built-in set, which is not SST-2."
)


@pytest.mark.parametrize(
    ("data", "options", "because"),
    [
        ("hub", {}, ""),
        ("hub", {"ci": True}, ""),
        ("hub", {"floors": floors_for("pocket")}, ""),
        ("auto", {"ci": True}, UNDER_CI),
        ("auto", {"ci": True, "floors": floors_for("pocket")}, UNDER_CI),
        ("auto", {"floors": floors_for("sst2")}, OTHER_FLOORS),
        ("auto", {"baseline": baseline_of("sst2")}, OTHER_BASELINE),
        ("auto", {"baseline": baseline_of("sst2"), "floors": floors_for("pocket")}, OTHER_BASELINE),
    ],
)
def test_nothing_is_put_in_the_place_of_sst2_where_it_could_pass_for_a_result(
    unreachable: Path, data: str, options: dict[str, Any], because: str
) -> None:
    tried = f"SST-2 could not be had from the Hub: the cache in {unreachable} has no complete copy of {HUB_ID}, and "
    assert refusal(data, **options) == f"{tried}{REASON}. {because}{WAYS_ON}"


@pytest.mark.parametrize("names", [["pocket"], ["sst2", "pocket"]])
def test_auto_takes_the_pocket_set_where_the_floors_or_the_baseline_asked_for_have_it(
    unreachable: Path, names: list[str]
) -> None:
    assert load_source("auto", floors=floors_for(*names)).name == "pocket"
    assert load_source("auto", baseline=baseline_of(*names)).name == "pocket"


@pytest.mark.parametrize("data", ["auto", "hub"])
@pytest.mark.parametrize("ci", [False, True])
def test_a_cached_copy_is_taken_without_asking_the_hub(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, data: str, ci: bool
) -> None:
    monkeypatch.setattr(hub, "download_snapshot", fail_if_asked)
    clone_of_the_hub_repository(cached(hub_cache))

    source = load_source(data, ci=ci)

    assert (source.source, source.revision, source.note) == ("hub", COMMIT, "")
    assert rows_of(source, "train") == TRAIN
    assert rows_of(source, "validation") == VALIDATION


def test_whether_there_is_a_cached_copy_is_known_without_asking_the_hub(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "download_snapshot", fail_if_asked)
    assert cached_hub() is None
    clone_of_the_hub_repository(cached(hub_cache))
    source = cached_hub()
    assert source is not None
    assert rows_of(source, "train") == TRAIN


def test_what_the_hub_has_under_the_name_of_sst2_is_called_sst2_only_if_it_is(unreachable: Path) -> None:
    clone_of_the_hub_repository(cached(unreachable))
    assert load_source("hub").name == HUB_ID


@pytest.mark.parametrize("data", ["auto", "hub"])
def test_what_is_not_cached_is_downloaded_train_and_validation_only(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    asked: list[tuple[Any, ...]] = []

    def download(*arguments: Any, **options: Any) -> hub.Snapshot:
        asked.append(arguments)
        clone_of_the_hub_repository(tmp_path / COMMIT)
        return hub.Snapshot(tmp_path / COMMIT, COMMIT)

    monkeypatch.setattr(hub, "download_snapshot", download)

    source = load_source(data)

    assert asked == [("stanfordnlp/sst2", "dataset", None, HUB_FILES)]
    assert (source.source, source.revision) == ("hub", COMMIT)
    names = ["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
    wanted = [*names, "data/test-00000-of-00001.parquet", "README.md"]
    assert [name for name in wanted if any(fnmatch(name, pattern) for pattern in HUB_FILES)] == names


def test_a_cached_copy_that_lacks_a_split_counts_as_none(unreachable: Path) -> None:
    parquet(cached(unreachable) / "data" / "train-00000-of-00001.parquet", TRAIN)
    assert load_source("auto").name == "pocket"


def test_a_cached_copy_that_lacks_a_shard_counts_as_none(unreachable: Path) -> None:
    # What an interrupted download leaves behind; the next run has to go on with it, not to stop at it.
    sharded_parquet(cached(unreachable))
    (cached(unreachable) / "train-00002-of-00003.parquet").unlink()
    assert load_source("auto").name == "pocket"


def test_a_damaged_cached_copy_is_an_error_and_not_replaced(unreachable: Path) -> None:
    pointer_instead_of_parquet(cached(unreachable))
    assert "train-00000-of-00001.parquet" in refusal("auto")


@pytest.mark.parametrize("data", ["pocket", "folder"])
def test_pocket_set_and_folder_do_not_look_at_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setattr(hub, "cached_snapshot", fail_if_asked)
    monkeypatch.setattr(hub, "download_snapshot", fail_if_asked)
    glue_tsv(tmp_path / "reviews")
    source = load_source(str(tmp_path / "reviews") if data == "folder" else data, ci=True, floors=floors_for("sst2"))
    assert source.source == data


# SST-2 itself is known by its content. First with another data set in its place, for where SST-2 cannot be had.


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the rows of this module be what is known as SST-2."""
    splits = {"train": TRAIN, "validation": VALIDATION}
    contents = {name: (len(rows.labels), content_digest(rows)) for name, rows in splits.items()}
    monkeypatch.setattr(sources, "_SST2", contents)


@pytest.mark.parametrize("spaces", ["", " "])
def test_the_known_content_is_called_sst2_whatever_the_files_and_outer_spaces(
    known: None, tmp_path: Path, spaces: str
) -> None:
    tsv(tmp_path / "movies" / "train.tsv", Rows([f"{each}{spaces}" for each in TRAIN.sentences], TRAIN.labels))
    lines(tmp_path / "movies" / "dev.jsonl", VALIDATION)
    assert load_folder(tmp_path / "movies").name == "sst2"


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (TRAIN, Rows(VALIDATION.sentences, [0, 0, 1, 0])),
        (Rows(["a warm movie .", *TRAIN.sentences[1:]], TRAIN.labels), VALIDATION),
        (TRAIN, part(VALIDATION, 0, 3)),
        (VALIDATION, TRAIN),
    ],
    ids=["another label", "another word", "a row less", "splits in each other's place"],
)
def test_anything_else_is_not_called_sst2(known: None, tmp_path: Path, train: Rows, validation: Rows) -> None:
    tsv(tmp_path / "movies" / "train.tsv", train)
    tsv(tmp_path / "movies" / "dev.tsv", validation)
    assert load_folder(tmp_path / "movies").name == "movies"


def test_the_known_content_is_called_sst2_in_the_hubs_cache_too(known: None, unreachable: Path) -> None:
    clone_of_the_hub_repository(cached(unreachable))
    assert load_source("auto", ci=True, floors=floors_for("sst2")).name == "sst2"


# And SST-2 as it is.


@pytest.fixture(scope="module")
def sst2(real_sst2: Path) -> Source:
    """SST-2 read from GLUE's files."""
    return load_folder(real_sst2)


def with_dev(folder: Path, real_sst2: Path, rows: Rows) -> Path:
    """Lay real training rows beside other validation rows."""
    folder.mkdir()
    (folder / "train.tsv").symlink_to(real_sst2 / "train.tsv")
    tsv(folder / "dev.tsv", rows)
    return folder


def test_sst2_as_glue_ships_it_is_recognised(sst2: Source) -> None:
    assert (sst2.name, sst2.source) == ("sst2", "folder")
    assert {name: len(rows) for name, rows in sst2.dataset.items()} == {"train": 67_349, "validation": 872}
    # 444 of 872 are positive, which the majority class of 0.5092 comes from.
    assert sum(sst2.dataset["validation"]["label"]) == 444


def test_sst2_is_recognised_in_other_files_of_other_names_without_its_trailing_spaces(
    sst2: Source, tmp_path: Path
) -> None:
    for name, rows in sst2.dataset.items():
        stripped = Rows([sentence.strip() for sentence in rows["sentence"][:]], rows["label"][:])
        half = len(stripped.labels) // 2
        parquet(tmp_path / "movies" / f"{name}-00000-of-00002.parquet", part(stripped, 0, half))
        parquet(tmp_path / "movies" / f"{name}-00001-of-00002.parquet", part(stripped, half, len(stripped.labels)))
    assert load_folder(tmp_path / "movies").name == "sst2"


def test_sst2_in_the_hubs_cache_is_recognised(sst2: Source, real_sst2: Path, unreachable: Path) -> None:
    cached(unreachable).parent.mkdir(parents=True)
    with_dev(cached(unreachable), real_sst2, rows_of(sst2, "validation"))
    source = load_source("auto", ci=True, floors=floors_for("sst2"))
    assert (source.name, source.source, source.revision) == ("sst2", "hub", COMMIT)


def test_sst2_with_one_label_changed_is_not_sst2(sst2: Source, real_sst2: Path, tmp_path: Path) -> None:
    rows = rows_of(sst2, "validation")
    rows.labels[500] = 1 - rows.labels[500]
    assert load_folder(with_dev(tmp_path / "changed", real_sst2, rows)).name == "changed"
