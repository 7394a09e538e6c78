"""Compare the weights of two encoders as loaded, with what is known about their files."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.drift.weights import WeightChanges, is_new_head, scale_of, weight_changes
from pytest_sst2.results.fingerprint import HEADS, EncoderFingerprint
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import shorten

# A new head differs in scale by less than this from another draw of the same distribution.
_SAME_SCALE = 1.25
_POOLER = frozenset({"pooler"})


def weight_causes(before: Record, after: Record, *, same_seed: bool, frozen: bool) -> Iterator[Cause]:
    """Yield how the weights as loaded differ. Both records have an encoder; it may be ``frozen``.

    A frozen encoder does not use its head, nor a pooler, which a checkpoint may lack. Other seeds draw both anew.
    """
    assert before.fingerprint is not None and after.fingerprint is not None  # noqa: S101, PT018 - as documented
    old, new = before.fingerprint.encoder, after.fingerprint.encoder
    assert old is not None and new is not None  # noqa: S101, PT018 - as documented
    unused = HEADS | _POOLER if frozen or not same_seed else frozenset()
    if old.tensors is None or new.tensors is None:
        yield from _part_causes(before, after, old, new, unused)
    elif (changes := weight_changes(old.tensors, new.tensors, ignored=unused)) is not None:
        yield _tensor_cause(before, after, changes, scale_of(old.tensors, new.tensors, changes.names))


def _tensor_cause(before: Record, after: Record, changes: WeightChanges, scale: float) -> Cause:
    where = ", ".join(changes.names)
    if is_new_head(changes):
        size = "" if 1 / _SAME_SCALE < scale < _SAME_SCALE else f", {scale:.3g} times as large"
        return Cause(f"the new head starts from other numbers{size}, although the seed is the same", "weights", where)
    if is_new_head(changes, also=_POOLER):
        return Cause(f"the pooler starts from other numbers ({changes})", "weights", where)
    count = f"in {len(changes.names)} of {changes.total} tensors"
    sentence = f"{_subject(before, after)} {count}{_although(before, after)}: {changes}"
    return Cause(sentence, "weights", where, *_files(before, after))


def _subject(before: Record, after: Record) -> str:
    if _other_files(before, after):
        return f"another checkpoint ({_checkpoint(after)}, was {_checkpoint(before)}): weights differ"
    return "weights as loaded differ"


def _although(before: Record, after: Record) -> str:
    known = before.weights is not None and after.weights is not None
    return ", although the files are the same" if known and not _other_files(before, after) else ""


def _other_files(before: Record, after: Record) -> bool:
    return before.weights is not None and after.weights is not None and before.weights.sha256 != after.weights.sha256


def _files(before: Record, after: Record) -> tuple[str, str]:
    """Return the digests of the weight files of both sides."""
    one, other = (record.weights.sha256 if record.weights else "" for record in (before, after))
    return one, other


def _part_causes(
    before: Record, after: Record, old: EncoderFingerprint, new: EncoderFingerprint, unused: frozenset[str]
) -> Iterator[Cause]:
    """Yield how the weights differ part by part, for records without sketches of the tensors."""
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


def _checkpoint(record: Record) -> str:
    assert record.weights is not None  # noqa: S101 - the caller has checked it
    commit = record.weights.revision.partition("sha256:")[0]  # a folder has no commit
    revision = f"revision {commit[:12]}, " if commit else ""
    return f"{revision}sha256 {record.weights.sha256[:12]}"
