"""Recipes: the presets, and labels that tell a preset from one with a value changed."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from pytest_sst2.config.recipes import DTYPES, EVALUATION_SPLITS, PRESETS, Recipe, build_recipe
from pytest_sst2.utils.errors import Sst2Error


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    before, after = dataclasses.asdict(one), dataclasses.asdict(other)
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def test_the_presets_are_the_five_that_are_promised() -> None:
    assert list(PRESETS) == ["quick", "homework9", "homework9-as-published", "standard", "full"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_knows_its_name_and_is_labelled_by_it(name: str) -> None:
    assert PRESETS[name].name == name
    assert PRESETS[name].label == name
    assert build_recipe(name) == PRESETS[name]


@pytest.mark.parametrize("recipe", PRESETS.values(), ids=lambda recipe: recipe.name)
def test_a_preset_can_be_run(recipe: Recipe) -> None:
    assert recipe.evaluation in EVALUATION_SPLITS
    assert recipe.dtype in DTYPES
    assert len(set(recipe.seeds)) == len(recipe.seeds) > 0
    assert recipe.eval_size is not None or recipe.evaluation == "validation"


def test_homework9_has_the_settings_of_the_published_notebook() -> None:
    # TinyBERT's 1,875 steps in the published table: 5,000 rows / 8 a batch = 625 steps, 3 epochs.
    recipe = PRESETS["homework9"]
    assert (recipe.train_size, recipe.evaluation, recipe.eval_size, recipe.seeds) == (5000, "heldout", 5000, (42,))
    assert recipe.train_size is not None
    assert recipe.epochs * recipe.train_size // recipe.batch_size == 1875
    assert recipe.learning_rate == 5e-5
    assert recipe.dtype == "float32"


def test_as_published_differs_from_homework9_in_the_five_tokens_of_fine_tuning_alone() -> None:
    found = differences(PRESETS["homework9"], PRESETS["homework9-as-published"])
    assert found == {"name": ("homework9", "homework9-as-published"), "max_length": (128, 5)}
    assert PRESETS["homework9-as-published"].probe_max_length is None


def test_full_trains_on_all_rows_and_validates_on_all() -> None:
    assert (PRESETS["full"].train_size, PRESETS["full"].evaluation, PRESETS["full"].eval_size) == (
        None,
        "validation",
        None,
    )


@pytest.mark.parametrize(
    ("change", "label"),
    [
        ({"train_size": 500}, "quick train_size=500"),
        ({"eval_size": 100}, "quick eval_size=100"),
        ({"epochs": 2}, "quick epochs=2"),
        ({"batch_size": 8}, "quick batch_size=8"),
        ({"learning_rate": 3e-5}, "quick learning_rate=3e-05"),
        ({"dtype": "bfloat16"}, "quick dtype=bfloat16"),
        ({"max_length": 64}, "quick max_length=64"),
        ({"evaluation": "heldout"}, "quick eval=heldout"),
        ({"evaluation": "heldout", "eval_size": 300}, "quick eval=heldout eval_size=300"),
        ({"epochs": 2, "train_size": 500}, "quick train_size=500 epochs=2"),
    ],
)
def test_a_changed_value_shows_in_the_label_so_that_no_floor_of_the_preset_holds(
    change: dict[str, Any], label: str
) -> None:
    recipe = build_recipe("quick", **change)
    assert recipe.label == label
    assert all(getattr(recipe, name) == value for name, value in change.items())


def test_a_length_given_holds_for_fine_tuning_and_probes_alike() -> None:
    recipe = build_recipe("quick", max_length=64)
    assert (recipe.max_length, recipe.probe_max_length) == (64, 64)


def test_five_tokens_for_the_probes_are_not_the_recipe_as_published() -> None:
    # As published the probes read whole sentences: its floor for them is no floor for five tokens.
    assert build_recipe("homework9-as-published", max_length=5).label != "homework9-as-published"


def test_recipes_of_one_label_are_one_recipe() -> None:
    choices = itertools.product(
        PRESETS, (None, 500, 5000), (None, *EVALUATION_SPLITS), (None, 300, 5000), (None, 5, 128)
    )
    seen: dict[str, Recipe] = {}
    for name, train_size, evaluation, eval_size, max_length in choices:
        recipe = build_recipe(
            name, train_size=train_size, evaluation=evaluation, eval_size=eval_size, max_length=max_length, seeds=(1,)
        )
        assert differences(seen.setdefault(recipe.label, recipe), recipe) == {}


@pytest.mark.parametrize("change", [{}, {"seeds": (1, 2, 3)}, {"epochs": 1}, {"evaluation": "validation"}])
def test_other_seeds_and_the_presets_own_values_leave_the_label_alone(change: dict[str, Any]) -> None:
    assert build_recipe("quick", **change).label == "quick"


def test_seeds_are_taken_over() -> None:
    assert build_recipe("standard", seeds=(7, 8)).seeds == (7, 8)


def test_a_held_out_preset_told_to_validate_takes_all_of_validation() -> None:
    recipe = build_recipe("homework9", evaluation="validation")
    assert (recipe.evaluation, recipe.eval_size) == ("validation", None)
    assert recipe.label == "homework9 eval=validation"


def test_an_override_leaves_everything_else_and_the_preset_itself_alone() -> None:
    recipe = build_recipe("standard", learning_rate=1e-5)
    assert differences(PRESETS["standard"], recipe) == {"learning_rate": (5e-5, 1e-5)}
    assert PRESETS["standard"].learning_rate == 5e-5


def test_an_unknown_recipe_is_refused_with_all_there_are() -> None:
    with pytest.raises(Sst2Error) as caught:
        build_recipe("quik")
    assert [part for part in ["'quik'", *PRESETS] if part not in str(caught.value)] == []


def test_a_recipe_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["quick"].epochs = 2  # type: ignore[misc]
