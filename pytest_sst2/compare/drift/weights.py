"""Compare the weights of two encoders tensor by tensor, and name what happened to those that differ."""

from __future__ import annotations

import functools
import itertools
import math
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.results.fingerprint import HEADS, SKETCH_STEPS, TensorSketches
from pytest_sst2.results.packing import unpacked_bytes, unpacked_digests, unpacked_text
from pytest_sst2.utils.formatting import plural, shorten

# Names of types by the bits of the mantissa that they store.
_TYPES = {10: "float16", 7: "bfloat16", 3: "float8_e4m3", 2: "float8_e5m2"}
# Values of this many bits of the mantissa, or more, are not taken for rounded ones.
_NARROW = 20
# A sample of values is on a grid if less than this share of its values are distinct.
_GRID_SHARE = 0.7
# From this relative distance on, the values are far from the earlier ones.
_UNRELATED = 0.7
# Largest relative distance of values that are a multiple of the earlier ones: two steps of a sketch. A cause names
# the factor if it is at least ten times as far from one.
_MULTIPLE = 2 / SKETCH_STEPS
# Lengths this close, relatively, are those of the same values.
_SAME_LENGTH = 1e-6
_SHOWN = 4
_MOVED = "moved by"
_PERMUTED = "the same values in another order"
_PADDED = "apart from zeros the same values"
# Three projections do not tell the rank of a difference.
_ADAPTED = (
    "no bias and no norm differs, as after merging a low-rank adapter (LoRA), training matrices only, or rounding them"
)
# A number between the words of a name: that of a layer.
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


@dataclass(frozen=True)
class Tensor:
    """The sketch of one tensor, as in ``TensorSketches``."""

    name: str
    shape: str
    digest: bytes
    mantissa_bits: int
    distinct: float
    length: float
    projections: tuple[float, ...]


@dataclass(frozen=True)
class WeightChanges:
    """The tensors that differ, by what happened to them.

    Attributes:
        kinds: From a description, such as ``rounded to bfloat16``, to the names of its tensors.
        total: Number of tensors of both sides.
        only_matrices: Whether several matrices of layers moved, and no other tensor differs.
    """

    kinds: Mapping[str, tuple[str, ...]]
    total: int
    only_matrices: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tensors that differ."""
        return tuple(itertools.chain.from_iterable(self.kinds.values()))

    @property
    def are_rearranged(self) -> bool:
        """Whether all values may be the same ones, in other places or tensors, and none is of an embedding table.

        A table is read in part only, so that the outputs for some sentences do not show whether its rows moved.
        """
        if {"missing", "new"} & self.kinds.keys() and not {"missing", "new"} <= self.kinds.keys():
            return False
        return all(
            kind in ("missing", "new") or _PADDED in kind or (kind == _PERMUTED and not _has_table(names))
            for kind, names in self.kinds.items()
        )

    def __str__(self) -> str:
        kinds = [f"{kind}: {_listed(names)}" for kind, names in self.kinds.items()]
        return "; ".join([*kinds, *([_ADAPTED] if self.only_matrices else [])])


def _has_table(names: Iterable[str]) -> bool:
    return any("embeddings" in part for name in names for part in name.split("."))


def weight_changes(old: TensorSketches, new: TensorSketches, *, ignored: Iterable[str] = ()) -> WeightChanges | None:
    """Return the differences between the tensors, without those with a part of their name in ``ignored``; else None."""
    before, after = _tensors(old), _tensors(new)
    left_out = frozenset(ignored)
    kinds: dict[str, list[str]] = {}
    for name, kind in _changes(before, after):
        if left_out.isdisjoint(name.split(".")):
            kinds.setdefault(kind, []).append(name)
    if not kinds:
        return None
    total = len(before.keys() | after.keys())
    changes = {kind: tuple(names) for kind, names in kinds.items()}
    return WeightChanges(changes, total, _only_matrices(changes, after))


def _only_matrices(kinds: Mapping[str, Sequence[str]], after: Mapping[str, Tensor]) -> bool:
    """Return whether several matrices of layers moved, and nothing else, although there are vectors too."""
    if not all(kind.startswith(_MOVED) for kind in kinds):
        return False
    names = [name for of_kind in kinds.values() for name in of_kind]
    has_vectors = any("x" not in tensor.shape and tensor.shape != "-" for tensor in after.values())
    in_layers = all("x" in after[name].shape and "embeddings" not in name.split(".") for name in names)
    return len(names) > 1 and has_vectors and in_layers


def is_new_head(changes: WeightChanges, *, also: Iterable[str] = ()) -> bool:
    """Return whether only tensors differ that a training starts from new values: the head, and ``also``."""
    heads = HEADS.union(also)
    return all(not heads.isdisjoint(name.split(".")) for name in changes.names)


def scale_of(old: TensorSketches, new: TensorSketches, names: Iterable[str]) -> float:
    """Return by what factor the common length of some tensors differs; 1 if unknown."""
    lengths = []
    for side in (old, new):
        tensors = _tensors(side)
        lengths.append(sum(tensors[name].length ** 2 for name in names if name in tensors) ** 0.5)
    return lengths[1] / lengths[0] if all(lengths) else 1.0


def _changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the name of each tensor that differs, and what happened to it."""
    lost, added = ([name for name in one if name not in other] for one, other in ((before, after), (after, before)))
    renamed = {(before[name].digest, before[name].shape) for name in lost}
    renamed &= {(after[name].digest, after[name].shape) for name in added}
    for names, side, kind in ((lost, before, "missing"), (added, after, "new")):
        yield from ((name, kind) for name in names if (side[name].digest, side[name].shape) not in renamed)
    owners: dict[bytes, list[str]] = {}
    for name, tensor in before.items():
        owners.setdefault(tensor.digest, []).append(name)
    for name, tensor in after.items():
        old = before.get(name)
        if old is None or (old.digest == tensor.digest and old.shape == tensor.shape):
            continue
        elsewhere = [owner for owner in owners.get(tensor.digest, ()) if owner != name]
        # Constant tensors, such as those of new norms, have no owner.
        if len(elsewhere) == 1 and tensor.distinct:
            swapped = after.get(elsewhere[0])
            is_swap = swapped is not None and swapped.digest == old.digest
            yield (
                name,
                "with one another's values" if is_swap else f"with the values of {_counterpart(elsewhere[0], name)}",
            )
        else:
            yield name, _kind(old, tensor)


