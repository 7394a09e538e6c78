"""Compare two records of one cell along its chain, and name in words what may have changed its accuracy.

The chain is: rows, tokens, weights, embeddings, settings, training, predictions. A difference in an early step changes
all later steps, so each step is judged only as far as the earlier steps agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping

from pytest_sst2.compare.drift.answers import answer_causes, same_numbers
from pytest_sst2.compare.drift.common_sentences import without_other_sentences
from pytest_sst2.compare.drift.data_rows import are_mostly_the_same, overlap_difference, row_differences
from pytest_sst2.compare.drift.effects import by_effect, is_rearranged
from pytest_sst2.compare.drift.embeddings import is_nondeterministic
from pytest_sst2.compare.drift.encoder import (
    arithmetic_causes,
    attention_causes,
    different_values,
    encoder_causes,
    is_frozen,
    value_text,
)
from pytest_sst2.compare.drift.evidence import Cause, Rank, ranked
from pytest_sst2.compare.drift.loaded_weights import LoadedModel, loaded_model
from pytest_sst2.compare.drift.measured_training import (
    CODE_SETTING,
    all_training_causes,
    settings_without_effect,
)
from pytest_sst2.compare.drift.modules import same_modules
from pytest_sst2.compare.drift.prediction import prediction_token_causes, repeat_causes
from pytest_sst2.compare.drift.rows import read_rows, row_embedding_causes, row_token_causes
from pytest_sst2.compare.drift.tokens import same_token_sentences, token_causes
from pytest_sst2.compare.drift.training import same_rows_in_another_order
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.results.record import Record

# Characters of a commit or digest that identify it: ``sha256:`` and twelve digits.
_REVISION_CHARACTERS = 19
# A setting of the methods that train on embeddings.
_POOLING = "pooling"
# The setting with the number of rows of a batch that each process trains on.
_BATCH_PER_PROCESS = "per_device_train_batch_size"


def incomparable_reasons(
    before: Record, after: Record, *, same_seeds: bool = True, declared: Declared = NOTHING_DECLARED
) -> tuple[str, ...]:
    """Return why two records are incomparable: data, split, recipe, seed, rows or training order, each in words.

    Unless ``same_seeds``, the seeds of both sides are independent draws: seeds, training and held-out rows may differ.
    A declared recipe may differ, and with it what follows from it: the training rows and their order. The evaluation
    rows never may.
    """
    reasons = []
    if before.dataset.split != after.dataset.split:
        reasons.append(f"evaluation split {after.dataset.split}, was {before.dataset.split}")
    if not declared.recipe:
        reasons += [f"recipe {difference}" for difference in recipe_differences(before, after)]
    if same_seeds and before.seed != after.seed:
        reasons.append(f"seed {after.seed}, was {before.seed}")
    rows = _paired_row_differences(before, after, declared) if same_seeds else _draw_row_differences(before, after)
    # Two names of the same rows are no difference.
    if before.dataset.name != after.dataset.name and rows:
        names = f"data {after.dataset.name}, was {before.dataset.name}"
        # SST-2 with a few changed rows is no longer named SST-2: the rows are what the reader looks for.
        if not _have_most_rows_in_common(before, after):
            return (names, *rows)
        is_folder_of_that_name = after.dataset.name == f"folder {before.dataset.name}"
        return tuple(rows) if is_folder_of_that_name else (*rows, names)
    if not reasons:
        return tuple(rows)
    # No declaration makes other evaluation rows comparable.
    is_same_draw = before.seed == after.seed
    return (*reasons, *(row for row in rows if is_same_draw and row.startswith("evaluation")))


def _paired_row_differences(before: Record, after: Record, declared: Declared) -> list[str]:
    """Return the differences between the rows of two records with the same seed."""
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        if before.dataset.digest != after.dataset.digest:
            return ["training or evaluation rows (their digests differ; a file of schema 1 does not record which)"]
        if not before.labels and not after.labels:
            return ["labels: neither file has them (both are of schema 1). Measure one of the two again"]
        return []
    values = {difference.partition(" ")[0] for difference in recipe_differences(before, after)}
    rows = [
        *(() if "train_size" in values else row_differences("training", old.train, new.train)),
        *row_differences(
            "evaluation", old.evaluation, new.evaluation, (before.labels, after.labels), read_rows(old, new)
        ),
    ]
    rows += [difference] if rows and (difference := overlap_difference(old.overlap, new.overlap)) else []
    same_tokens = same_token_sentences(old.tokens, new.tokens).all()
    has_other_recipe = (declared.recipe and bool(values)) or before.path != after.path
    if (
        not (rows or has_other_recipe or (before.model, before.method) != (after.model, after.method))
        and same_tokens
        and same_rows_in_another_order(old.training, new.training)
    ):
        order = "training order: the optimiser was given the same rows in another order"
        settings = ", ".join(_setting_differences(before, after).values())
        return [f"{order} ({settings})" if settings else order]
    return _with_revisions(rows, before, after)


def _have_most_rows_in_common(before: Record, after: Record) -> bool:
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        return False
    return are_mostly_the_same(old.evaluation, new.evaluation, read_rows(old, new))


def _draw_row_differences(before: Record, after: Record) -> list[str]:
    """Return the differences between the evaluation rows of two independent draws; held-out rows may differ."""
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        return ["training and evaluation rows (a file of schema 1 does not distinguish them)"]
    if after.dataset.split == "heldout":
        return []
    rows = row_differences("evaluation", old.evaluation, new.evaluation, read=read_rows(old, new))
    return _with_revisions([*rows], before, after)


def _setting_differences(before: Record, after: Record) -> dict[str, str]:
    """Return a sentence for each setting that differs.

    The batch per process is not a difference if the whole batch has the same size.
    """
    differences = different_values(before.settings, after.settings)
    if CODE_SETTING in differences:  # a digest
        differences[CODE_SETTING] = "the method's own code changed"
    batch_sizes = {
        record.settings.get(_BATCH_PER_PROCESS, 0) * record.placement.processes for record in (before, after)
    }
    return {name: text for name, text in differences.items() if name != _BATCH_PER_PROCESS or len(batch_sizes) > 1}


def _setting_cause(before: Record, after: Record, name: str, sentence: str) -> Cause:
    old, new = (str(record.settings.get(name)) for record in (before, after))
    return Cause(sentence, "settings", name, old, new)


def recipe_differences(before: Record, after: Record) -> Iterator[str]:
    """Yield each value in which two recipes differ, as ``epochs 3, was 1``; the preset's name and seeds are none."""
    for field in dataclasses.fields(before.recipe):
        old, new = getattr(before.recipe, field.name), getattr(after.recipe, field.name)
        if field.name not in ("name", "seeds") and old != new:
            yield f"{field.name} {value_text(new)}, was {value_text(old)}"


