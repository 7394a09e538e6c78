"""Test the names, revisions and digests of data sets, and how SST-2 is recognised."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import Source, content_digest, load_folder
from tests.support.data_folders import (
    TRAIN,
    VALIDATION,
    glue_tsv,
    lines,
    parquet,
    part,
    rows_of,
    sharded_parquet,
    tsv,
    with_dev,
)


def test_the_revision_of_a_folder_depends_on_its_rows_not_on_its_files(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["sst2", "pocket"])
def test_a_folder_named_like_a_known_data_set_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    glue_tsv(tmp_path / name)
    assert load_folder(tmp_path / name).name == f"folder {name}"


def test_the_revision_depends_on_which_split_has_which_rows(tmp_path: Path) -> None:
    tsv(tmp_path / "one" / "train.tsv", TRAIN)
    tsv(tmp_path / "one" / "dev.tsv", VALIDATION)
    tsv(tmp_path / "swapped" / "train.tsv", VALIDATION)
    tsv(tmp_path / "swapped" / "dev.tsv", TRAIN)
    one, swapped = (load_folder(tmp_path / name).revision for name in ("one", "swapped"))
    both = content_digest(TRAIN) + content_digest(VALIDATION)
    assert one == f"sha256:{hashlib.sha256(both.encode()).hexdigest()[:12]}"
    assert one != swapped


@pytest.mark.parametrize("spaces", ["", " "])
def test_the_known_content_is_called_sst2_whatever_the_files_and_outer_spaces(
    known: None, tmp_path: Path, spaces: str
) -> None:
    tsv(tmp_path / "movies" / "train.tsv", Rows([f"{sentence}{spaces}" for sentence in TRAIN.sentences], TRAIN.labels))
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


def test_sst2_with_one_label_changed_is_not_sst2(sst2: Source, real_sst2: Path, tmp_path: Path) -> None:
    rows = rows_of(sst2, "validation")
    rows.labels[500] = 1 - rows.labels[500]
    assert load_folder(with_dev(tmp_path / "changed", real_sst2, rows)).name == "changed"


def test_a_note_says_that_a_tsv_file_is_read_as_quoted(tmp_path: Path) -> None:
    glue_tsv(tmp_path)
    assert not load_folder(tmp_path).note
    (tmp_path / "dev.tsv").write_text('sentence\tlabel\n"so ""good"""\t1\ndull\t0\n')
    assert load_folder(tmp_path).note == "dev.tsv read as quoted TSV, as pandas writes it"
