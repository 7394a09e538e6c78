"""Test SST-2 from the Hub and its cache, and when ``auto`` falls back to the pocket set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.data import sources
from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import HUB_ID, Source, cached_hub, load_source
from pytest_sst2.hub.cache import Snapshot
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request
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
    saved,
    sharded_parquet,
    text,
    with_dev,
)
from tests.support.hub_clients import hub_of_this_process
from tests.support.loopback_hub import LoopbackHub
from tests.support.record_factory import make_record

COMMIT = "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb"

REASON = "https://hub.test cannot be reached (no such name)"


def refuse_download(*_: Any, **__: Any) -> Snapshot:
    raise HubError(REASON)


def fail_if_asked(*_: Any, **__: Any) -> Snapshot:
    raise AssertionError("the Hub was asked")


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty Hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
    return tmp_path / "hub-cache"


@pytest.fixture
def unreachable(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache while every download fails."""
    monkeypatch.setattr("pytest_sst2.hub.download.download", refuse_download)
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
    missing = f"the cache in {unreachable} has no copy of {HUB_ID}"
    assert source.note == f"built-in pocket set of 1,200 sentences, not SST-2, used because {missing}, and {REASON}"


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
    failure = f"SST-2 could not be downloaded from the Hub: the cache in {unreachable} has no copy of {HUB_ID}"
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
    monkeypatch.setattr("pytest_sst2.hub.download.download", fail_if_asked)
    clone_of_the_hub_repository(cached(hub_cache))

    source = load_source(data, ci=ci)

    assert (source.source, source.revision, source.note) == ("hub", COMMIT, "")
    assert rows_of(source, "train") == TRAIN
    assert rows_of(source, "validation") == VALIDATION


