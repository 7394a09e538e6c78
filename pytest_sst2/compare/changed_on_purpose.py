"""Pair the cells of two results across a change that was made on purpose, and find what has to be declared for it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from pytest_sst2.compare.drift.causes import drift_causes, incomparable_reasons, recipe_differences
from pytest_sst2.compare.drift.encoder import is_frozen, value_text
from pytest_sst2.compare.drift.evidence import Cause, Rank, ranked
from pytest_sst2.compare.pairing import CellKey, Pairing, pair_records
from pytest_sst2.config.declared import CHANGED_OPTION, Declared
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, shorten

# The only recipe values of a probe; the others are for training in steps.
_PROBE_VALUES = ("train_size", "evaluation", "eval_size", "probe_max_length", "dtype")
# Recipe values that change no amount of work.
_SAME_WORK = ("learning_rate",)
# Steps that do not follow from another recipe.
_BEFORE_TRAINING = ("tokens", "weights", "config", "arithmetic", "modules", "embeddings")

Cells = Mapping[CellKey, Mapping[int, Record]]


def pair_cells(old: Collection[CellKey], new: Collection[CellKey], declared: Declared) -> dict[CellKey, CellKey]:
    """Return the earlier cell of each later cell that has one: the same one, unless a change was declared.

    With ``model`` declared, models whose names only one side has are paired where they are the only ones of a method.

    Raises:
        Sst2Error: A declared pair names a model or method that a side lacks, or one that another pair names.
    """
    pairs = [_split(pair, old, new) for pair in declared.pairs]
    renamed = _renaming(pairs)
    targets = set(renamed.values())
    # A name of a declared pair is not compared with its own name on the other side.
    mapped = {key: (renamed.get(key[0] or "", key[0]), renamed.get(key[1], key[1])) for key in old}
    result = {
        after: before
        for before, after in mapped.items()
        if after in new and (before != after or not targets.intersection(part or "" for part in after))
    }
    if declared.model:
        result |= _only_ones(old, new, result)
    return {key: result[key] for key in new if key in result}


def _split(pair: str, old: Collection[CellKey], new: Collection[CellKey]) -> tuple[str, str]:
    """Return the two names of a declared pair; of several ``=`` the one between two known names."""
    before, after = ({part for key in side for part in key if part} for side in (old, new))
    places = [index for index, character in enumerate(pair) if character == "="]
    splits = [(pair[:index].strip(), pair[index + 1 :].strip()) for index in places]
    for one, other in splits:
        if one in before and other in after:
            return one, other
    one, other = splits[0]
    side, names, name = ("earlier", before, one) if one not in before else ("later", after, other)
    raise Sst2Error(
        f"{CHANGED_OPTION} {pair}: the {side} results have no model or method {quoted(name)}. They have "
        f"{shorten(sorted(names)) or 'none'}."
    )


def _renaming(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    for names in zip(*pairs, strict=True):
        if repeated := [name for name in names if names.count(name) > 1]:
            raise Sst2Error(f"{CHANGED_OPTION} pairs {quoted(repeated[0])} twice; name it in one pair.")
    return dict(pairs)


def _only_ones(
    old: Collection[CellKey], new: Collection[CellKey], paired: Mapping[CellKey, CellKey]
) -> dict[CellKey, CellKey]:
    """Return the pairs of cells whose models differ, where one is left of a method on either side."""
    models: dict[str, str] = {}
    found = True
    while found:
        found = False
        for method in dict.fromkeys(key[1] for key in new):
            left = _left(method, old, {*paired.values()}, models.values())
            right = _left(method, new, {*paired}, models)
            if len(left) == len(right) == 1:
                models[right[0]] = left[0]
                found = True
    pairs = {(after, method): (before, method) for after, before in models.items() for _, method in new}
    return {after: before for after, before in pairs.items() if after in new and before in old}


def _left(method: str, keys: Collection[CellKey], paired: Collection[CellKey], models: Collection[str]) -> list[str]:
    rest = (key[0] for key in keys if key[1] == method and key not in paired and key[0] not in models)
    return [model for model in rest if model]


def undeclared(old: Cells, new: Cells, paired: Mapping[CellKey, CellKey], declared: Declared) -> str:
    """Return the option to type to compare the cells that differ in a model, method or recipe; empty if there are none.

    A cell whose rows differ as well is not comparable, whatever is declared.
    """
    everything = declared | Declared(model=True, recipe=True)
    needed = Declared()
    for after, before, missing in _candidates(old, new, paired, declared):
        pairing = pair_records(old[before], new[after])
        if not any(reasons(pairing, everything)):
            needed |= missing
    return f"{CHANGED_OPTION} {shlex.quote(str(declared | needed))}" if str(needed) else ""


def _candidates(
    old: Cells, new: Cells, paired: Mapping[CellKey, CellKey], declared: Declared
) -> Iterator[tuple[CellKey, CellKey, Declared]]:
    """Yield a later and an earlier cell that are not compared as declared, and what is missing for it."""
    by_model = _only_ones(old, new, paired)
    renamed = {**by_model, **_similar(old, new, {**paired, **by_model}, 0)}
    renamed |= _similar(old, new, {**paired, **renamed}, 1)
    done = {**paired, **renamed}
    left, right = [key for key in old if key not in done.values()], [key for key in new if key not in done]
    if len(left) == len(right) == 1 and left[0][0] and right[0][0]:  # another model by another method
        renamed[right[0]] = left[0]
    for after, before in {**paired, **renamed}.items():
        is_recipe = any(recipe_differences(first_record(old[before]), first_record(new[after])))
        names = [] if after in paired or after in by_model else [*zip(before, after, strict=True)]
        pairs = tuple(f"{one}={other}" for one, other in names if one != other)
        missing = Declared(
            model=after in renamed and after[0] != before[0], recipe=is_recipe and not declared.recipe, pairs=pairs
        )
        if str(missing):
            yield after, before, missing


def first_record(seeds: Mapping[int, Record]) -> Record:
    """Return the record of a cell's first seed."""
    return next(iter(seeds.values()))


