"""Sentences of records: drawn again from the data, shown only if they are the very ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.data.sentence_lookup import SentenceBook, sources_at_hand
from pytest_sst2.data.sources import Source, load_folder, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import make_record


def measured_on(source: Source, **asked: object) -> Record:
    recipe = build_recipe("quick", **asked)  # type: ignore[arg-type]
    return make_record(seed=7, recipe=recipe, dataset=draw_splits(source, recipe, 7).info)


def test_the_pocket_set_is_always_at_hand() -> None:
    record = measured_on(load_pocket(), train_size=100, eval_size=20)
    found = SentenceBook(sources_at_hand())(record)
    assert found is not None
    assert list(found) == load_pocket().dataset["validation"]["sentence"][:20]


def test_a_folder_is_taken_where_the_user_names_it(tiny_data: Path) -> None:
    record = measured_on(load_folder(tiny_data), train_size=16, eval_size=4)
    assert SentenceBook(sources_at_hand())(record) is None
    found = SentenceBook(sources_at_hand(tiny_data))(record)
    assert found is not None
    assert len(found) == 4


def test_sentences_of_other_data_are_not_shown(tiny_data: Path) -> None:
    record = measured_on(load_folder(tiny_data), train_size=16, eval_size=4)
    changed = dataclasses.replace(record, dataset=dataclasses.replace(record.dataset, digest="0" * 64))
    assert SentenceBook(sources_at_hand(tiny_data))(changed) is None


def test_data_too_small_to_be_that_of_the_record_is_other_data(tiny_data: Path) -> None:
    record = measured_on(load_pocket(), train_size=800)
    assert SentenceBook(sources_at_hand(tiny_data))(record) is None


def test_sst2_that_is_not_in_the_hubs_cache_is_not_at_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    base = make_record()
    record = dataclasses.replace(base, dataset=dataclasses.replace(base.dataset, name="sst2", source="hub"))
    assert SentenceBook(sources_at_hand())(record) is None


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Sst2Error, match="holds no data set"):
        sources_at_hand(tmp_path)


def test_a_damaged_copy_of_the_data_is_none_at_hand() -> None:
    def damaged(_: Record) -> Source:
        raise Sst2Error("the copy in the cache is damaged.")

    assert SentenceBook(damaged)(measured_on(load_pocket(), train_size=100, eval_size=20)) is None


def test_a_recipe_of_another_release_draws_nothing() -> None:
    record = measured_on(load_pocket(), train_size=100, eval_size=20)
    unknown = dataclasses.replace(record, recipe=dataclasses.replace(record.recipe, name="of-the-future"))
    assert SentenceBook(sources_at_hand())(unknown) is None