def test_a_cached_copy_is_found_without_asking_the_hub(hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_sst2.hub.download.download", fail_if_asked)
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
    requests: list[Request] = []

    def download(request: Request, find: object) -> Snapshot:
        requests.append(request)
        clone_of_the_hub_repository(tmp_path / COMMIT)
        return Snapshot(tmp_path / COMMIT, COMMIT)

    monkeypatch.setattr("pytest_sst2.hub.download.download", download)

    source = load_source(data)

    assert requests == [Request("stanfordnlp/sst2", "dataset", None, "pytest_sst2.data.sources:select")]
    assert (source.source, source.revision) == ("hub", COMMIT)
    names = ["data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"]
    available = [*names, "data/test-00000-of-00001.parquet", "README.md"]
    assert sources.select(dict.fromkeys(available), lambda _: Path()) == names


def test_a_cached_copy_that_lacks_a_split_counts_as_none(unreachable: Path) -> None:
    parquet(cached(unreachable) / "data" / "train-00000-of-00001.parquet", TRAIN)
    assert load_source("auto").name == "pocket"


def test_a_cached_copy_that_lacks_a_shard_counts_as_none(unreachable: Path) -> None:
    # An interrupted download leaves this behind. The next run must complete it.
    sharded_parquet(cached(unreachable))
    (cached(unreachable) / "train-00002-of-00003.parquet").unlink()
    assert load_source("auto").name == "pocket"


def test_the_error_without_a_complete_copy_names_the_repository_and_what_it_lacks(unreachable: Path) -> None:
    parquet(cached(unreachable) / "data" / "train-00000-of-00001.parquet", TRAIN)
    assert f"the copy of {HUB_ID} in {unreachable} lacks the files of its validation split" in refusal("hub")


def test_a_damaged_cached_copy_is_an_error_and_not_replaced(unreachable: Path) -> None:
    pointer_instead_of_parquet(cached(unreachable))
    assert "train-00000-of-00001.parquet" in refusal("auto")


@pytest.mark.parametrize("data", ["pocket", "folder"])
def test_pocket_set_and_folder_do_not_look_at_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    monkeypatch.setattr(sources, "find_cached", fail_if_asked)
    monkeypatch.setattr("pytest_sst2.hub.download.download", fail_if_asked)
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


# --- copies of SST-2 under other names


def copy_of_a_repository(place: str, subfolder: str, cache: Path) -> None:
    clone_of_the_hub_repository(cache / place / "snapshots" / COMMIT / subfolder)
    text(cache / place / "refs" / "main", COMMIT)


def copy_of_datasets(place: str, name: str, cache: Path) -> None:
    rows = saved(cache, train=TRAIN, validation=VALIDATION)
    rows.save_to_disk(str(cache / "saved"))
    folder = cache.parent / "datasets-cache" / place / "0.0.0" / COMMIT
    folder.mkdir(parents=True)
    for split in ("train", "validation"):
        (arrow,) = (cache / "saved" / split).glob("*.arrow")
        arrow.rename(folder / f"{name}-{split}.arrow")


COPIES = [
    (copy_of_a_repository, "datasets--nyu-mll--glue", "sst2"),
    (copy_of_a_repository, "datasets--glue", "sst2"),
    (copy_of_a_repository, "datasets--sst2", ""),
    (copy_of_datasets, "stanfordnlp___sst2/default", "sst2"),
    (copy_of_datasets, "nyu-mll___glue/sst2", "glue"),
    (copy_of_datasets, "glue/sst2", "glue"),
    (copy_of_datasets, "sst2/default", "sst2"),
]


@pytest.mark.parametrize(("copy", "place", "name"), COPIES, ids=[f"{case[0].__name__}-{case[1]}" for case in COPIES])
def test_a_copy_under_another_name_is_taken_only_if_it_is_sst2(
    unreachable: Path,
    request: pytest.FixtureRequest,
    copy: Callable[[str, str, Path], None],
    place: str,
    name: str,
) -> None:
    copy(place, name, unreachable)
    assert cached_hub() is None
    request.getfixturevalue("known")
    source = load_source("auto", ci=True, floors=floors_for("sst2"))
    assert (source.name, source.source, source.revision) == ("sst2", "hub", COMMIT)
    assert (rows_of(source, "train"), rows_of(source, "validation")) == (TRAIN, VALIDATION)


def test_a_damaged_copy_under_another_name_is_skipped_and_named_only_if_there_is_no_other(
    known: None, unreachable: Path
) -> None:
    damaged = unreachable / "datasets--nyu-mll--glue" / "snapshots" / COMMIT / "sst2"
    copy_of_a_repository("datasets--nyu-mll--glue", "sst2", unreachable)
    pointer_instead_of_parquet(damaged)
    assert f"has no copy of {HUB_ID}, and the copy in {damaged} cannot be read, and " in refusal("hub")
    copy_of_datasets("glue/sst2", "glue", unreachable)
    assert load_source("hub").name == "sst2"


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_offline_for_datasets_is_offline_for_the_data_set(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr("pytest_sst2.hub.download.download", fail_if_asked)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", value)
    assert "disabled by HF_DATASETS_OFFLINE" in refusal("hub")


# --- with a Hub


def write_sst2(folder: Path, train_shards: int = 1) -> Path:
    for position in range(train_shards):
        rows = Rows([f"good {position} ", f"bad {position} "], [1, 0])
        parquet(folder / "data" / f"train-{position:05}-of-{train_shards:05}.parquet", rows)
    for name in ("validation", "test"):
        parquet(folder / "data" / f"{name}-00000-of-00001.parquet", VALIDATION)
    return folder


@pytest.fixture
def server(tmp_path: Path, hub_cache: Path) -> Iterator[LoopbackHub]:
    with hub_of_this_process(tmp_path / "cache") as running:
        yield running


def test_sst2_is_downloaded_once_and_then_read_from_the_cache(server: LoopbackHub, tmp_path: Path) -> None:
    commit = server.add("stanfordnlp/sst2", write_sst2(tmp_path / "sst2", train_shards=2), repo_type="dataset")
    first = load_source("hub")
    assert (first.source, first.revision, first.name) == ("hub", commit, "stanfordnlp/sst2")
    assert first.dataset["train"]["sentence"] == ["good 0 ", "bad 0 ", "good 1 ", "bad 1 "]
    assert rows_of(first, "validation") == VALIDATION
    assert not any("/test-" in line for line in server.requests)
    server.stop()
    server.forget()
    again = load_source("hub")
    assert (again.revision, again.dataset["train"][:]) == (commit, first.dataset["train"][:])
    assert server.requests == []


def test_the_error_without_cache_and_hub_has_place_cause_and_next_steps(server: LoopbackHub, tmp_path: Path) -> None:
    server.stop()
    message = refusal("hub")
    for part in (str(tmp_path / "cache"), "stanfordnlp/sst2", server.address, "--sst2-data=FOLDER", "pocket"):
        assert part in message
    source = load_source("auto")
    assert source.name == "pocket"
    assert server.address in source.note


def test_sst2_with_a_shard_missing_in_the_cache_is_completed_from_the_hub(server: LoopbackHub, tmp_path: Path) -> None:
    server.add("stanfordnlp/sst2", write_sst2(tmp_path / "sst2", train_shards=2), repo_type="dataset")
    first = load_source("hub")
    next((tmp_path / "cache").rglob("train-00001-of-00002.parquet")).unlink()
    assert len(load_source("hub").dataset["train"]) == len(first.dataset["train"])


def test_sst2_on_a_mirror_without_its_files_is_an_error(server: LoopbackHub, tmp_path: Path) -> None:
    text(tmp_path / "sst2" / "README.md", "elsewhere")
    server.add("stanfordnlp/sst2", tmp_path / "sst2", repo_type="dataset")
    assert "stanfordnlp/sst2" in refusal("hub")
