"""Which changes need each other, from the requirements of both versions."""

from __future__ import annotations

from packaging.markers import default_environment

from pytest_sst2.upgrade.dependency_closure import Closure, InstalledPackages, dependency_closure
from pytest_sst2.upgrade.pins import changes_between

MARKERS = {name: str(value) for name, value in default_environment().items()}


def closure_of(before: dict[str, tuple[str, list[str]]], after: dict[str, tuple[str, list[str]]]) -> Closure:
    sides = [
        InstalledPackages(
            {name: version for name, (version, _) in side.items()},
            {name: requires for name, (_, requires) in side.items()},
            MARKERS,
        )
        for side in (before, after)
    ]
    return dependency_closure(changes_between(sides[0].pins, sides[1].pins), *sides)


def of(closure: Closure, *names: str) -> set[str]:
    return set(closure(frozenset(names)))


def test_a_later_version_brings_what_it_requires_and_nothing_else() -> None:
    closure = closure_of(
        {"transformers": ("4", ["hub<1"]), "hub": ("0.3", []), "numpy": ("1", [])},
        {"transformers": ("5", ["hub>=1", "numpy>=1"]), "hub": ("2", []), "numpy": ("2", [])},
    )
    # The later transformers needs the later hub, and the earlier one excludes it.
    assert of(closure, "transformers") == of(closure, "hub") == {"transformers", "hub"}
    assert of(closure, "numpy") == {"numpy"}
    assert of(closure, "numpy", "hub") == {"numpy", "hub", "transformers"}
    assert of(closure) == set()


def test_needs_are_followed_to_their_end() -> None:
    closure = closure_of(
        {"a": ("1", []), "b": ("1", []), "c": ("1", [])},
        {"a": ("2", ["b>=2"]), "b": ("2", ["c>=2"]), "c": ("2", [])},
    )
    assert of(closure, "a") == {"a", "b", "c"}
    assert of(closure, "b") == {"b", "c"}
    assert of(closure, "c") == {"c"}


def test_a_new_package_comes_with_its_dependent_and_a_removed_one_goes_with_its() -> None:
    closure = closure_of(
        {"a": ("1", ["old"]), "old": ("1", [])},
        {"a": ("2", ["new>=3"]), "new": ("3", [])},
    )
    assert of(closure, "a") == {"a", "new"}
    # The earlier version of a needs the old package.
    assert of(closure, "old") == {"old", "a", "new"}
    assert of(closure, "new") == {"new"}


def test_requirements_of_extras_and_other_platforms_are_ignored() -> None:
    closure = closure_of(
        {"a": ("1", []), "b": ("1", [])},
        {"a": ("2", ["b>=2; sys_platform == 'nowhere'", "b>=2; extra == 'dev'", "what is this"]), "b": ("2", [])},
    )
    assert of(closure, "a") == {"a"}


def test_nonstandard_versions_are_ignored() -> None:
    closure = closure_of({"a": ("1", []), "b": ("odd", [])}, {"a": ("2", ["b>=2"]), "b": ("odder", [])})
    assert of(closure, "a") == {"a"}


def test_a_prerelease_satisfies_a_requirement() -> None:
    closure = closure_of({"a": ("1", []), "b": ("2.0rc1", [])}, {"a": ("2", ["b>=2.0rc1"]), "b": ("2.0", [])})
    assert of(closure, "a") == {"a"}