def reasons(pairing: Pairing, declared: Declared) -> Iterator[str]:
    """Yield why the records of a cell are incomparable."""
    for old, new in pairing.pairs:
        same_seeds = pairing.paired or old.seed == new.seed
        yield from incomparable_reasons(old, new, same_seeds=same_seeds, declared=declared)


def _similar(
    old: Collection[CellKey], new: Collection[CellKey], paired: Mapping[CellKey, CellKey], part: int
) -> dict[CellKey, CellKey]:
    """Return pairs of cells that differ in one part of their name, model (0) or method (1), the most similar first."""
    left = [key for key in old if key not in paired.values() and key[part]]
    right = [key for key in new if key not in paired and key[part]]
    candidates = [(one, other) for one in right for other in left if one[1 - part] == other[1 - part]]
    names = {(one[part] or "", other[part] or "") for one, other in candidates}
    chosen: dict[str, str] = {}
    for one, other in sorted(names, key=lambda pair: (-difflib.SequenceMatcher(None, *pair).ratio(), pair)):
        if one not in chosen and other not in chosen.values():
            chosen[one] = other
    return {one: other for one, other in candidates if chosen.get(one[part] or "") == other[part]}


def _changed_values(before: Record, after: Record) -> list[str]:
    return [difference.partition(" ")[0] for difference in recipe_differences(before, after)]


def declared_change(before: Record, after: Record, declared: Declared) -> str:
    """Return the change on purpose between two records, in words; empty if there is none."""
    parts = []
    if variant := _variant_change(before, after):
        parts.append(variant)
    for what, old, new in (("model", before.model, after.model), ("method", before.method, after.method)):
        if old != new and not (variant and what == "model"):
            parts.append(f"{what} {new}, was {old}")
    if declared.recipe and (differences := list(recipe_differences(before, after))):
        parts.append(f"recipe {'; '.join(differences)}")
    if before.path != after.path:
        parts.append(f"path {after.path}, was {before.path}")
    return "; ".join(parts)


def _variant_change(before: Record, after: Record) -> str:
    """Return how the same weights are served otherwise, in words; empty if they are not, or if others are loaded."""
    old, new = (str(record.settings.get("variant", "plain")) for record in (before, after))
    is_same = before.weights is not None and after.weights is not None and before.weights.sha256 == after.weights.sha256
    return f"variant {new}, was {old}" if is_same and old != new else ""


def causes(before: Record, after: Record, change: str, seeded: Collection[str]) -> tuple[Cause, ...]:
    """Return the causes of a cell, a declared change first, then what differs and does not follow from it.

    Another model changes all later steps, and another recipe the training, so these are not compared.
    """
    drift = drift_causes(before, after, seeded=seeded)
    if not change:
        return drift
    if before.method != after.method or not _same_weights(before, after):
        drift = ()
    elif _variant_change(before, after):  # it changes all later steps too
        drift = tuple(cause for cause in drift if cause.kind in ("rows", "tokens"))
    elif values := _changed_values(before, after):
        is_encoder_same = not {"dtype", "max_length", "probe_max_length"}.intersection(values)
        drift = tuple(cause for cause in drift if is_encoder_same and cause.kind in _BEFORE_TRAINING)
    elif before.path != after.path:
        # Other batches, orders and masks follow from the path, and with them all that has no place of its own.
        drift = tuple(cause for cause in drift if cause.kind in (*_BEFORE_TRAINING, "settings") or cause.where)
    return ranked((Cause(change, "declared", rank=Rank.DECLARED), *drift))


def _same_weights(before: Record, after: Record) -> bool:
    """Return whether a model has its name and the cell is thus compared as usual, or the weights of the other."""
    if before.model == after.model or before.weights is None or after.weights is None:
        return before.model == after.model
    return before.weights.sha256 == after.weights.sha256


def other_work(before: Record, after: Record) -> str:
    """Return why two records with a declared change did not do the same work, in words; empty if they did."""
    if before.method != after.method:
        return f"method {after.method}, was {before.method}"
    if before.path != after.path:
        return f"path {after.path}, was {before.path}"
    if before.model != after.model and not (_variant_change(before, after) or _same_size(before, after)):
        return f"model {after.model}, was {before.model}"
    values = [name for name in _changed_values(before, after) if name not in _SAME_WORK]
    if all(is_frozen(record) for record in (before, after)):
        values = [name for name in values if name in _PROBE_VALUES]
    texts = (f"{name} {value_text(getattr(after.recipe, name))}" for name in values)
    return f"recipe {', '.join(texts)}" if values else ""


def _same_size(before: Record, after: Record) -> bool:
    """Return whether two models are computed in the same way: the same config, type and tokens."""
    old, new = (record.fingerprint for record in (before, after))
    if old is None or new is None or old.encoder is None or new.encoder is None or not (old.tokens and new.tokens):
        return False
    same = all(getattr(old.encoder, name) == getattr(new.encoder, name) for name in ("config", "dtype", "attention"))
    return same and bool(old.encoder.config) and old.tokens.ids == new.tokens.ids
