"""Merge: join results files, after checking that they are comparable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_sst2.results.environment_diff import software_changes
from pytest_sst2.results.file import Results, parse_shards
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten


@dataclass(frozen=True)
class Merged:
    """The merged results of the shards of a run, and notes for the user about failures."""

    results: Results
    missing_shards: tuple[int, ...]  # their numbers
    shards: int  # in the whole run; 0 if the files are not shards
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every planned cell has a record or a failure, and every shard has a file."""
        return not self.results.missing and not self.missing_shards

    @property
    def gaps(self) -> list[str]:
        """Descriptions of missing cells and shards."""
        gaps = []
        if missing := self.results.missing:
            gaps.append(f"{plural(len(missing), 'cell')} of {len(self.results.planned)} missing: {shorten(missing)}")
        if numbers := self.missing_shards:
            names = shorten([f"{number}/{self.shards}" for number in numbers])
            gaps.append(f"no file of {'shard' if len(numbers) == 1 else 'shards'} {names}")
        return gaps


def merge(files: Sequence[Results]) -> Merged:
    """Return the merged results of the shards of one run, at least one file, in the planned order of the cells.

    Raises:
        Sst2Error: A cell has a record in two files, or the files differ in data, split, recipe, rows, Python, packages,
            kind of device or number of shards.
    """
    present, count = _shards(files)
    whole = joined(files)
    _check_rows(files)
    _check_software(files)
    missing = tuple(number for number in range(1, count + 1) if number not in present)
    merged = Merged(whole, missing, count, tuple(_notes(files, whole)))
    shard = "" if merged.is_complete or not count else f"{'+'.join(map(str, sorted(present)))}/{count}"
    return replace(merged, results=replace(whole, shard=shard))


def joined(files: Sequence[Results]) -> Results:
    """Return the joined results of one or more files. A record replaces a failure of the same cell in another file.

    Raises:
        Sst2Error: A cell has a record in two files, or the files differ in data, split or recipe.
    """
    _check_once(files)
    _check_table(files)
    planned = tuple(dict.fromkeys(cell for one in files for cell in one.planned))
    place = {cell: number for number, cell in enumerate(planned)}
    records = [record for one in files for record in one.records]
    measured = {record.cell for record in records}
    failures = {failure.cell: failure for one in files for failure in one.failures if failure.cell not in measured}

    def order(cell: Record | Failure) -> int:
        return place.get(cell.cell, len(place))

    return Results(
        sorted(records, key=order),
        sorted(failures.values(), key=order),
        max(one.saved for one in files),
        ", ".join(one.origin for one in files),
        planned,
        looks=tuple(look for one in files for look in one.looks),
        skipped=tuple(seed for one in files for seed in one.skipped if seed.cell not in measured),
    )


def _check_once(files: Sequence[Results]) -> None:
    origins: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for record, origin in _records(files):
        if record.cell in origins:
            twice.setdefault((origins[record.cell], origin), []).append(record.name)
        origins.setdefault(record.cell, origin)
    for (first, second), names in twice.items():
        are = "is" if len(names) == 1 else "are"
        raise Sst2Error(
            f"{shorten(names)} {are} in {first!r} and in {second!r}. A table has each cell once: leave out one of "
            "the files, or compare them with pytest-sst2 compare."
        )


def _check_table(files: Sequence[Results]) -> None:
    kinds = {(record.dataset.name, record.dataset.split, record.recipe_label) for record, _ in _records(files)}
    if len(kinds) > 1:
        names = "; ".join(f"{name} {split}, recipe {recipe}" for name, split, recipe in sorted(kinds))
        raise Sst2Error(f"these files cannot share one table, because their cells are not comparable: {names}.")


def _records(files: Sequence[Results]) -> Iterator[tuple[Record, str]]:
    """Yield every record with the name of its file."""
    return ((record, one.origin) for one in files for record in one.records)


def _check_rows(files: Sequence[Results]) -> None:
    """Raise if the rows of one seed, or the revisions of the data, differ between files."""
    revisions: dict[str, str] = {}
    digests: dict[int, dict[str, str]] = {}
    for record, origin in _records(files):
        revisions.setdefault(record.dataset.revision, origin)
        of_seed = digests.setdefault(record.seed, {})
        of_seed.setdefault(record.dataset.digest, origin)
        if len(of_seed) > 1:
            (one, first), (other, second) = of_seed.items()
            raise Sst2Error(
                f"the rows of seed {record.seed} differ: digest {one[:12]} in {first!r}, {other[:12]} in {second!r}. "
                "Measure one of the files again on the data of the other."
            )
    if len(revisions) > 1:
        names = ", ".join(f"{revision} in {origin!r}" for revision, origin in revisions.items())
        raise Sst2Error(f"these files have several revisions of the data: {names}. Measure them again on one revision.")


def _check_software(files: Sequence[Results]) -> None:
    """Raise if software or kind of device differ between records. The machines may differ."""
    records = _records(files)
    first, where = next(records, (None, ""))
    if first is None:
        return
    for record, origin in records:
        before, now = first.environment, record.environment
        if record.environment != first.environment and (changes := software_changes(before, now)):
            names = [f"{change.name} {change.before or 'none'} / {change.after or 'none'}" for change in changes]
            raise Sst2Error(
                f"{first.name} in {where!r} and {record.name} in {origin!r} were measured in different environments: "
                f"{shorten(names, 4)}. The shards of a run must have the same versions and kind of device. Compare the "
                "files with pytest-sst2 compare."
            )


def _shards(files: Sequence[Results]) -> tuple[set[int], int]:
    """Return the numbers of the shards with a file, and the number of shards; an empty set and 0 without shards."""
    present: set[int] = set()
    counts: dict[int, str] = {}
    for one in files:
        if not one.shard:
            continue
        numbers, count = parse_shards(one.shard)
        present.update(numbers)
        counts.setdefault(count, f"{one.shard} in {one.origin!r}")
    if len(counts) > 1:
        raise Sst2Error(f"these shards are of different runs: {', '.join(counts.values())}.")
    return present, next(iter(counts), 0)


def _notes(files: Sequence[Results], whole: Results) -> Iterator[str]:
    """Yield a note per failure that a record of another file replaced, and one with all other failures."""
    origins = {record.cell: origin for record, origin in _records(files)}
    for one in files:
        for failure in one.failures:
            if failure.cell in origins:
                yield (
                    f"{failure.name} failed in {one.origin!r} and has its record from {origins[failure.cell]!r}: "
                    f"{failure.error}"
                )
    if whole.failures:
        names = shorten([failure.name for failure in whole.failures])
        yield f"{plural(len(whole.failures), 'cell')} without a number: {names}"
