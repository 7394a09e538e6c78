"""Find the first bad commit of a history with branches, by testing the commits that halve what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pytest_sst2.upgrade.minimize import Outcome

History = Mapping[str, Sequence[str]]
"""From each commit to its parents, parents first. Parents that are no keys are ancestors of the good commit."""


def first_bad_commit(history: History, bad: str, test: Callable[[str], Outcome]) -> tuple[str, ...]:
    """Return the commits among which the first bad one is, in the order of the history: one, if that is known.

    As in ``git bisect``, a commit is good if a good one descends from it, and the commit to test next is the one whose
    ancestors are nearest to half of the commits that are left. That takes about log2(n) tests of n commits, whether
    they are on branches or not. A commit that is untestable or undecided is left out. Several in a row are usual, so
    after each of them the next one tested is twice as far away.

    Args:
        history: All ancestors of ``bad`` that are no ancestors of the good commit, and ``bad`` itself.
        bad: A commit known to be bad.
        test: Tests a commit; never called twice with the same.
    """
    commits = list(history)
    bit = {commit: 1 << number for number, commit in enumerate(commits)}
    # The ancestors of each commit and the commit itself, as the bits of a number.
    ancestors: dict[str, int] = {}
    for commit, parents in history.items():
        ancestors[commit] = bit[commit]
        for parent in parents:
            ancestors[commit] |= ancestors.get(parent, 0)
    left, skipped, in_a_row = ancestors[bad], 0, 0
    while True:
        remaining = [commit for commit in commits if bit[commit] & left]
        imbalance = {
            commit: abs(2 * (ancestors[commit] & left).bit_count() - len(remaining))
            for commit in remaining
            if commit != bad and not bit[commit] & skipped
        }
        if not imbalance:
            return tuple(remaining)
        untested = sorted(imbalance, key=imbalance.__getitem__)
        commit = untested[min(2**in_a_row, len(untested)) - 1]
        outcome = test(commit)
        in_a_row = 0 if outcome.is_known else in_a_row + 1
        if outcome is Outcome.BAD:
            left, bad = left & ancestors[commit], commit
        elif outcome is Outcome.GOOD:
            left &= ~ancestors[commit]
        else:
            skipped |= bit[commit]
