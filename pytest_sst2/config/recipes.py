"""Recipe: every setting that changes the accuracy of a cell, and the presets.

The label of a recipe names the values that differ from the preset (``quick train_size=500``). Floors and baselines of
the preset therefore do not apply to it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pytest_sst2.utils.errors import Sst2Error

EvaluationSplit = Literal["validation", "heldout"]
DType = Literal["float32", "bfloat16", "float16"]
# How a cell is computed: with ``methods.fast``, or with the libraries' own Trainer, modules and ``encode()``.
ComputationPath = Literal["fast", "stock"]

# The seeds of --sst2-seeds auto; those of every preset come first.
ALL_AUTO_SEEDS = (42, 43, 44, 45, 46, 47, 48, 49)

EVALUATION_SPLITS: tuple[str, ...] = get_args(EvaluationSplit)
DTYPES: tuple[str, ...] = get_args(DType)
PATHS: tuple[str, ...] = get_args(ComputationPath)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings that change the accuracy of a cell.

    Attributes:
        name: The preset this recipe started from.
        train_size: Number of training rows, from the start of the shuffled train split; None means all.
        evaluation: ``validation``, the official split, or ``heldout``, a slice of the shuffled train split. The slice
            starts one row after the training rows, as in the published notebook.
        eval_size: Number of evaluation rows; None means all of ``validation`` and is not allowed for ``heldout``.
        seeds: One cell per seed. The seed sets the shuffle, the initial head and the order of training.
        epochs: Passes over the training rows when fine-tuning.
        batch_size: Examples in one training step when fine-tuning.
        learning_rate: Peak learning rate when fine-tuning; it decays linearly to zero.
        group_by_length: Whether a training step takes sentences of similar length, which saves most of the padding.
        max_length: Longest input in tokens when fine-tuning, with special tokens; longer inputs are truncated.
        probe_max_length: The same for the frozen encoder of the probes; None means the encoder's own limit.
        dtype: Floating-point type. Fine-tuning keeps float32 weights and computes under autocast; frozen encoders
            are loaded in this type.
    """

    name: str
    train_size: int | None
    evaluation: EvaluationSplit
    eval_size: int | None
    seeds: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    max_length: int
    group_by_length: bool = False
    probe_max_length: int | None = None
    dtype: DType = "float32"

    @property
    def label(self) -> str:
        """The preset's name, followed by what differs from it (seeds apart): ``quick train_size=500``."""
        parts = [self.name]
        preset = PRESETS[self.name]
        if self.evaluation != preset.evaluation:
            parts.append(f"eval={self.evaluation}")
            preset = evaluated_on(preset, self.evaluation)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("name", "evaluation", "seeds") or value == getattr(preset, field.name):
                continue
            if field.name == "probe_max_length" and value == self.max_length != preset.max_length:
                continue  # --sst2-max-length sets both
            parts.append(f"{field.name}={'all' if value is None else value}")
        return " ".join(parts)


# Trainer defaults of the notebook: 3 epochs, batch 8, learning rate 5e-5 (docs/homework.md).
_HOMEWORK = Recipe(
    name="homework9",
    train_size=5000,
    evaluation="heldout",
    eval_size=5000,
    seeds=(42,),
    epochs=3,
    batch_size=8,
    learning_rate=5e-5,
    max_length=128,
)

HELDOUT_DEFAULT_SIZE = 5000


def evaluated_on(recipe: Recipe, evaluation: EvaluationSplit) -> Recipe:
    """Return the recipe with another evaluation split: all of validation, or 5,000 held-out rows."""
    size = HELDOUT_DEFAULT_SIZE if evaluation == "heldout" else None
    return dataclasses.replace(recipe, evaluation=evaluation, eval_size=size)


_VALIDATED = dataclasses.replace(evaluated_on(_HOMEWORK, "validation"), group_by_length=True)

PRESETS: dict[str, Recipe] = {
    "quick": Recipe(
        name="quick",
        train_size=2000,
        evaluation="validation",
        eval_size=None,
        seeds=(42,),
        epochs=1,
        batch_size=32,
        learning_rate=2e-4,
        max_length=128,
        group_by_length=True,
    ),
    "homework9": _HOMEWORK,
    # The notebook truncated sentences to five tokens for fine-tuning, and not for the frozen encoder.
    "homework9-as-published": dataclasses.replace(_HOMEWORK, name="homework9-as-published", max_length=5),
    "standard": dataclasses.replace(_VALIDATED, name="standard", seeds=(42, 43, 44), batch_size=16),
    "full": dataclasses.replace(_VALIDATED, name="full", train_size=None, seeds=(42, 43, 44, 45, 46), batch_size=32),
}


def build_recipe(name: str, **values: Any) -> Recipe:
    """Return the preset ``name`` with other values of its fields; None keeps the preset's value.

    ``max_length`` applies to fine-tuning and to the probes. Another ``evaluation`` than the preset's takes 5,000
    held-out rows, or all of validation, unless ``eval_size`` is given.

    Raises:
        Sst2Error: ``name`` is not a preset.
    """
    if name not in PRESETS:
        raise Sst2Error(f"unknown recipe {name!r}. Recipes: {', '.join(PRESETS)}.")
    preset = PRESETS[name]
    given = {field: value for field, value in values.items() if value is not None}
    if given.get("evaluation", preset.evaluation) != preset.evaluation:
        preset = evaluated_on(preset, given["evaluation"])
    if "max_length" in given:
        given["probe_max_length"] = given["max_length"]
    return dataclasses.replace(preset, **given)
