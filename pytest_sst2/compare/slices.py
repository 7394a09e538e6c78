"""Score a classifier on slices: subsets of the evaluation sentences of one kind, before and after."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.config.options import ALPHA
from pytest_sst2.data.pocket import pocket_kinds

# Words as SST-2 is tokenised: "does n't" is two words. The bounds are fixed, so that slices of two runs are comparable.
_LENGTHS = ((1, 5), (6, 10), (11, 20), (21, 30), (31, None))
_NEGATIONS = frozenset(
    "not n't no never nothing nobody none nor neither nowhere without cannot hardly barely scarcely".split()  # noqa: SIM905 - easier to read
)
_CONTRASTS = frozenset(
    "but yet however although though despite except instead nevertheless nonetheless whereas still".split()  # noqa: SIM905 - easier to read
)
_APOSTROPHES = str.maketrans("’ʼ", "''")
_PUNCTUATION = re.compile(r"^\W+|\W+$")
# An accuracy over fewer sentences is too imprecise to show.
SMALLEST_SLICE = 5


@dataclass(frozen=True, eq=False)
class Slice:
    """One kind of sentences, such as ``length``, ``6–10 words``; ``rows`` is a bool mask of shape (n,)."""

    group: str
    name: str
    rows: np.ndarray


@dataclass(frozen=True)
class SliceScore:
    """The accuracy of a cell on a slice.

    Attributes:
        examples: The number of sentences; summed over the seeds if each seed has its own.
        accuracy: The mean over the seeds, in the later run.
        change: Before and after, with bounds for this slice alone. It is exploratory and decides no verdict. None
            without a baseline.
    """

    group: str
    name: str
    examples: int
    accuracy: float
    change: AccuracyChange | None


def slices_of(sentences: Sequence[str]) -> list[Slice]:
    """Return the slices of some sentences, without those of fewer than five sentences.

    Lengths are in words; punctuation that stands alone is not a word. ``kind`` exists only for sentences of the pocket
    set, which labels what carries the sentiment.
    """
    return list(_slices_of(tuple(sentences)))


# Cached, because all cells of a run have the same sentences.
@functools.lru_cache(maxsize=16)
def _slices_of(sentences: tuple[str, ...]) -> tuple[Slice, ...]:
    words = [
        [_without_punctuation(word) for word in sentence.lower().translate(_APOSTROPHES).split()]
        for sentence in sentences
    ]
    lengths = np.array([sum(map(bool, of_sentence)) for of_sentence in words])
    slices = [
        Slice(
            "length",
            f"{low}–{high} words" if high else f"{low} words or more",
            (lengths >= low) & (lengths <= (high or np.inf)),
        )
        for low, high in _LENGTHS
    ]
    negation, contrast = _with_word("negation", words, _NEGATIONS), _with_word("contrast", words, _CONTRASTS)
    slices += [negation, contrast, Slice("words", "without negation or contrast", ~(negation.rows | contrast.rows))]
    kinds = pocket_kinds()
    if all(sentence in kinds for sentence in sentences):
        row_kinds = np.array([kinds[sentence] for sentence in sentences])
        slices += [Slice("kind", kind, row_kinds == kind) for kind in dict.fromkeys(kinds.values())]
    return tuple(part for part in slices if part.rows.sum() >= SMALLEST_SLICE)


def score_slices(pairing: Pairing, sentences: Mapping[int, Sequence[str]], *, compared: bool) -> list[SliceScore]:
    """Return the scores of a cell on every slice of its sentences.

    If each seed has its own sentences, their predictions are pooled. Unless ``compared``, there is no
    baseline and ``pairing.before`` may be any records.
    """
    before, after = pairing.correctness()
    texts = [sentences[record.seed] for record in pairing.after]
    if pairing.same_examples:
        return [_score(part, before, after, pairing.paired, compared) for part in slices_of(texts[0])]
    pooled = slices_of([sentence for of_seed in texts for sentence in of_seed])
    return [_score(part, before.reshape(1, -1), after.reshape(1, -1), True, compared) for part in pooled]


def _score(part: Slice, before: np.ndarray, after: np.ndarray, paired: bool, compared: bool) -> SliceScore:
    before, after = before[:, part.rows], after[:, part.rows]
    examples, accuracy = after.shape[1], float(after.mean())
    change = (
        compare_accuracy(before, after, paired=paired, same_examples=True, is_random=False, alpha=ALPHA)
        if compared
        else None
    )
    return SliceScore(part.group, part.name, examples, accuracy, change)


def most_changed(scores: Sequence[tuple[str, SliceScore]]) -> list[tuple[str, SliceScore, AccuracyChange]]:
    """Return the cells and slices whose accuracy changed, the smallest p-value first, then the largest change."""
    changed = [(cell, score, score.change) for cell, score in scores if score.change is not None and score.change.delta]
    return sorted(changed, key=lambda item: (min(item[2].p_worse, item[2].p_better), -abs(item[2].delta)))


def _without_punctuation(word: str) -> str:
    """Return a word without punctuation, or ``n't`` if it ends so, because SST-2 makes that a word of its own."""
    return "n't" if word.endswith("n't") else _PUNCTUATION.sub("", word)


def _with_word(name: str, words: Sequence[Sequence[str]], wanted: frozenset[str]) -> Slice:
    rows = np.array([not wanted.isdisjoint(of_sentence) for of_sentence in words], dtype=bool)
    return Slice("words", f"with {name}", rows)
