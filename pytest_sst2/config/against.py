"""Questions about the cells of one run, as asked with ``--sst2-against``: ``NAME``, or ``A=B``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from pytest_sst2.config.specs import cell_name
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, shorten
from pytest_sst2.utils.suggest import closest, did_you_mean

AGAINST_OPTION = "--sst2-against"
# What can fail a comparison of cells of one run. Times of different cells are not compared, and no cell is missing.
PAIR_FAIL_ON = ("regressed", "undecided", "drifted", "incomparable")
_MOST_NAMES = 12


def split_question(
    question: str, known: Collection[str], whose: str, *, find: Callable[[str], str] = str
) -> tuple[str, str]:
    """Return the two names of a question; the second is empty if it has one name.

    A name may contain ``=``. The question is then split where both sides are known.

    Args:
        question: ``NAME`` or ``A=B``.
        known: The names of models, methods and cells.
        whose: The option and the place of the names, for an error.
        find: Returns the known name of a name that was typed in another way.

    Raises:
        Sst2Error: A name is unknown.
    """
    ends = [index for index, character in enumerate(question) if character == "="]
    candidates = [(question, ""), *((question[:end].strip(), question[end + 1 :].strip()) for end in ends)]
    for pair in candidates:
        names = tuple(name if name in known else find(name) for name in pair if name)
        if all(name in known for name in names) and pair[0] and (pair[1] or pair == candidates[0]):
            return names[0], names[1] if len(names) > 1 else ""
    unknown = next(name for name in candidates[-1] if find(name) not in known)
    guess = did_you_mean(closest(unknown, known))
    raise Sst2Error(
        f"{whose} no model, method or cell {quoted(unknown)}.{guess} They have "
        f"{shorten(list(known), _MOST_NAMES) or 'none'}."
    )


def cell_names(keys: Iterable[tuple[str | None, str]]) -> list[str]:
    """Return the distinct names of models, methods and cells, in this order."""
    keys = list(keys)
    models = [model for model, _ in keys if model]
    return list(dict.fromkeys([*models, *(method for _, method in keys), *(map(cell_name, keys))]))
