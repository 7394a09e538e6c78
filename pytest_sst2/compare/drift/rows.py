"""Compare what the encoder read and returned for each row of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.drift.embeddings import same_embeddings
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.drift.row_patterns import moved_rows, row_pattern
from pytest_sst2.compare.drift.tokens import same_token_sentences
from pytest_sst2.results.fingerprint import LENGTH_BIT, EncoderFingerprint, Fingerprint, RowSketches
from pytest_sst2.results.packing import unpacked_bytes, unpacked_floats

# Largest change of a row's projection that is not reported, as a multiple of their root mean square. Stored values
# have steps of 3e-4; other thread counts, orders and batches move float32 embeddings by 1e-6.
ROW_TOLERANCE = 5e-4
# Other tokens of the same number have the same digest in one row of 256. Where tokens differ, up to so many rows, and
# up to this share of those with other tokens, have other embeddings from seemingly the same ones by chance.
_SAME_DIGESTS, _SAME_DIGESTS_SHARE = 2, 0.02
# A batch moves an embedding by up to its measured sensitivity; other batches may move it more.
_BATCH_MARGIN = 5.0


@dataclass(frozen=True)
class EvaluationRows:
    """Two sketches of the same evaluation rows, decoded.

    Attributes:
        other_tokens: Whether the encoder read other tokens, bool, of shape (n,).
        other_embeddings: Whether the embeddings differ, bool, of shape (n,).
        old: Projections of the earlier embeddings, in units of their root mean square.
        new: Projections of the later embeddings in the same unit.
        lengths: The larger of the two numbers of tokens of each row, at most 63.
        tolerance: The difference of projections that does not count.
    """

    other_tokens: np.ndarray
    other_embeddings: np.ndarray
    old: np.ndarray
    new: np.ndarray
    lengths: np.ndarray
    tolerance: float


def evaluation_rows(old: Fingerprint, new: Fingerprint) -> EvaluationRows | None:
    """Return the sketches of the evaluation rows.

    None if one side has none or another number of rows, or if the tokens do not show what the encoder read: they are
    the same in every row, but those of the probe sentences are not, and embeddings moved.
    """
    if not (old.rows and new.rows and old.rows.tokens and len(old.rows.tokens) == len(new.rows.tokens)):
        return None
    tokens = [_tokens(side) for side in (old.rows, new.rows)]
    other_tokens = tokens[0] != tokens[1]
    first, second = (_projections(side, len(other_tokens)) for side in (old.rows, new.rows))
    known = first[first != 0]
    scale = float(np.sqrt(np.square(known).mean())) if len(known) else 1.0
    tolerance = row_tolerance(old.encoder, new.encoder)
    one, other = first / scale, second / scale
    moved = moved_rows(one, other, tolerance)
    if moved.any() and not other_tokens.any() and not same_token_sentences(old.tokens, new.tokens).all():
        return None
    by_chance = max(_SAME_DIGESTS, _SAME_DIGESTS_SHARE * other_tokens.sum())
    is_rare = _some_tokens_differ(old.rows, new.rows) and (moved & ~other_tokens).sum() <= by_chance
    weights = {side.training.weights if side.training else "" for side in (old, new)}
    if is_rare and len(weights) == 1:
        other_tokens = other_tokens | moved
    lengths = np.maximum(*tokens) >> LENGTH_BIT
    return EvaluationRows(other_tokens, moved, one, other, lengths.astype(int), tolerance)


def _some_tokens_differ(old: RowSketches, new: RowSketches) -> bool:
    """Return whether the encoder read other tokens in any row, by the digest of all rows if both sides have one."""
    digests = (old.all_tokens, new.all_tokens)
    return old.tokens != new.tokens if not all(digests) else digests[0] != digests[1]


def _projections(rows: RowSketches, count: int) -> np.ndarray:
    """Return the projections of ``count`` rows; those that have none get 0."""
    values = np.frombuffer(unpacked_bytes(rows.embeddings, compressed=True), "<i2") * rows.unit
    return np.pad(values, (0, count - len(values)))


def _tokens(rows: RowSketches) -> np.ndarray:
    return np.frombuffer(unpacked_bytes(rows.tokens), dtype="<u2")


def read_rows(old: Fingerprint, new: Fingerprint) -> tuple[np.ndarray, np.ndarray] | None:
    """Return two numbers for each evaluation row that differ if the sides have other texts of it; None if unknown.

    They are known if the same tokenizer read all rows. Texts that differ in what it ignores have the same numbers.
    """
    sides = [(side.tokens, _tokens(side.rows)) for side in (old, new) if side.rows and side.rows.tokens and side.tokens]
    if len(sides) < len((old, new)) or not all(read.all() for _, read in sides):
        return None
    (before, one), (after, other) = sides
    return (one, other) if same_token_sentences(before, after).all() else None


def row_tolerance(old: EncoderFingerprint | None, new: EncoderFingerprint | None) -> float:
    """Return the relative change of a row's projection that does not count, larger for encoders of less precision."""
    sides = [side for side in (old, new) if side is not None]
    noise = max((max(side.batch_sensitivity, side.nondeterminism) for side in sides), default=0.0)
    return max(ROW_TOLERANCE, _BATCH_MARGIN * noise)


