"""Find out before anything is measured which cells of a run its baseline cannot be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.changed_on_purpose import pair_cells, reasons, undeclared
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.pairing import Pairing, by_cell, pair_records
from pytest_sst2.config.declared import Declared
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record


@dataclass(frozen=True)
class EarlyCheck:
    """What is certain about a comparison before the first cell is measured.

    Attributes:
        comparison: The comparison with the cells that are certainly incomparable, each with its reasons, and no others.
        is_hopeless: Whether no cell can be compared.
    """

    comparison: Comparison
    is_hopeless: bool


def check_early(
    before: Results, expected: Iterable[Record], *, tolerance: float, alpha: float, declared: Declared
) -> EarlyCheck:
    """Return what is certain about the comparison of ``before`` with records that have yet to be measured.

    Of the ``expected`` records, only the cell, seed, recipe, data set, labels and rows are read.

    Raises:
        Sst2Error: A declared pair names a model or method that a side lacks.
    """
    old, new = by_cell(before.records), by_cell(expected)
    paired = pair_cells(old, new, declared)
    found = {key: _certain_reasons(old[earlier], new[key], declared) for key, earlier in paired.items()}
    cells = tuple(
        CellComparison(*key, tuple(new[key]), "incomparable", problems) for key, problems in found.items() if problems
    )
    comparison = Comparison(
        before=before.origin,
        after="this run",
        saved=before.saved,
        tolerance=tolerance,
        alpha=alpha,
        cells=cells,
        environment=(),
        only_before=(),
        only_after=tuple(cell_name(key) for key in new if key not in paired),
        to_declare=undeclared(old, new, paired, declared),
    )
    return EarlyCheck(comparison, is_hopeless=len(cells) == len(paired))


def _certain_reasons(old: Mapping[int, Record], new: Mapping[int, Record], declared: Declared) -> tuple[str, ...]:
    """Return why a cell is incomparable however its seeds are paired; empty if it may be comparable."""
    pairing = pair_records(old, new)
    problems = tuple(dict.fromkeys(reasons(pairing, declared)))
    if pairing.paired and old.keys() != new.keys() and old.keys() & new.keys():
        # How the trainings go decides whether these seeds are pairs or draws.
        draws = Pairing(tuple(old.values()), tuple(new.values()), paired=False)
        problems = problems if any(reasons(draws, declared)) else ()
    return problems
