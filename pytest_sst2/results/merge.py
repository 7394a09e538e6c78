"""Merge: several results files as one; those of one run's shards only where they could have been one run's."""

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
    """Files joined, and what is to be known of it.

    Attributes:
        results: All of them as one.
        missing_shards: The numbers of those whose file was not given.
        shards: Of how many shards they are; 0 where they are of none.
        notes: What was decided between the files, in words.
    """

    results: Results
    missing_shards: tuple[int, ...]
    shards: int
    notes: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every cell has its number or its failure, and every shard is there."""
        return not self.results.missing and not self.missing_shards

    @property
    def gaps(self) -> list[str]:
        """What is missing, in words."""
        found = []
        if missing := self.results.missing:
            found.append(f"{plural(len(missing), 'cell')} of {len(self.results.planned)} missing: {shorten(missing)}")
        if numbers := self.missing_shards:
            names = shorten([f"{number}/{self.shards}" for number in numbers])
            found.append(f"no file of {'shard' if len(numbers) == 1 else 'shards'} {names}")
        return found


def merge(files: Sequence[Results]) -> Merged:
    """Return files of one run's shards as one, every record as it is, in the order in which the cells were planned.

    Args:
        files: At least one.

    Raises:
        Sst2Error: A cell was measured in two of them, or they were not measured alike: other data, split, recipe, rows,
            Python, packages or kind of device, or shards of another number.
    """
    given, count = _shards(files)
    whole = joined(files)
    _check_rows(files)
    _check_software(files)
    missing = tuple(number for number in range(1, count + 1) if number not in given)
    found = Merged(whole, missing, count, tuple(_notes(files, whole)))
    shard = "" if found.is_complete or not count else f"{'+'.join(map(str, sorted(given)))}/{count}"
    return replace(found, results=replace(whole, shard=shard))


def joined(files: Sequence[Results]) -> Results:
    """Return several results files as one; a cell that failed in one of them and has a number in another has a number.

    Args:
        files: At least one, of one run or of several.

    Raises:
        Sst2Error: They hold one cell twice, or cells that were measured on other data or by another recipe.
    """
    _check_once(files)
    _check_table(files)
    planned = tuple(dict.fromkeys(cell for one in files for cell in one.planned))
    place = {cell: number for number, cell in enumerate(planned)}
    records = [record for one in files for record in one.records]
    measured = {record.cell for record in records}
    failures = {failure.cell: failure for one in files for failure in one.failures if failure.cell not in measured}

    def order(each: Record | Failure) -> int:
        return place.get(each.cell, len(place))

    return Results(
        sorted(records, key=order),
        sorted(failures.values(), key=order),
        max(one.saved for one in files),
        ", ".join(one.origin for one in files),
        planned,
    )


def _check_once(files: Sequence[Results]) -> None:
    origins: dict[str, str] = {}
    twice: dict[tuple[str, str], list[str]] = {}
    for results in files:
        for record in results.records:
            if record.cell in origins:
                twice.setdefault((origins[record.cell], results.origin), []).append(record.cell)
            origins.setdefault(record.cell, results.origin)
    for (first, second), cells in twice.items():
        are = "is" if len(cells) == 1 else "are"
        raise Sst2Error(
            f"{shorten(cells)} {are} in {first!r} and in {second!r}. Each cell stands in one table once: leave one "
            "of the two out, or compare them with pytest-sst2 compare."
        )


def _check_table(files: Sequence[Results]) -> None:
    shared = {(each.dataset.name, each.dataset.split, each.recipe_label) for one in files for each in one.records}
    if len(shared) > 1:
        found = "; ".join(f"{name} {split}, recipe {recipe}" for name, split, recipe in sorted(shared))
        raise Sst2Error(f"these files cannot stand in one table, since their cells do not compare: {found}.")


def _measured(files: Sequence[Results]) -> Iterator[tuple[Record, str]]:
    """Yield every record with the name of its file."""
    for one in files:
        for record in one.records:
            yield record, one.origin


def _check_rows(files: Sequence[Results]) -> None:
    """Refuse cells of one seed with other rows, and of any seeds with another edition of the data."""
    revisions: dict[str, str] = {}
    digests: dict[int, dict[str, str]] = {}
    for record, origin in _measured(files):
        revisions.setdefault(record.dataset.revision, origin)
        of_seed = digests.setdefault(record.seed, {})
        of_seed.setdefault(record.dataset.digest, origin)
        if len(of_seed) > 1:
            (one, first), (other, second) = of_seed.items()
            raise Sst2Error(
                f"the rows of seed {record.seed} are others in {first!r} (digest {one[:12]}) than in {second!r} "
                f"({other[:12]}), so that their cells are not of one run. Measure one of them on the other's data."
            )
    if len(revisions) > 1:
        found = ", ".join(f"{revision} in {origin!r}" for revision, origin in revisions.items())
        raise Sst2Error(f"these files are of several editions of the data: {found}. Measure them again on one of them.")


def _check_software(files: Sequence[Results]) -> None:
    """Refuse other software or another kind of device; another machine is allowed."""
    measured = _measured(files)
    first, where = next(measured, (None, ""))
    if first is None:
        return
    for record, origin in measured:
        before, now = first.environment, record.environment
        if record.environment != first.environment and (changes := software_changes(before, now)):
            shown = shorten([f"{each.name} {each.before or 'none'} / {each.after or 'none'}" for each in changes], 4)
            raise Sst2Error(
                f"{first.cell} in {where!r} and {record.cell} in {origin!r} were measured in different environments: "
                f"{shown}. Shards are of one run only where each has the same versions and kind of device; compare "
                "such files with pytest-sst2 compare."
            )


def _shards(files: Sequence[Results]) -> tuple[set[int], int]:
    """Return which shards were given, of how many: none of 0 where no file says that it is one."""
    given: set[int] = set()
    counts: dict[int, str] = {}
    for one in files:
        if not one.shard:
            continue
        numbers, count = parse_shards(one.shard)
        given.update(numbers)
        counts.setdefault(count, f"{one.shard} in {one.origin!r}")
    if len(counts) > 1:
        raise Sst2Error(f"these shards are not of one run, which has one number of them: {', '.join(counts.values())}.")
    return given, next(iter(counts), 0)


def _notes(files: Sequence[Results], whole: Results) -> Iterator[str]:
    """Say which failures gave way to a number in another file."""
    origins = {record.cell: origin for record, origin in _measured(files)}
    for one in files:
        for failure in one.failures:
            if failure.cell in origins:
                yield (
                    f"{failure.cell} failed in {one.origin!r} and has its number from {origins[failure.cell]!r}: "
                    f"{failure.error}"
                )
    if whole.failures:
        names = shorten([failure.cell for failure in whole.failures])
        yield f"{plural(len(whole.failures), 'cell')} without a number: {names}"