def _with_revisions(rows: list[str], before: Record, after: Record) -> list[str]:
    """Return the differences in rows, then that the data set has another revision."""
    old, new = before.dataset, after.dataset
    # The Hub's commit and the digest of a folder name the same rows differently.
    if not rows or old.source != new.source or old.revision == new.revision:
        return rows
    revisions = [dataset.revision[:_REVISION_CHARACTERS] for dataset in (new, old)]
    return [*rows, f"the data set has other rows (revision {revisions[0]}, was {revisions[1]})"]


def drift_causes(before: Record, after: Record, *, seeded: Collection[str] = ()) -> tuple[Cause, ...]:
    """Return the differences between two records of the same data and recipe, in the order of the chain.

    Empty if nothing differs, or if one record has no fingerprint (schema 1). With another seed, only what does not
    depend on the seed is compared, so without the ``seeded`` settings.
    """
    before, after = without_other_sentences(before, after)
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        return ()
    same_sentences, same_seed = old.fixed_sentences == new.fixed_sentences, before.seed == after.seed
    settings = _setting_differences(before, after)
    if not same_seed:
        settings = {name: sentence for name, sentence in settings.items() if name not in seeded}
    tokens = [*token_causes(old.tokens, new.tokens)] if same_sentences and old.tokens and new.tokens else []
    frozen = is_frozen(before)
    encoder: list[Cause] = []
    if (model := loaded_model(before)) and (other_model := loaded_model(after)):
        encoder += encoder_causes(
            model,
            other_model,
            same_seed=same_seed,
            frozen=frozen,
            same_sentences=same_sentences,
            settings=settings,
        )
    read = [*row_token_causes(old, new, frozen=frozen)] if same_seed and not tokens else []
    tokens += read if frozen else []
    if same_seed and not any(cause.kind in ("weights", "modules", "embeddings") for cause in encoder):
        encoder += row_embedding_causes(old, new, frozen=frozen)
    # A different way to compute the same explains nothing in the later steps.
    causes = [
        *tokens,
        *arithmetic_causes(before, after),
        *encoder,
        *(_setting_cause(before, after, name, sentence) for name, sentence in settings.items()),
    ]
    if not same_seed:
        return ranked(causes)
    if _POOLING not in before.settings and not same_numbers(before, after):
        # A head reads more than the embeddings show, such as the output of BERT's pooler.
        causes = [dataclasses.replace(one, rank=Rank.EXPLAINS) if one.kind == "modules" else one for one in causes]
    training = [*all_training_causes(before, after, settings, tokens=tokens, encoder=encoder)]
    causes += training
    if not (old.encoder and new.encoder and is_nondeterministic(old.encoder, new.encoder)):
        causes += repeat_causes(old, new)
    if same_sentences:
        if not tokens:
            causes += read or prediction_token_causes(old, new)
        rearranged = is_rearranged(causes, old, new)
        if rearranged:
            causes = [dataclasses.replace(cause, rank=Rank.NOTE) for cause in causes]
        unexplained = not any(cause.rank is not Rank.NOTE for cause in causes if cause.kind != "arithmetic")
        causes += answer_causes(before, after, unexplained=unexplained, frozen=frozen, rearranged=rearranged)
    without_effect = settings_without_effect(before, after, settings, training, tokens=tokens, encoder=encoder)
    return ranked(by_effect(causes, before, after, without_effect))


def model_causes(before: LoadedModel, after: LoadedModel, settings: Mapping[str, str]) -> tuple[Cause, ...]:
    """Return the differences between two frozen encoders with the same probe sentences, in the order of the chain.

    Weights, values of the config and ways to compute that changed no module's output become notes. ``settings`` has a
    sentence for each setting that differs.
    """
    tokens = [*token_causes(before.tokens, after.tokens)] if before.tokens and after.tokens else []
    encoder = encoder_causes(before, after, same_seed=True, frozen=True, same_sentences=True, settings=settings)
    causes = [*tokens, *attention_causes(before.encoder, after.encoder), *encoder]
    causes += [Cause(sentence, "settings", name) for name, sentence in settings.items()]
    moved = {cause.kind for cause in causes if not cause.is_note} - {"weights", "config", "arithmetic"}
    if not moved and same_modules(before.encoder.modules, after.encoder.modules):
        stored = ("weights", "config", "arithmetic")
        causes = [dataclasses.replace(cause, rank=Rank.NOTE) if cause.kind in stored else cause for cause in causes]
    return ranked(causes)
