"""Compare the weights of two encoders as loaded, with what is known about their files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.drift.weights import WeightChanges, is_new_head, scale_of, weight_changes
from pytest_sst2.results.fingerprint import HEADS, EncoderFingerprint, TokensFingerprint
from pytest_sst2.results.record import Record, Weights
from pytest_sst2.utils.formatting import shorten

# A new head differs in scale by less than this from another draw of the same distribution.
_SAME_SCALE = 1.25
_POOLER = frozenset({"pooler"})


@dataclass(frozen=True)
class LoadedModel:
    """A model as loaded: its encoder, its tokens of the probe sentences, and its files; None if unknown."""

    encoder: EncoderFingerprint
    tokens: TokensFingerprint | None
    weights: Weights | None


def loaded_model(record: Record) -> LoadedModel | None:
    """Return the model of a record; None if it has no encoder or no fingerprint."""
    fingerprint = record.fingerprint
    if fingerprint is None or fingerprint.encoder is None:
        return None
    return LoadedModel(fingerprint.encoder, fingerprint.tokens, record.weights)


def weight_causes(before: LoadedModel, after: LoadedModel, *, same_seed: bool, frozen: bool) -> Iterator[Cause]:
    """Yield the differences between the weights as loaded. The encoder may be ``frozen``.

    A frozen encoder does not use its head, nor a pooler, which a checkpoint may lack. Other seeds draw both anew.
    """
    old, new = before.encoder, after.encoder
    unused = HEADS | _POOLER if frozen or not same_seed else frozenset()
    if old.tensors is None or new.tensors is None:
        yield from _part_causes(before, after, old, new, unused)
    elif (changes := weight_changes(old.tensors, new.tensors, ignored=unused)) is not None:
        yield _tensor_cause(before, after, changes, scale_of(old.tensors, new.tensors, changes.names))


def _tensor_cause(before: LoadedModel, after: LoadedModel, changes: WeightChanges, scale: float) -> Cause:
    where = ", ".join(changes.names)
    if is_new_head(changes):
        size = "" if 1 / _SAME_SCALE < scale < _SAME_SCALE else f", {scale:.3g} times as large"
        return Cause(f"the new head starts from other numbers{size}, although the seed is the same", "weights", where)
    if is_new_head(changes, also=_POOLER):
        return Cause(f"the pooler starts from other numbers ({changes})", "weights", where)
    count = f"in {len(changes.names)} of {changes.total} tensors"
    sentence = f"{_subject(before, after)} {count}{_although(before, after)}: {changes}"
    return Cause(sentence, "weights", where, *_files(before, after))


def _subject(before: LoadedModel, after: LoadedModel) -> str:
    if _other_files(before, after):
        return f"another checkpoint ({_checkpoint(after)}, was {_checkpoint(before)}): weights differ"
    return "weights as loaded differ"


def _although(before: LoadedModel, after: LoadedModel) -> str:
    known = before.weights is not None and after.weights is not None
    return ", although the files are the same" if known and not _other_files(before, after) else ""


def _other_files(before: LoadedModel, after: LoadedModel) -> bool:
    return before.weights is not None and after.weights is not None and before.weights.sha256 != after.weights.sha256


def _files(before: LoadedModel, after: LoadedModel) -> tuple[str, str]:
    """Return the digests of the weight files of both sides."""
    one, other = (model.weights.sha256 if model.weights else "" for model in (before, after))
    return one, other


def _part_causes(
    before: LoadedModel, after: LoadedModel, old: EncoderFingerprint, new: EncoderFingerprint, unused: frozenset[str]
) -> Iterator[Cause]:
    """Yield the differences between the weights, part by part, for records without sketches of the tensors."""
    all_parts = dict.fromkeys((*old.parts, *new.parts))
    if old.parts.keys() != new.parts.keys() and sorted(old.parts.values()) == sorted(new.parts.values()):
        return  # only renamed
    names = [name for name in all_parts if old.parts.get(name) != new.parts.get(name) and name not in unused]
    if not names:
        return
    if HEADS.issuperset(names):
        yield Cause("the new head starts from other numbers, although the seed is the same", "weights", "head")
        return
    if (HEADS | _POOLER).issuperset(names):
        yield Cause("the pooler starts from other numbers", "weights", "pooler")
        return
    details = f"in {len(names)} of {len(all_parts)} parts ({shorten(names, 4)})"
    if missing := [name for name in old.parts if name not in new.parts]:
        details += f"; missing: {shorten(missing, 4)}"
    if new.effective_dtype not in (old.effective_dtype, "float32"):
        details += f"; all values are those of {new.effective_dtype}"
    if sorted(old.parts.values()) == sorted(new.parts.values()):
        details += "; the parts are swapped"
    sentence = f"{_subject(before, after)} {details}{_although(before, after)}"
    yield Cause(sentence, "weights", ", ".join(names), *_files(before, after))


def _checkpoint(model: LoadedModel) -> str:
    assert model.weights is not None  # noqa: S101 - the caller has checked it
    commit = model.weights.revision.partition("sha256:")[0]  # a folder has no commit
    revision = f"revision {commit[:12]}, " if commit else ""
    return f"{revision}sha256 {model.weights.sha256[:12]}"
