"""Test every layout of a data set's folder, and the error of every broken one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import load_folder
from pytest_sst2.utils.errors import Sst2Error
from tests.support.data_folders import (
    LAYOUTS,
    TRAIN,
    UNLABELLED,
    VALIDATION,
    changed_json,
    csv_files,
    glue_tsv,
    json_arrays,
    json_lines,
    lines,
    older_hub_name_with_a_hash,
    parquet,
    part,
    pointer_instead_of_parquet,
    rows_of,
    save_to_disk,
    saved,
    sharded_parquet,
    single_parquet,
    text,
    tsv,
)


def refusal(folder: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        load_folder(folder)
    return str(caught.value)


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


def test_the_folder_of_the_files_is_the_place_and_not_part_of_the_name(tmp_path: Path) -> None:
    glue_tsv(tmp_path / "reviews" / "data")
    source = load_folder(tmp_path / "reviews")
    assert (source.name, source.source, source.place) == ("reviews", "folder", str(tmp_path / "reviews" / "data"))


@pytest.mark.parametrize("names", [["negative", "positive"], ["neg", "pos"], ["0", "1"], ["bad", "good"], ["no", "x"]])
def test_label_names_in_the_right_order_are_accepted(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "reviews"
    both = saved(folder, train=TRAIN, validation=VALIDATION)
    both.cast_column("label", datasets.ClassLabel(names=names)).save_to_disk(str(folder))
    assert rows_of(load_folder(folder), "train") == TRAIN


@pytest.mark.parametrize(
    "metadata", ["", "[]", "{", '{"info": {"features": {"label": {"names": [0, 1]}}}}', '{"info": 1}']
)
def test_unknown_schema_metadata_is_ignored(tmp_path: Path, metadata: str) -> None:
    for name, rows in (("train", TRAIN), ("validation", VALIDATION)):
        table = pa.table({"sentence": rows.sentences, "label": rows.labels})
        pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / f"{name}.parquet")
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_the_shallowest_level_with_both_splits_is_taken(tmp_path: Path) -> None:
    glue_tsv(tmp_path)
    tsv(tmp_path / "old" / "train.tsv", Rows(["an older file"], [0]))
    tsv(tmp_path / "old" / "dev.tsv", Rows(["an older file"], [0]))
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def no_validation(folder: Path) -> None:
    tsv(folder / "train.tsv", TRAIN)
    tsv(folder / "test.tsv", VALIDATION)


def a_test_split_in_shards(folder: Path) -> None:
    for number in range(2):
        parquet(folder / f"test-{number:05}-of-00002.parquet", VALIDATION)


def wrong_label_in_dev(folder: Path) -> None:
    glue_tsv(folder)
    text(folder / "dev.tsv", "sentence\tlabel\nfine\t1\na mess\tbad\n")


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


def a_shard_next_to_the_whole(folder: Path) -> None:
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
    both = saved(folder, train=TRAIN, validation=VALIDATION).rename_column("sentence", "words")
    both.save_to_disk(str(folder))


def saved_without_rows(folder: Path) -> None:
    saved(folder, train=TRAIN, validation=Rows([], [])).save_to_disk(str(folder))


NO_DATA_SET = (
    "{folder} contains no data set. It needs one file each for train and validation (train.tsv and dev.tsv, "
    "train-00000-of-00001.parquet, ...; formats: .tsv, .csv, .jsonl, .json, .parquet), or the output of "
    "DatasetDict.save_to_disk."
)
NOT_ONE = "are not the shards of one train split. Keep the shards of one, or name a folder that contains only one."
KEEP_ONE = "could each be the train split. Keep one of them, or name a folder that contains only one."
SKIPPED = "was skipped: not a regular file but a folder, a pipe or a broken link"


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        (Path.mkdir, [NO_DATA_SET]),
        (no_validation, ["{folder} contains no data set", "train and validation", "It has only test.tsv, train.tsv."]),
        (no_validation, ["A test split is not used: if test.tsv has labels, rename it to validation.tsv."]),
        (a_test_split_in_shards, ["if test-00000-of-00002.parquet has labels, rename it to validation-00000-of-00002"]),
        (wrong_label_in_dev, ["dev.tsv, line 3", "'bad'", "0 (negative) and 1 (positive)"]),
        (unlabelled_dev, ["dev.tsv, line 2", "'-1'", "unlabelled test split"]),
        (dev_without_labels, ["dev.tsv, line 1", "no column 'label'", "'index', 'sentence'"]),
        (empty_sentence_in_train, ["train.tsv, line 3", "sentence is empty"]),
        (ragged_csv, ["train.csv, line 3", "3 columns where the header has 2", "quotes"]),
        (truncated_json, ["dev.jsonl, line 2", "not valid JSON"]),
        (truncated_json_array, ["validation.json, line 3", "not valid JSON"]),
        (not_utf8, ["dev.tsv, line 3", "UTF-8"]),
        (header_only, ["{folder}/dev.tsv has no rows"]),
        (no_header, ["train.tsv, line 1", "no column 'sentence'", "'a warm film .'"]),
        (pointer_instead_of_parquet, ["train-00000-of-00001.parquet", "is not a readable Parquet file"]),
        (parquet_with_null, ["validation.parquet, row 2", "label is None"]),
        (bad_row_in_the_second_shard, ["train-00001-of-00003.parquet, row 2", "label is 3"]),
        (two_files_for_train, [f"{{folder}}/train.tsv, {{folder}}/train_full.tsv {KEEP_ONE}"]),
        (two_formats_of_train, [f"{{folder}}/train.jsonl, {{folder}}/train.tsv {KEEP_ONE}"]),
        (a_shard_next_to_the_whole, [f"{{folder}}/train-00000-of-00001.parquet, {{folder}}/train.parquet {KEEP_ONE}"]),
        (shards_of_two_formats, [f"{{folder}}/train-00001-of-00002.jsonl {KEEP_ONE}"]),
        (two_tasks_side_by_side, [f"{{folder}}/CoLA/train.tsv, {{folder}}/SST-2/train.tsv {KEEP_ONE}"]),
        (a_shard_missing, ["{folder} contains only 2 of 3 files of the train split. Copy or download"]),
        (the_first_shard_missing, ["{folder} contains only 1 of 2 files of the validation split."]),
        (shards_of_two_sizes, [f"{{folder}}/train-00002-of-00003.parquet {NOT_ONE}"]),
        (
            a_shard_of_another_set,
            [", ".join(f"{{folder}}/train-{name}.parquet" for name in OF_TWO_SETS) + f" {NOT_ONE}"],
        ),
        (a_shard_twice, [f"{{folder}}/b/train-00000-of-00002.parquet {NOT_ONE}"]),
        (a_shard_beyond_the_last, [f"{{folder}}/train-00003-of-00003.parquet {NOT_ONE}"]),
        (more_shards_than_any_disk_has, ["{folder} contains only 1 of 1000000000000 files of the train split."]),
        (saved_without_validation, ["{folder}", "no split 'validation'", "'train', 'test'"]),
        (saved_with_unlabelled_row, ["reviews, split 'validation', row 2", "-1", "unlabelled"]),
        (saved_and_damaged, ["{folder}/train/data-00000-of-00001.arrow", "is not a readable Arrow file"]),
        (saved_with_a_file_missing, ["{folder}/validation/data-00000-of-00001.arrow cannot be read: No such file"]),
        (saved_with_other_columns, ["{folder}/train/data-00000", "no column 'sentence'", "'words'"]),
        (
            splits_that_lie_apart,
            [
                "{folder}/reviews/train.tsv and {folder}/tweets/dev.tsv are in different folders",
                "Name the folder that contains both splits of one data set.",
            ],
        ),
        (
            a_folder_called_train_tsv,
            ["contains no data set", f"train.tsv {SKIPPED}"],
        ),
        (a_pipe_called_dev_tsv, ["contains no data set", f"dev.tsv {SKIPPED}"]),
        (a_link_in_a_circle, ["contains no data set", f"dev.tsv {SKIPPED}"]),
        (saved_out_of_its_folder, ["{folder}/train/state.json", "does not list files of its own folder"]),
        (saved_without_a_list_of_splits, ["{folder}/dataset_dict.json", "no list of splits"]),
        (saved_and_compressed, ["{folder}/train/data-00000-of-00001.arrow is compressed"]),
        (saved_by_an_old_release, ["{folder}/train", "old release of datasets"]),
    ],
)
def test_every_broken_folder_is_refused_with_file_and_line(
    tmp_path: Path, broken: Callable[[Path], None], parts: list[str]
) -> None:
    folder = tmp_path / "reviews"
    broken(folder)

    message = refusal(folder)

    assert [part for part in parts if part.format(folder=folder) not in message] == []


def test_no_second_validation_split_is_suggested_where_the_training_rows_are_missing(tmp_path: Path) -> None:
    for name in ("dev", "test"):
        tsv(tmp_path / f"{name}.tsv", VALIDATION)
    assert refusal(tmp_path).endswith("It has only dev.tsv, test.tsv.")


def test_a_saved_split_without_rows_is_refused_also_where_datasets_cannot_read_it_back(tmp_path: Path) -> None:
    saved_without_rows(tmp_path / "reviews")
    with pytest.raises(Sst2Error, match=r"reviews.*(has no rows|cannot read it)"):
        load_folder(tmp_path / "reviews")


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


def test_nothing_is_found_three_levels_down(tmp_path: Path) -> None:
    glue_tsv(tmp_path / "a" / "b" / "c")
    assert rows_of(load_folder(tmp_path / "a"), "train") == TRAIN
    with pytest.raises(Sst2Error, match="contains no data set"):
        load_folder(tmp_path)


def test_hidden_folders_and_hidden_files_are_skipped(tmp_path: Path) -> None:
    tsv(tmp_path / ".train.tsv", VALIDATION)
    glue_tsv(tmp_path / ".cache")
    with pytest.raises(Sst2Error, match="contains no data set"):
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
def test_other_files_in_a_folder_called_train_are_not_part_of_the_split(tmp_path: Path, name: str) -> None:
    lines(tmp_path / "train" / "reviews.jsonl", TRAIN)
    text(tmp_path / "train" / f"dataset_{name}.json", "{}")
    lines(tmp_path / "dev" / "reviews.jsonl", VALIDATION)
    assert rows_of(load_folder(tmp_path), "train") == TRAIN


def test_a_folder_called_dev_does_not_make_any_file_in_it_the_validation_split(tmp_path: Path) -> None:
    tsv(tmp_path / "dev" / "train.tsv", TRAIN)
    tsv(tmp_path / "dev" / "unused.tsv", VALIDATION)
    with pytest.raises(Sst2Error, match="contains no data set"):
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


def test_splits_saved_one_by_one_must_be_saved_together(tmp_path: Path) -> None:
    for name, rows in saved(tmp_path, train=TRAIN, validation=VALIDATION).items():
        rows.save_to_disk(str(tmp_path / name))
    with pytest.raises(Sst2Error, match="DatasetDict"):
        load_folder(tmp_path)


NOT_LOCAL = "does not list files of its own folder under _data_files. Save the data set again with save_to_disk."


@pytest.mark.parametrize("named", ["", ".", "..", "../x.arrow", "/x.arrow", "below/x.arrow", 5, None])
def test_a_saved_split_lists_only_files_of_its_own_folder(tmp_path: Path, named: Any) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    changed_json(folder / "train" / "state.json", _data_files=[{"filename": named}])
    assert refusal(folder) == f"{folder / 'train' / 'state.json'} {NOT_LOCAL}"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "does not contain a JSON object. Save the data set again with save_to_disk."),
        ("{", "is not readable JSON: Expecting property name enclosed in double quotes in line 1, column 2."),
        (" " * (2**20 + 1), "cannot be read: it has 1 MB, and at most 1 MB are allowed."),
        ("{}", NOT_LOCAL),
    ],
)
def test_the_state_of_a_saved_split_is_an_object_of_limited_size(tmp_path: Path, content: str, problem: str) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    text(folder / "train" / "state.json", content)
    assert refusal(folder) == f"{folder / 'train' / 'state.json'} {problem}"


@pytest.mark.parametrize(
    ("splits", "listed"),
    [([], "none"), (["a" * 50], repr("a" * 40)), ([*"abcdefgh"], "'a', 'b', 'c', 'd', 'e', 'f'")],
)
def test_the_available_splits_are_listed_and_truncated(tmp_path: Path, splits: list[str], listed: str) -> None:
    folder = tmp_path / "reviews"
    save_to_disk(folder)
    changed_json(folder / "dataset_dict.json", splits=splits)
    assert refusal(folder) == f"{folder} has no split 'train'; its splits are: {listed}."


@pytest.mark.parametrize(
    ("names", "ending"),
    [
        ((), "or the output of DatasetDict.save_to_disk."),
        (("a.csv", "b.tsv"), f" a.csv, b.tsv {SKIPPED.replace('was', 'were')}."),
        (("a.csv", "b.tsv", "c.json", "d.csv"), f" a.csv, b.tsv, c.json {SKIPPED.replace('was', 'were')}."),
    ],
)
def test_entries_named_like_a_file_that_are_none_are_listed(
    tmp_path: Path, names: tuple[str, ...], ending: str
) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert refusal(tmp_path).endswith(ending)


def test_a_folder_without_permission_to_list_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    glue_tsv(tmp_path)

    def refuse(_folder: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert refusal(tmp_path) == f"{tmp_path} cannot be read: Permission denied."


def test_a_single_file_is_divided_by_its_sentences_so_that_more_rows_move_none(tmp_path: Path) -> None:
    path, held_out = tmp_path / "reviews.csv", []
    for count in (40, 80):
        rows = [f"film {number % 70},{number % 2}" for number in range(count)]
        path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
        source = load_folder(path)
        splits = [set(source.dataset[name]["sentence"]) for name in ("train", "validation")]
        assert splits[0].isdisjoint(splits[1])
        held_out.append(splits[1])
        assert f" of {count} rows, chosen by a hash of the sentence, are the validation split" in source.note
    assert held_out[0] < held_out[1]
    path.write_text("text,label\nfine,1\n", encoding="utf-8")
    assert refusal(path) == f"{path} has 1 rows, too few to divide into train and validation."
    assert refusal(tmp_path).endswith(f" name the file: --sst2-data={path}.")
