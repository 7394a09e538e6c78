"""The embedding cache: hits, damaged entries, and the maximum size."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.methods.fast import embedding_cache
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache, address_of
from pytest_sst2.utils.cache_dir import cache_folder

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)
ADDRESS = address_of("encoder", [[1, 2], [3], []])


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache", 2**20)


def entry(cache: EmbeddingCache, address: str = ADDRESS) -> Path:
    return cache.folder / f"{address}.embeddings"


class TestAddress:
    def test_everything_that_decides_the_embeddings_is_in_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = [[1, 2], [3]]
        addresses = {
            address_of("encoder", ids),
            address_of("another encoder", ids),
            address_of("encoder", [[1], [2, 3]]),
            address_of("encoder", [[3], [1, 2]]),
            address_of("encoder", [[1, 2, 3]]),
            address_of("encoder", [[1, 2], [3], []]),
            address_of("encoder", ids, "float16"),
        }
        monkeypatch.setattr(embedding_cache, "_version", lambda name: "9.9" if name == "torch" else "1.0")
        addresses.add(address_of("encoder", ids))
        assert len(addresses) == 8

    def test_it_is_the_same_in_every_process(self) -> None:
        assert address_of("encoder", [[1, 2]]) == address_of("encoder", [[1, 2]])

    def test_a_library_that_is_not_there_is_no_obstacle(self) -> None:
        assert embedding_cache._version("no-such-distribution") == "none"


class TestEntries:
    def test_what_was_put_is_got_again_to_the_last_bit(self, cache: EmbeddingCache) -> None:
        assert cache.get(ADDRESS, 3) is None
        cache.put(ADDRESS, ROWS)
        embeddings = cache.get(ADDRESS, 3)
        assert embeddings is not None
        assert (embeddings.tobytes(), embeddings.dtype, embeddings.shape) == (ROWS.tobytes(), ROWS.dtype, ROWS.shape)
        assert cache.problem == ""

    @pytest.mark.parametrize("place", [0, 40, -1])
    def test_a_damaged_entry_is_removed_and_told(self, cache: EmbeddingCache, place: int) -> None:
        cache.put(ADDRESS, ROWS)
        content = bytearray(entry(cache).read_bytes())
        content[place] ^= 1
        entry(cache).write_bytes(content)
        assert cache.get(ADDRESS, 3) is None
        assert "was damaged" in cache.problem
        assert not entry(cache).exists()

    @pytest.mark.parametrize("length", [0, 31, 32, 47, 90])
    def test_so_is_one_that_was_cut_off(self, cache: EmbeddingCache, length: int) -> None:
        cache.put(ADDRESS, ROWS)
        entry(cache).write_bytes(entry(cache).read_bytes()[:length])
        assert cache.get(ADDRESS, 3) is None

    @pytest.mark.skipif(os.name != "posix", reason="needs pipes and sparse files")
    @pytest.mark.parametrize("kind", ["pipe", "device", "link to itself", "sparse file of a terabyte"])
    def test_what_is_no_entry_is_replaced_without_being_read(self, cache: EmbeddingCache, kind: str) -> None:
        cache.folder.mkdir(parents=True)
        path = entry(cache)
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "link to itself":
            path.symlink_to(path.name)
        else:
            path.touch()
            os.truncate(path, 2**40)
        assert cache.get(ADDRESS, 3) is None
        cache.put(ADDRESS, ROWS)
        assert cache.get(ADDRESS, 3) is not None or cache.problem

    def test_a_folder_in_the_place_of_an_entry_is_a_problem_that_ends_nothing(self, cache: EmbeddingCache) -> None:
        entry(cache).mkdir(parents=True)
        assert cache.get(ADDRESS, 3) is None
        cache.put(ADDRESS, ROWS)
        assert "cannot be written" in cache.problem

    def test_an_entry_under_another_ones_name_is_not_taken(self, cache: EmbeddingCache) -> None:
        cache.put(ADDRESS, ROWS)
        other = address_of("another encoder", [[1, 2], [3], []])
        entry(cache).rename(entry(cache, other))
        assert cache.get(other, 3) is None

    def test_nor_is_one_with_another_number_of_rows(self, cache: EmbeddingCache) -> None:
        cache.put(ADDRESS, ROWS)
        assert cache.get(ADDRESS, 4) is None

    def test_a_folder_that_cannot_be_written_is_reported_and_stops_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        cache = EmbeddingCache(tmp_path / "file" / "cache", 2**20)
        cache.put(ADDRESS, ROWS)
        assert "embeddings are not cached for the next run: " in cache.problem
        assert cache.get(ADDRESS, 3) is None


class TestRoom:
    def addresses(self, count: int) -> list[str]:
        return [address_of(f"encoder {number}", []) for number in range(count)]

    def test_the_least_recently_used_goes_first(self, tmp_path: Path) -> None:
        size = len(embedding_cache._packed(ADDRESS, ROWS))
        cache = EmbeddingCache(tmp_path / "cache", 3 * size)
        first, second, third, fourth = self.addresses(4)
        for age, address in enumerate((first, second, third)):
            cache.put(address, ROWS)
            os.utime(entry(cache, address), (age, age))
        assert cache.get(first, 3) is not None  # used now, so no longer the oldest
        cache.put(fourth, ROWS)
        assert [cache.get(address, 3) is not None for address in (first, second, third, fourth)] == [
            *(True, False, True, True)
        ]
        assert cache.size_bytes() <= cache.most_bytes

    def test_an_entry_larger_than_the_whole_cache_drives_nothing_out(self, tmp_path: Path) -> None:
        cache = EmbeddingCache(tmp_path / "cache", 2 * len(embedding_cache._packed(ADDRESS, ROWS)))
        cache.put(ADDRESS, ROWS)
        cache.put(self.addresses(1)[0], np.zeros((100, 100), dtype=np.float32))
        assert cache.get(ADDRESS, 3) is not None
        assert cache.size_bytes() <= cache.most_bytes

    def test_what_a_killed_writer_left_is_swept_up_after_an_hour(self, cache: EmbeddingCache) -> None:
        cache.folder.mkdir(parents=True)
        old, young = (cache.folder / f".{ADDRESS}.embeddings.{name}.part" for name in ("old", "young"))
        for path in (old, young):
            path.write_bytes(b"half")
        an_hour_ago = time.time() - 3700
        os.utime(old, (an_hour_ago, an_hour_ago))
        cache.put(ADDRESS, ROWS)
        assert (old.exists(), young.exists()) == (False, True)

    def test_it_can_be_cleared_and_other_files_stay(self, cache: EmbeddingCache) -> None:
        for address in self.addresses(3):
            cache.put(address, ROWS)
        (cache.folder / "glove.embeddings").write_text("of another program")
        assert cache.clear() == 3
        assert (cache.size_bytes(), cache.get(ADDRESS, 3)) == (0, None)
        assert (cache.folder / "glove.embeddings").exists()


class TestFolder:
    def test_the_variable_names_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path))
        assert cache_folder() == tmp_path

    def test_else_it_is_the_users_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PYTEST_SST2_CACHE")
        assert cache_folder().name == "pytest-sst2"


def write_for_ever(folder: Path) -> None:
    cache = EmbeddingCache(folder, 2**22)
    large = np.tile(ROWS, (5000, 1))
    while True:
        cache.put(ADDRESS, large)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_writers_that_are_killed_at_any_moment_leave_nothing_wrong(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    expected = np.tile(ROWS, (5000, 1))
    writers = [context.Process(target=write_for_ever, args=(tmp_path,)) for _ in range(2)]
    for writer in writers:
        writer.start()
    reader = EmbeddingCache(tmp_path, 2**22)
    until = time.monotonic() + 20
    while reader.get(ADDRESS, len(expected)) is None and time.monotonic() < until:
        time.sleep(0.01)
    for number in range(60):
        embeddings = reader.get(ADDRESS, len(expected))
        assert embeddings is not None
        assert np.array_equal(embeddings, expected)
        if number in (20, 40):
            os.kill(writers[number // 40].pid or 0, signal.SIGKILL)
    for writer in writers:
        writer.join()
    assert reader.get(ADDRESS, len(expected)) is not None
    assert reader.problem == ""
