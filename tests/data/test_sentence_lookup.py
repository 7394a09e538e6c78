"""Test that sentences of records are drawn again from the data, and only returned if the digest matches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
from pytest_sst2.data.sources import Source, load_folder, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import make_record


def measured_on(source: Source, **settings: object) -> Record:
    recipe = build_recipe("quick", **settings)  # type: ignore[arg-type]
    return make_record(seed=7, recipe=recipe, dataset=draw_splits(source, recipe, 7).info)


def test_the_pocket_set_is_always_available() -> None:
    record = measured_on(load_pocket(), train_size=100, eval_size=20)
    sentences = SentenceLookup(local_sources())(record)
    assert sentences is not None
    assert list(sentences) == load_pocket().dataset["validation"]["sentence"][:20]


def test_a_folder_that_the_user_names_is_used(tiny_data: Path) -> None:
    record = measured_on(load_folder(tiny_data), train_size=16, eval_size=4)
    assert SentenceLookup(local_sources())(record) is None
    sentences = SentenceLookup(local_sources(tiny_data))(record)
    assert sentences is not None
    assert len(sentences) == 4


def test_sentences_of_other_data_are_not_returned(tiny_data: Path) -> None:
    record = measured_on(load_folder(tiny_data), train_size=16, eval_size=4)
    changed = dataclasses.replace(record, dataset=dataclasses.replace(record.dataset, digest="0" * 64))
    assert SentenceLookup(local_sources(tiny_data))(changed) is None


def test_data_too_small_for_the_record_is_not_used(tiny_data: Path) -> None:
    record = measured_on(load_pocket(), train_size=800)
    assert SentenceLookup(local_sources(tiny_data))(record) is None


def test_sst2_that_is_not_in_the_hubs_cache_is_not_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    base = make_record()
    record = dataclasses.replace(base, dataset=dataclasses.replace(base.dataset, name="sst2", source="hub"))
    assert SentenceLookup(local_sources())(record) is None


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Sst2Error, match="contains no data set"):
        local_sources(tmp_path)


def test_a_damaged_copy_of_the_data_is_not_used() -> None:
    def damaged(_: Record) -> Source:
        raise Sst2Error("the copy in the cache is damaged.")

    assert SentenceLookup(damaged)(measured_on(load_pocket(), train_size=100, eval_size=20)) is None


def test_a_recipe_of_another_release_draws_nothing() -> None:
    record = measured_on(load_pocket(), train_size=100, eval_size=20)
    unknown = dataclasses.replace(record, recipe=dataclasses.replace(record.recipe, name="of-the-future"))
    assert SentenceLookup(local_sources())(unknown) is None