def _counterpart(owner: str, name: str) -> str:
    """Return the layer of the tensor ``owner``, if it is the counterpart of ``name`` in another layer; else itself."""
    if _NUMBER.sub("*", owner) != _NUMBER.sub("*", name):
        return owner
    layers = zip(_NUMBER.finditer(owner), _NUMBER.finditer(name), strict=True)
    return next(owner[: one.end()] for one, other in layers if one[0] != other[0])


def _kind(old: Tensor, new: Tensor) -> str:
    """Return the kind of change of a tensor's values."""
    is_same_set = old.digest[2:] == new.digest[2:] and math.isclose(old.length, new.length, rel_tol=_SAME_LENGTH)
    if is_same_set and _count(old.shape) == _count(new.shape):
        return _PERMUTED
    if old.shape != new.shape:
        # Zeros change neither of the sums that the digest is made of.
        padded = f"; {_PADDED}" if is_same_set else ""
        return f"of another shape ({new.shape}, was {old.shape}{padded})"
    if not new.length:
        return "all zero"
    difference = np.array(new.projections) - np.array(old.projections)
    distance = float(np.sqrt(np.square(difference).mean())) / max(old.length, new.length)
    factor = new.length / old.length if old.length else 0.0
    for sign in (1, -1):
        rest = np.array(new.projections) - sign * factor * np.array(old.projections)
        if float(np.abs(rest).max()) <= _MULTIPLE * new.length and abs(sign * factor - 1) > 10 * _MULTIPLE:
            return f"multiplied by {sign * factor:.3g}"
    if not new.distinct:
        return "all equal"
    if new.mantissa_bits < min(old.mantissa_bits, _NARROW):
        precision = _precision(new.mantissa_bits)
        # Values below the smallest of a type become zero, which moves a tensor of small values far.
        is_near = distance < max(2.0**-new.mantissa_bits, _MULTIPLE) or new.length < old.length
        return f"rounded to {precision}" if is_near else f"far from the earlier values, with {precision}"
    if new.distinct < _GRID_SHARE * old.distinct and distance < _UNRELATED:
        return "with fewer distinct values, as after quantising or pruning"
    if distance >= _UNRELATED:
        return "far from the earlier values: drawn anew, not loaded, overwritten, or changed strongly"
    return f"{_MOVED} {_magnitude(distance)} of their length"


def _count(shape: str) -> int:
    """Return the number of values of a tensor, such as 384 for ``1x384``; 1 for a scalar."""
    return math.prod(int(size) for size in shape.split("x")) if shape != "-" else 1


def _precision(bits: int) -> str:
    """Return what values are that use this number of bits of the mantissa."""
    if bits in _TYPES:
        return f"the precision of {_TYPES[bits]}"
    return f"{bits} bits of mantissa" if bits else "powers of two or zero"


def _magnitude(distance: float) -> str:
    """Return the order of magnitude of an estimate from three projections."""
    for bound, text in ((1e-3, "less than 0.1 %"), (1e-2, "less than 1 %")):
        if distance < bound:
            return text
    return "1 to 10 %" if distance < 0.1 else "more than 10 %"


def _listed(names: tuple[str, ...]) -> str:
    """Return the names in few words: by what they begin with, or once with ``*`` if they differ by a number only."""
    if len(names) == 1:
        return names[0]
    start = _common_start(names)
    if len(names) > 2 * _SHOWN and _NUMBER.search(f"{start}."):
        return f"{plural(len(names), 'tensor')} of {start}"
    patterns: dict[str, list[str]] = {}
    for name in names:
        patterns.setdefault(_NUMBER.sub("*", name), []).append(name)
    shown = [pattern if len(alike) > 1 else alike[0] for pattern, alike in patterns.items()]
    return f"{plural(len(names), 'tensor')} ({shorten(shown, _SHOWN)})"


def _common_start(names: tuple[str, ...]) -> str:
    """Return the words, separated by dots, that all names begin with."""
    columns = zip(*(name.split(".") for name in names), strict=False)
    return ".".join(column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns))


@functools.lru_cache(maxsize=16)
def _tensors(sketches: TensorSketches) -> dict[str, Tensor]:
    names = [line.rsplit(" ", 1) for line in unpacked_text(sketches.names).splitlines()]
    grids, values = unpacked_bytes(sketches.grids, compressed=True), unpacked_bytes(sketches.sketch)
    digests = unpacked_digests(sketches.digests)
    tensors = {}
    for index, ((name, shape), digest) in enumerate(zip(names, digests, strict=True)):
        length, *steps = struct.unpack_from("<f3h", values, 10 * index)
        projections = tuple(step * length / SKETCH_STEPS for step in steps)
        bits, share = grids[2 * index : 2 * index + 2]
        tensors[name] = Tensor(name, shape, digest, bits, share / 255, length, projections)
    return tensors
