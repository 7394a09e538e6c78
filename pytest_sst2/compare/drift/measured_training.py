"""Compare all that was measured of two trainings, and find the settings that explain none of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from pytest_sst2.compare.drift.encoder import arithmetic_causes
from pytest_sst2.compare.drift.evidence import Cause, causes_of
from pytest_sst2.compare.drift.fixed_batch import fixed_batch_causes
from pytest_sst2.compare.drift.optimizer_steps import step_causes
from pytest_sst2.compare.drift.training import first_step_causes, training_causes, training_row_causes
from pytest_sst2.results.record import Record

# The setting with the digest of the method's code.
CODE_SETTING = "code"


def all_training_causes(
    before: Record, after: Record, settings: Collection[str], *, tokens: Collection[Cause], encoder: Collection[Cause]
) -> Iterator[Cause]:
    """Yield the differences between the trainings, as far as the earlier steps agree."""
    old, new = (record.fingerprint.training if record.fingerprint else None for record in (before, after))
    if old is None or new is None:
        return
    explained = {*settings, *(cause.where for cause in encoder if cause.kind == "config")}
    autocast = bool(old.autocast or new.autocast) or any(
        cause.where == "matrix products" for cause in arithmetic_causes(before, after)
    )
    measured = [
        *fixed_batch_causes(
            old.fixed_batch,
            new.fixed_batch,
            same_tokens=not tokens,
            same_start=not (tokens or encoder),
            explained=explained,
            autocast=autocast,
            hidden_dropout=after.path == "fast" and after.environment.device == "cpu",
        ),
        *step_causes(old, new, before.settings, after.settings, explained),
    ]
    other_inputs = any(cause.where in new.fixed_batch.inputs for cause in measured) if new.fixed_batch else False
    rows = [] if tokens or other_inputs else [*causes_of("training", training_row_causes(old, new))]
    yield from rows
    yield from causes_of("training", training_causes(old, new, settings))
    yield from measured
    # Records without a fixed batch show less: the first batch has dropout masks, which differ between releases.
    if not (rows or tokens or encoder or settings or (old.fixed_batch and new.fixed_batch)):
        yield from causes_of("training", first_step_causes(old, new))


def settings_without_effect(
    before: Record,
    after: Record,
    settings: Collection[str],
    causes: Sequence[Cause],
    *,
    tokens: Collection[Cause],
    encoder: Collection[Cause],
) -> tuple[str, ...]:
    """Return the differing settings that explain nothing that was measured of two trainings.

    ``causes`` are those of ``all_training_causes``, which leaves out the differences that a setting explains. A setting
    explains something if there are other causes as soon as the later record has the earlier value of it. If precision,
    rows or steps differ, all settings may explain it. The method's code may change any step.
    """
    old, new = (record.fingerprint.training if record.fingerprint else None for record in (before, after))
    if old is None or new is None or not (old.fixed_batch and new.fixed_batch):
        return ()
    if (old.autocast, old.order, old.steps) != (new.autocast, new.order, new.steps):
        return ()

    def causes_without(name: str) -> list[Cause]:
        unchanged = dataclasses.replace(after, settings={**after.settings, name: before.settings.get(name)})
        return [*all_training_causes(before, unchanged, {*settings} - {name}, tokens=tokens, encoder=encoder)]

    return tuple(name for name in settings if name != CODE_SETTING and causes_without(name) == [*causes])
