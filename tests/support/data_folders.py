"""Write small data sets to folders, in every layout that is supported."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import Source

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
    """Return a data set with an ``idx`` column, as on the Hub, and create the parent of ``folder``."""
    features = datasets.Features(
        idx=datasets.Value("int32"),
        sentence=datasets.Value("string"),
        label=datasets.ClassLabel(names=["negative", "positive"]),
    )
    splits_by_name = {
        name: datasets.Dataset.from_dict(
            {"idx": list(range(len(rows.labels))), "sentence": rows.sentences, "label": rows.labels}, features=features
        )
        for name, rows in splits.items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    return datasets.DatasetDict(splits_by_name)


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


def pointer_instead_of_parquet(folder: Path) -> None:
    clone_of_the_hub_repository(folder)
    text(folder / "data" / "train-00000-of-00001.parquet", "version https://git-lfs.github.com/spec/v1\n")


def changed_json(path: Path, **changes: Any) -> None:
    text(path, json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}))


def with_dev(folder: Path, real_sst2: Path, rows: Rows) -> Path:
    """Write a folder with the real training rows and other validation rows."""
    folder.mkdir()
    (folder / "train.tsv").symlink_to(real_sst2 / "train.tsv")
    tsv(folder / "dev.tsv", rows)
    return folder