def row_token_causes(old: Fingerprint, new: Fingerprint, *, frozen: bool) -> Iterator[Cause]:
    """Yield in how many rows other tokens were read, if the tokenizer's for the probe sentences are the same.

    A model that is not ``frozen`` was observed when it predicted.
    """
    rows = evaluation_rows(old, new)
    if rows is not None and (count := int(rows.other_tokens.sum())):
        total = len(rows.other_tokens)
        digests = np.where(rows.other_tokens, 1.0, 0.0)
        pattern = row_pattern(np.zeros(total), digests, 0.5, rows.lengths)
        where = f"{count:,} of {total:,} evaluation rows ({pattern})"
        first = f"evaluation row {int(np.flatnonzero(rows.other_tokens)[0])}"
        if frozen:
            sentence = f"token ids differ for {where}{_no_probe(old, new)}"
            yield Cause(sentence, "tokens", first, rows=count)
        else:
            yield Cause(f"when predicting, the model reads other tokens for {where}", "predictions", first, rows=count)
    if blocks := _changed_blocks(old, new, "train_tokens"):
        yield Cause(
            f"token ids differ for some training rows ({blocks}){_no_probe(old, new)}",
            "tokens",
            f"training rows, {blocks}",
        )


def _no_probe(old: Fingerprint, new: Fingerprint) -> str:
    """Return that the probe sentences have the same tokens; empty if the sides have other ones."""
    return ", and for none of the probe sentences" if old.fixed_sentences == new.fixed_sentences else ""


def row_embedding_causes(old: Fingerprint, new: Fingerprint, *, frozen: bool) -> Iterator[Cause]:
    """Yield which rows have other embeddings, if their tokens and the probe sentences' embeddings are the same.

    The embeddings of an encoder that is not ``frozen`` are those after training: they are compared only if both sides
    ended with the same weights.
    """
    if not frozen and not same_trained_weights(old, new):
        return
    rows = evaluation_rows(old, new)
    if rows is not None and (count := int((rows.other_embeddings & ~rows.other_tokens).sum())):
        pattern = row_pattern(rows.old, rows.new, rows.tolerance, rows.lengths)
        yield Cause(
            f"embeddings of {count:,} of {len(rows.old):,} evaluation rows differ ({pattern}), from the same tokens"
            f"{_probes(old, new) if frozen else ' and trained weights'}",
            "embeddings",
            f"evaluation row {int(np.flatnonzero(rows.other_embeddings)[0])}",
            rows=count,
        )
    same_tokens = rows is not None and not _changed_blocks(old, new, "train_tokens")
    if frozen and same_tokens and (blocks := _changed_blocks(old, new, "train_embeddings")):
        yield Cause(
            f"embeddings of some training rows differ ({blocks}), from the same tokens{_probes(old, new)}",
            "embeddings",
            f"training rows, {blocks}",
        )


def _probes(old: Fingerprint, new: Fingerprint) -> str:
    """Return that the probe sentences have the same embeddings; empty if they have not, or other tokens."""
    comparable = old.fixed_sentences == new.fixed_sentences and same_token_sentences(old.tokens, new.tokens).all()
    same = comparable and same_embeddings(old.encoder, new.encoder)
    return "; those of the probe sentences are the same" if same else ""


def same_trained_weights(old: Fingerprint, new: Fingerprint) -> bool:
    """Return whether two trainings of the model ended with the same weights; False if it was frozen."""
    one, other = (side.training.weights if side.training and side.training.trained else "" for side in (old, new))
    return bool(one) and one == other


def same_training_inputs(old: Fingerprint, new: Fingerprint) -> bool:
    """Return whether a classifier was fitted to the same embeddings of the same training rows, as was recorded."""
    recorded = all(side.rows is not None and side.rows.train_tokens for side in (old, new))
    if not recorded or old.train.order != new.train.order:
        return False
    return not any(_changed_blocks(old, new, name) for name in ("train_tokens", "train_embeddings"))


def _changed_blocks(old: Fingerprint, new: Fingerprint, name: str) -> str:
    """Return which blocks of training rows differ; empty if none does, or if they were not recorded.

    Blocks of other training rows, such as those of another declared size, are not compared.
    """
    if old.rows is None or new.rows is None or old.train.order != new.train.order:
        return ""
    one, other = (getattr(side.rows, name) for side in (old, new))
    if not one or len(one) != len(other):
        return ""
    if name == "train_tokens":
        changed = np.not_equal(*(np.frombuffer(unpacked_bytes(text), "<u2") for text in (one, other)))
    else:
        first, second = (np.array(unpacked_floats(text)) for text in (one, other))
        scale = float(np.sqrt(np.square(first).mean())) or 1.0
        # A sum over a block has the noise of all its rows.
        changed = np.abs(first - second) > 4 * row_tolerance(old.encoder, new.encoder) * scale
    if not changed.any():
        return ""
    bounds = np.array_split(np.arange(old.train.count), len(changed))[int(np.flatnonzero(changed)[0])]
    first_rows = f"row {bounds[0]}" if len(bounds) == 1 else f"rows {bounds[0]} to {bounds[-1]}"
    return f"in {int(changed.sum())} of {len(changed)} blocks, the first of {first_rows}"
