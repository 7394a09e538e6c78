"""Drift: from two Records of one cell to the causes, in words, of whatever may have moved its number.

A cell is a chain: rows, tokens, weights, embeddings, settings, training, predictions. What changes early changes all
that comes after, so each step is judged only as far as the steps before it are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

from pytest_sst2.compare.drift.encoder import computing_causes, different_values, encoder_causes, is_unsteady, shown
from pytest_sst2.compare.drift.tokens import same_token_sentences, token_causes
from pytest_sst2.compare.drift.training import (
    answer_causes,
    asked_causes,
    course_causes,
    first_step_causes,
    passes_causes,
    rows_causes,
    same_rows_in_another_order,
)
from pytest_sst2.results.fingerprint import Fingerprint, RowsFingerprint
from pytest_sst2.results.packing import unpacked_bits
from pytest_sst2.results.record import Record

# Enough of a commit or a digest to recognise it: as many letters as ``sha256:`` and twelve digits have.
_SHOWN_REVISION = 19
# The setting that says how many rows of a batch each process is given.
_SHARE = "per_device_train_batch_size"


def different_fields(before: Record, after: Record, *, same_seeds: bool = True) -> tuple[str, ...]:
    """Return what makes two records incomparable: data, split, recipe, seed or train order, each in words.

    Args:
        before: The earlier record.
        after: The later one.
        same_seeds: False where several seeds of either side are compared as draws: then seed and training rows may
            differ, and so may the rows of a held-out slice.
    """
    if before.dataset.name != after.dataset.name:
        return (f"data {after.dataset.name}, was {before.dataset.name}",)
    found = []
    if before.dataset.split != after.dataset.split:
        found.append(f"evaluation split {after.dataset.split}, was {before.dataset.split}")
    found += _different_recipe(before, after)
    if same_seeds and before.seed != after.seed:
        found.append(f"seed {after.seed}, was {before.seed}")
    if found:
        return tuple(found)
    old, new = before.fingerprint, after.fingerprint
    if not same_seeds:
        if old is None or new is None:
            return ("training and evaluation rows (a file of schema 1 does not tell one from the other)",)
        if after.dataset.split == "heldout":
            return ()
        found += _different_rows("evaluation", old.evaluation, new.evaluation)
        return tuple(_with_revisions(found, before, after))
    if old is None or new is None:
        if before.dataset.digest != after.dataset.digest:
            return ("training or evaluation rows (their digests differ; a file of schema 1 does not say which)",)
        if not before.labels and not after.labels:
            return ("labels: neither file has them (both are of schema 1). Measure one of the two again",)
        return ()
    found += _different_rows("training", old.train, new.train)
    found += _different_rows("evaluation", old.evaluation, new.evaluation)
    found = _with_revisions(found, before, after)
    if not found and _same_tokens(old, new) and same_rows_in_another_order(old.training, new.training):
        order = "training order: the optimiser was given the same rows in another order"
        settings = ", ".join(_different_settings(before, after).values())
        found.append(f"{order} ({settings})" if settings else order)
    return tuple(found)


def _different_settings(before: Record, after: Record) -> dict[str, str]:
    """Return a sentence for each setting that differs; processes that share the same batch out are no other setting."""
    found = different_values(before.settings, after.settings)
    whole = {each.settings.get(_SHARE, 0) * each.placement.processes for each in (before, after)}
    return {name: text for name, text in found.items() if name != _SHARE or len(whole) > 1}


def _different_recipe(before: Record, after: Record) -> Iterator[str]:
    for field in dataclasses.fields(before.recipe):
        old, new = getattr(before.recipe, field.name), getattr(after.recipe, field.name)
        if field.name not in ("name", "seeds") and old != new:
            yield f"recipe {field.name} {shown(new)}, was {shown(old)}"


def _different_rows(which: str, old: RowsFingerprint, new: RowsFingerprint) -> Iterator[str]:
    if old.sentences != new.sentences:
        yield (
            f"{which} sentences: {_rows(new)}, were {_rows(old)}"
            if _rows(old) != _rows(new)
            else f"{which} sentences: {_difference(old, new)} ({_rows(old)}, on both sides)"
        )
    elif old.labels != new.labels:
        bits = zip(unpacked_bits(old.labels, old.count), unpacked_bits(new.labels, new.count), strict=True)
        flipped = sum(one != other for one, other in bits)
        yield f"{which} labels: {flipped:,} of {new.count:,} sentences have the other label"
    elif old.order != new.order:
        yield f"{which} order: the same rows in another order"


def _with_revisions(found: list[str], before: Record, after: Record) -> list[str]:
    """Return what was found of the rows, before it what explains it: the data set itself is another."""
    old, new = before.dataset, after.dataset
    # A commit on the Hub and a digest of a folder's content name the same rows differently.
    if not found or old.source != new.source or old.revision == new.revision:
        return found
    shown = [each.revision[:_SHOWN_REVISION] for each in (new, old)]
    return [f"the data set has other rows (revision {shown[0]}, was {shown[1]})", *found]


def _difference(old: RowsFingerprint, new: RowsFingerprint) -> str:
    return (
        "with other spaces, case or accents"
        if old.normalized_digest and old.normalized_digest == new.normalized_digest
        else "not the same ones"
    )


def _rows(rows: RowsFingerprint) -> str:
    return f"{rows.count:,} rows, {rows.distinct:,} distinct"


def drift_causes(before: Record, after: Record, *, seeded: Collection[str] = ()) -> tuple[str, ...]:
    """Return, in the order of the chain, what differs between two records of the same data and recipe.

    Empty where nothing differs, and where one of them has no fingerprint (schema 1).

    Args:
        before: The earlier record.
        after: The later one; of another seed, only what does not depend on the seed is compared.
        seeded: Settings that depend on the seed.
    """
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        return ()
    comparable, same_seed = old.fixed_sentences == new.fixed_sentences, before.seed == after.seed
    settings = _different_settings(before, after)
    if not same_seed:
        settings = {name: sentence for name, sentence in settings.items() if name not in seeded}
    tokens = list(token_causes(old.tokens, new.tokens)) if comparable and old.tokens and new.tokens else []
    encoder = list(encoder_causes(before, after, same_seed=same_seed, comparable=comparable, settings=settings))
    # Another way to compute the same is told, but explains nothing that comes after.
    causes = [*tokens, *computing_causes(before, after), *encoder, *settings.values()]
    alike = not (tokens or encoder or settings)
    if not same_seed:
        return tuple(dict.fromkeys(causes))
    course = [
        *(() if tokens else rows_causes(old.training, new.training)),
        *course_causes(old.training, new.training, settings),
        *(asked_causes(old, new) if comparable and not tokens else ()),
    ]
    if alike and not course:
        course += first_step_causes(old.training, new.training)
    causes += course
    if not (old.encoder and new.encoder and is_unsteady(old.encoder, new.encoder)):
        causes += passes_causes(old, new)
    if comparable:
        causes += answer_causes(before, after, alike=alike and not course)
    return tuple(dict.fromkeys(causes))


def _same_tokens(old: Fingerprint, new: Fingerprint) -> bool:
    return bool(same_token_sentences(old.tokens, new.tokens).all())
