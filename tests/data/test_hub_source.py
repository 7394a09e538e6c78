"""Test SST-2 from the Hub and its cache, and when ``auto`` falls back to the pocket set."""

from __future__ import annotations

import dataclasses
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.data.sources import HUB_FILES, HUB_ID, Source, cached_hub, load_source
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor, FloorKey, Floors
from pytest_sst2.utils.errors import Sst2Error
from tests.support.data_folders import (
    TRAIN,
    VALIDATION,
    clone_of_the_hub_repository,
    glue_tsv,
    parquet,
    pointer_instead_of_parquet,
    rows_of,
    sharded_parquet,
    text,
    with_dev,
)
from tests.support.record_factory import make_record

COMMIT = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"

REASON = "https://hub.test cannot be reached (no such name)"


def refuse_download(*_: Any, **__: Any) -> hub.Snapshot:
    raise hub.HubError(REASON)


def fail_if_asked(*_: Any, **__: Any) -> hub.Snapshot:
    raise AssertionError("the Hub was asked")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty Hub cache."""
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path / "hub-cache")
    return tmp_path / "hub-cache"


@pytest.fixture
def unreachable(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache while every download fails."""
    monkeypatch.setattr(hub, "download_snapshot", refuse_download)
    return hub_cache


def cached(hub_cache: Path, commit: str = COMMIT) -> Path:
    """Return the folder of the data set's snapshot in the cache, and let ``main`` refer to it."""
    repository = hub_cache / "datasets--stanfordnlp--sst2"
    text(repository / "refs" / "main", commit)
    return repository / "snapshots" / commit


def floors_for(*names: str) -> Floors:
    keys = [FloorKey(name, "quick", "minilm", "linear-probe") for name in names]
    return Floors({key: Floor(0.7, "by hand") for key in keys}, "floors/ours.toml")


def refusal(data: str, **options: Any) -> str:
    with pytest.raises(Sst2Error) as caught:
        load_source(data, **options)
    return str(caught.value)


def test_auto_without_cache_and_hub_uses_the_pocket_set_and_notes_the_reason(unreachable: Path) -> None:
    source = load_source("auto")
    assert (source.name, source.source) == ("pocket", "pocket")
    assert source.note == f"built-in pocket set of 1,200 sentences, not SST-2, used because {REASON}"


def baseline_of(*names: str) -> Results:
    dataset = make_record().dataset
    records = [make_record(dataset=dataclasses.replace(dataset, name=name)) for name in names]
    return Results(records, (), origin="main")


UNDER_CI = "The pocket set does not replace it under CI. "
OTHER_FLOORS = "The pocket set does not replace it because floors/ours.toml has no floors for the pocket set. "
OTHER_BASELINE = "The pocket set does not replace it because baseline 'main' was not measured on the pocket set. "
NEXT_STEPS = (
    "Next steps: run once where the Hub can be reached, to fill the cache; use --sst2-data=FOLDER with your own copy; "
    "or use --sst2-data=pocket for the built-in set, which is not SST-2."
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
def test_the_pocket_set_does_not_replace_sst2_where_it_could_be_mistaken_for_a_result(
    unreachable: Path, data: str, options: dict[str, Any], because: str
) -> None:
    failure = f"SST-2 could not be downloaded from the Hub: the cache in {unreachable} has no complete copy of {HUB_ID}"
    assert refusal(data, **options) == f"{failure}, and {REASON}. {because}{NEXT_STEPS}"


@pytest.mark.parametrize("names", [["pocket"], ["sst2", "pocket"]])
def test_auto_uses_the_pocket_set_if_floors_or_baseline_include_it(unreachable: Path, names: list[str]) -> None:
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


def test_a_cached_copy_is_found_without_asking_the_hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "download_snapshot", fail_if_asked)
    assert cached_hub() is None
    clone_of_the_hub_repository(cached(hub_cache))
    source = cached_hub()
    assert source is not None
    assert rows_of(source, "train") == TRAIN


def test_the_hubs_data_set_is_called_sst2_only_if_its_content_is_sst2(unreachable: Path) -> None:
    clone_of_the_hub_repository(cached(unreachable))
    assert load_source("hub").name == HUB_ID


@pytest.mark.parametrize("data", ["auto", "hub"])
def test_only_train_and_validation_are_downloaded(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    downloads: list[tuple[Any, ...]] = []

    def download(*arguments: Any, **options: Any) -> hub.Snapshot:
        downloads.append(arguments)
        clone_of_the_hub_repository(tmp_path / COMMIT)
        return hub.Snapshot(tmp_path / COMMIT, COMMIT)

    monkeypatch.setattr(hub, "download_snapshot", download)

    source = load_source(data)

    assert downloads == [("stanfordnlp/sst2", "dataset", None, HUB_FILES)]
    assert (source.source, source.revision) == ("hub", COMMIT)
    names = ["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
    available = [*names, "data/test-00000-of-00001.parquet", "README.md"]
    assert [name for name in available if any(fnmatch(name, pattern) for pattern in HUB_FILES)] == names


def test_a_cached_copy_that_lacks_a_split_counts_as_none(unreachable: Path) -> None:
    parquet(cached(unreachable) / "data" / "train-00000-of-00001.parquet", TRAIN)
    assert load_source("auto").name == "pocket"


def test_a_cached_copy_that_lacks_a_shard_counts_as_none(unreachable: Path) -> None:
    # An interrupted download leaves this behind. The next run must complete it.
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


def test_the_known_content_is_called_sst2_in_the_hubs_cache_too(known: None, unreachable: Path) -> None:
    clone_of_the_hub_repository(cached(unreachable))
    assert load_source("auto", ci=True, floors=floors_for("sst2")).name == "sst2"


def test_sst2_in_the_hubs_cache_is_recognised(sst2: Source, real_sst2: Path, unreachable: Path) -> None:
    cached(unreachable).parent.mkdir(parents=True)
    with_dev(cached(unreachable), real_sst2, rows_of(sst2, "validation"))
    source = load_source("auto", ci=True, floors=floors_for("sst2"))
    assert (source.name, source.source, source.revision) == ("sst2", "hub", COMMIT)
