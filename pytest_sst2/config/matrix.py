"""The matrix: the cells of a run, and those that a test is run for."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_sst2.config.against import AGAINST_OPTION, cell_names, split_question
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec, separator_of
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    import pytest

    from pytest_sst2.config.registry import Registry
    from pytest_sst2.config.settings import Settings


@dataclass(frozen=True)
class Matrix:
    """The distinct models, methods and seeds of a run in the order given, and the registry of the names."""

    models: tuple[ModelSpec, ...]
    methods: tuple[MethodSpec, ...]
    seeds: tuple[int, ...]
    registry: Registry

    @property
    def cells(self) -> list[Cell]:
        """All cells of the run."""
        return self._plan(self.methods)

    def cells_for(self, marker: pytest.Mark | None) -> list[Cell]:
        """Return the cells that a test with ``@pytest.mark.sst2`` is run for; all cells without the marker.

        Raises:
            Sst2Error: An argument of the marker is invalid, or a method is unknown.
        """
        if marker is None:
            return self.cells
        if set(marker.kwargs) - {"added"} or (marker.args and marker.kwargs):
            raise Sst2Error(f"it takes names of methods, or added=True alone, not {marker.args} {marker.kwargs}.")
        wanted = set(self.registry.methods)
        if marker.args:
            wanted = {self.registry.method(name).name for name in marker.args}
        elif marker.kwargs.get("added"):
            wanted = set(self.registry.added_methods)
        return self._plan([method for method in self.methods if method.name in wanted])

    def _plan(self, methods: Sequence[MethodSpec]) -> list[Cell]:
        return plan_cells(self.models, methods, self.seeds, self.registry.methods)


def read_matrix(settings: Settings, registry: Registry) -> Matrix:
    """Look up the models and methods of a run.

    Raises:
        Sst2Error: A name is unknown, a folder holds no model, or a named method cannot measure a variant.
    """
    models = distinct_models(registry.model(name, base=settings.models_base) for name in settings.models)
    named = [registry.method(name) for name in settings.methods]
    _refuse_variants([model for model in models if model.variant], named, registry, settings.recipe.dtype)
    return Matrix(
        models=models,
        methods=tuple(named or [method for method in registry.methods.values() if method.trains]),
        seeds=settings.recipe.seeds,
        registry=registry,
    )


def _refuse_variants(
    variants: Sequence[ModelSpec], named: Sequence[MethodSpec], registry: Registry, dtype: str
) -> None:
    if variants and dtype != "float32":
        raise Sst2Error(
            f"model {variants[0].name!r} is a variant of the float32 model; leave out --sst2-dtype {dtype}."
        )
    for model in variants:
        for method in named:
            if method.needs_model and (reason := method.refusal(model)):
                allowed = [other.name for other in registry.methods.values() if other.frozen]
                raise Sst2Error(
                    f"method {method.name!r} cannot measure {model.name!r}: {reason}. Measure variants with --methods "
                    f"{','.join(allowed)}."
                )


def find_against(settings: Settings, matrix: Matrix, *, strict: bool) -> tuple[str, ...]:
    """Return the questions of ``--sst2-against``, with every model under its name in the run.

    Args:
        settings: The settings with the questions as typed: a model may be named as ``--models`` takes it.
        matrix: The cells of the run.
        strict: Whether an unknown name is an error. Else its question is returned as typed, for a note.

    Raises:
        Sst2Error: With ``strict``, the run has no model, method or cell of a name.
    """
    known = cell_names(cell.key for cell in matrix.cells)

    def find(name: str) -> str:
        try:
            spec = matrix.registry.model(name, base=settings.models_base)
        except Sst2Error:
            return name
        return next((model.name for model in matrix.models if model.place == spec.place), name)

    found = []
    for question in settings.against:
        try:
            first, second = split_question(question, known, f"{AGAINST_OPTION} {question}: this run has", find=find)
        except Sst2Error:
            if strict:
                raise
            found.append(question)
        else:
            found.append(f"{first}={second}" if second else first)
    return tuple(found)


def plan_cells(
    models: Sequence[ModelSpec], methods: Sequence[MethodSpec], seeds: Sequence[int], known: Collection[str] = ()
) -> list[Cell]:
    """Return the cells in the order they run: method by method, so that similar cells are next to each other.

    A method without a model has one cell per seed, a method that trains nothing has the first seed only. A method that
    cannot measure a variant has no cell of it. ``known`` has the names of all methods, which decide the cells' ids.
    """
    cells = []
    for method in methods:
        columns: Sequence[ModelSpec | None] = models if method.needs_model else [None]
        for model in columns:
            if method.refusal(model):
                continue
            separator = separator_of(model, method, known) if model else "-"
            cells += [Cell(model, method, seed, separator) for seed in (seeds if method.trains else seeds[:1])]
    return cells


def distinct_models(specs: Iterable[ModelSpec]) -> tuple[ModelSpec, ...]:
    """Return the models without duplicates; the name of the parent folder distinguishes folders of the same name."""
    distinct: dict[Hashable, ModelSpec] = {}
    for spec in specs:
        distinct.setdefault(spec.place, spec)
    taken: dict[str, ModelSpec] = {}
    for spec in distinct.values():
        name = _free_name(spec, taken)
        taken[name] = dataclasses.replace(spec, name=name)
    return tuple(taken.values())


def _free_name(spec: ModelSpec, taken: Mapping[str, ModelSpec]) -> str:
    if spec.name not in taken:
        return spec.name
    name = f"{spec.folder.parent.name}/{spec.name}" if spec.folder else spec.name
    number = 2
    while name in taken:
        name, number = f"{spec.name}#{number}", number + 1
    return name
