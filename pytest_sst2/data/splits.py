"""Draw the training and evaluation rows of a recipe from a data set, by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_sst2.config.recipes import PRESETS, Recipe
from pytest_sst2.data.readers import Rows
from pytest_sst2.data.sources import content_digest
from pytest_sst2.results.record import DatasetInfo
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import sha256_digest

if TYPE_CHECKING:
    from datasets import Dataset

    from pytest_sst2.data.sources import Source


@dataclass(frozen=True, eq=False)
class Examples:
    """Sentences and their labels of shape (n,), 0 for negative and 1 for positive. Instances compare by identity.

    The cells of a run share them, so the rows of a data set are a tuple and a read-only array.
    """

    sentences: Sequence[str]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class Splits:
    """The rows that one cell trains on and is evaluated on."""

    train: Examples
    evaluation: Examples
    info: DatasetInfo


def draw_splits(source: Source, recipe: Recipe, seed: int) -> Splits:
    """Return the training and evaluation rows of a recipe.

    ``datasets`` shuffles the train split with ``train.shuffle(seed)``; training uses rows 0 to ``train_size`` - 1.
    ``heldout`` evaluates on the rows from ``train_size`` + 1 on. With 5,000 and 5,000 rows these are exactly rows
    0-4999 and 5001-10000 of the published notebook, which omitted row 5000. ``validation`` uses the first
    ``eval_size`` rows of the official split in their original order.

    If the data has fewer rows than a preset's train size, all rows are used and ``info.note`` mentions it.

    Raises:
        Sst2Error: The data has too few rows for a size that was set, or for the held-out slice. The message says if it
            is the pocket set in place of SST-2.
    """
    try:
        return _draw_splits(source, recipe, seed)
    except Sst2Error as error:
        if not source.instead_of_sst2:
            raise
        raise Sst2Error(
            f"{source.instead_of_sst2} Run once where it can be reached, to fill the cache. The built-in pocket set is "
            f"too small to replace it: {error}"
        ) from error


def _draw_splits(source: Source, recipe: Recipe, seed: int) -> Splits:
    shuffled = source.dataset["train"].shuffle(seed=seed, keep_in_memory=True)
    train_size, note = _train_size(source, recipe, len(shuffled))
    train = _examples(shuffled.select(range(train_size)))
    if recipe.evaluation == "heldout":
        rows = _heldout_rows(source, recipe, train_size, len(shuffled))
        evaluation = _examples(shuffled.select(rows))
    else:
        evaluation = _examples(_validation(source, recipe))
    info = DatasetInfo(
        name=source.name,
        source=source.source,
        revision=source.revision,
        split=recipe.evaluation,
        train_size=len(train),
        eval_size=len(evaluation),
        digest=sha256_digest(_digest(train) + _digest(evaluation)),
        note="; ".join(part for part in (source.note, note) if part),
        columns=source.columns,
        labels=source.labels,
    )
    return Splits(train, evaluation, info)


def _train_size(source: Source, recipe: Recipe, available: int) -> tuple[int, str]:
    size = recipe.train_size
    if size is None or size <= available:
        return available if size is None else size, ""
    if size == PRESETS[recipe.name].train_size and recipe.evaluation == "validation":
        return available, f"recipe {recipe.name} asks for {size:,} training rows, {source.name} has {available:,}"
    raise Sst2Error(
        f"recipe {recipe.name} needs {size:,} training rows, but {source.name} has {available:,}. Lower "
        "--sst2-train-size, or name a larger data set with --sst2-data."
    )


def _heldout_rows(source: Source, recipe: Recipe, train_size: int, available: int) -> range:
    first = train_size + 1
    size = recipe.eval_size or 0
    if first + size > available:
        raise Sst2Error(
            f"recipe {recipe.label} holds out rows {first:,} to {first + size - 1:,} of the shuffled train split, but "
            f"{source.name} has {available:,} rows and {first + size:,} are needed. Use --sst2-eval=validation, "
            "smaller sizes (--sst2-train-size, --sst2-eval-size), or a larger data set with --sst2-data."
        )
    return range(first, first + size)


def _validation(source: Source, recipe: Recipe) -> Dataset:
    validation = source.dataset["validation"]
    size = recipe.eval_size or len(validation)
    if size > len(validation):
        raise Sst2Error(
            f"recipe {recipe.name} needs {size:,} evaluation rows, but the validation split of {source.name} has "
            f"{len(validation):,}. Lower --sst2-eval-size."
        )
    return validation.select(range(size))


def _examples(rows: Dataset) -> Examples:
    labels = np.array(rows["label"][:], dtype=np.int64)
    labels.flags.writeable = False
    return Examples(tuple(rows["sentence"][:]), labels)


def _digest(examples: Examples) -> str:
    return content_digest(Rows(list(examples.sentences), examples.labels.tolist()))
