"""Slices: kinds of sentences, and how a classifier fares on each, before and after."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.significance import AccuracyChange, compare_one_seed, compare_seeds, wilson_interval
from pytest_sst2.data.pocket import pocket_kinds
from pytest_sst2.results.record import Interval

# Words, as SST-2 is tokenised: "does n't" is two of them. The bounds are fixed, so that slices of two runs compare.
_LENGTHS = ((1, 5), (6, 10), (11, 20), (21, 30), (31, None))
_NEGATIONS = frozenset(
    "not n't no never nothing nobody none nor neither nowhere without cannot hardly barely scarcely".split()  # noqa: SIM905 - easier to read
)
_CONTRASTS = frozenset(
    "but yet however although though despite except instead nevertheless nonetheless whereas still".split()  # noqa: SIM905 - easier to read
)
_APOSTROPHES = str.maketrans("’ʼ", "''")
_PUNCTUATION = re.compile(r"^\W+|\W+$")
# A slice of fewer sentences says too little to be shown.
SMALLEST = 5


@dataclass(frozen=True, eq=False)
class Slice:
    """A kind of sentences: its group and name, and for each evaluation row, shape (n,) bool, whether it is of it."""

    group: str
    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class SliceScore:
    """How a cell fares on a slice.

    Attributes:
        group: What the slice is a kind of: ``length``, ``words``, ``kind``.
        name: Such as ``6–10 words``.
        examples: Sentences in it; those of all seeds where each was asked its own.
        accuracy: The mean over the seeds, now.
        interval: Wilson's 95 % interval for one classifier of that accuracy on so many sentences.
        change: Before against after, with a p-value of this slice alone: it is there to look at, not to judge by.
            None without a baseline.
    """

    group: str
    name: str
    examples: int
    accuracy: float
    interval: Interval
    change: AccuracyChange | None


def slices_of(sentences: Sequence[str]) -> list[Slice]:
    """Return the slices of some sentences, those with fewer than five of them left out.

    Lengths are in words; a sign that stands alone is none. ``kind`` is there only for sentences of the pocket set,
    whose authors say what carries the verdict.
    """
    return list(_slices_of(tuple(sentences)))


@functools.lru_cache(maxsize=16)
def _slices_of(sentences: tuple[str, ...]) -> tuple[Slice, ...]:
    # Kept, since the cells of a run are asked the same sentences.
    words = [_words(sentence) for sentence in sentences]
    lengths = np.array([sum(map(bool, each)) for each in words])
    found = [
        Slice("length", _length_name(low, high), (lengths >= low) & (lengths <= (high or np.inf)))
        for low, high in _LENGTHS
    ]
    found += [_with_word("negation", words, _NEGATIONS), _with_word("contrast", words, _CONTRASTS)]
    found.append(Slice("words", "with neither", ~(found[-2].rows | found[-1].rows)))
    kinds = pocket_kinds()
    if all(sentence in kinds for sentence in sentences):
        of_rows = np.array([kinds[sentence] for sentence in sentences])
        found += [Slice("kind", kind, of_rows == kind) for kind in dict.fromkeys(kinds.values())]
    return tuple(each for each in found if each.rows.sum() >= SMALLEST)


def score_slices(pairing: Pairing, sentences: Mapping[int, Sequence[str]], *, compared: bool) -> list[SliceScore]:
    """Return how a cell fares on every slice of its sentences.

    Where all seeds were asked the same sentences, the seeds' own chance is in the change's interval and p-value
    (``compare_seeds``); where each was asked its own, their answers are pooled.

    Args:
        pairing: The cell's records; where there is no baseline, any for ``before``.
        sentences: The evaluation sentences by seed of the later records.
        compared: Whether there is a baseline.
    """
    before, after = pairing.right()
    texts = [sentences[record.seed] for record in pairing.after]
    if pairing.same_examples:
        return [_score(each, before, after, pairing.paired, compared) for each in slices_of(texts[0])]
    pooled = slices_of([sentence for each in texts for sentence in each])
    return [_score(each, before.reshape(1, -1), after.reshape(1, -1), True, compared) for each in pooled]


def _score(part: Slice, before: np.ndarray, after: np.ndarray, paired: bool, compared: bool) -> SliceScore:
    before, after = before[:, part.rows], after[:, part.rows]
    examples, accuracy = after.shape[1], float(after.mean())
    change = None
    if compared and len(before) == len(after) == 1:
        change = compare_one_seed(before[0], after[0])
    elif compared:
        change = compare_seeds(before, after, paired=paired, same_examples=True)
    interval = wilson_interval(round(accuracy * examples), examples)
    return SliceScore(part.group, part.name, examples, accuracy, interval, change)


def moved_most(scores: Sequence[SliceScore]) -> list[SliceScore]:
    """Return the slices that moved, the least likely by chance first, then the largest change."""
    moved = [each for each in scores if each.change is not None and each.change.delta]
    return sorted(moved, key=lambda each: (each.change.p_value, -abs(each.change.delta)))  # type: ignore[union-attr]


def _words(sentence: str) -> list[str]:
    return [_bare(word) for word in sentence.lower().translate(_APOSTROPHES).split()]


def _bare(word: str) -> str:
    """Return ``n't`` for a word that ends so, where text is not tokenised as SST-2 is; else it without punctuation."""
    return "n't" if word.endswith("n't") else _PUNCTUATION.sub("", word)


def _with_word(name: str, words: Sequence[Sequence[str]], wanted: frozenset[str]) -> Slice:
    return Slice("words", f"with {name}", np.array([not wanted.isdisjoint(each) for each in words], dtype=bool))


def _length_name(low: int, high: int | None) -> str:
    return f"{low}–{high} words" if high else f"{low} words or more"
