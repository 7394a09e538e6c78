"""Find the first module of an encoder whose output differs."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from pytest_sst2.results.fingerprint import ModuleSketches
from pytest_sst2.results.packing import unpacked_floats, unpacked_text

# Largest relative difference of an output that is not reported. Other thread counts and processors cause up to 3e-6.
MODULE_TOLERANCE = 2e-5


@dataclass(frozen=True)
class FirstDifference:
    """The first module whose output differs.

    Attributes:
        module: Its name; earlier modules, in the order of completion, have equal outputs.
        output: Relative difference of its output, estimated from random projections.
        input: Relative difference of its first input; None if it has none.
        count: Number of modules that both sides have.
    """

    module: str
    output: float
    input: float | None
    count: int

    @property
    def sentence(self) -> str:
        """The difference in words, as ``the first difference is in …``."""
        if self.input is None:
            return f"the first difference is the output of {self.module} (roughly {rough_percent(self.output)} off)"
        if self.input <= MODULE_TOLERANCE:
            return (
                f"the first difference is in {self.module}: its first input is equal, its output roughly "
                f"{rough_percent(self.output)} off"
            )
        return (
            f"the first difference is the input of {self.module} (roughly {rough_percent(self.input)} off), while the "
            "outputs of all modules before it are equal"
        )


def rough_percent(share: float) -> str:
    """Return one digit of an estimate from two projections."""
    return f"{float(f'{100 * share:.1g}'):g} %" if share < 0.95 else "100 % or more"


def first_difference(old: ModuleSketches | None, new: ModuleSketches | None) -> FirstDifference | None:
    """Return the first difference between the modules that both sides have; None if there is none."""
    if old is None or new is None:
        return None
    before, after = _values(old), _values(new)
    common = [name for name in after if name in before]
    for name in common:
        one, other = before[name], after[name]
        output = _output_distance(one, other)
        if output > MODULE_TOLERANCE:
            known = np.isfinite([*one[:2], *other[:2]]).all()
            of_input = _distance(one[0], other[0], other[1:2] - one[1:2]) if known else None
            return FirstDifference(name, output, of_input, len(common))
    return None


def same_modules(old: ModuleSketches | None, new: ModuleSketches | None) -> bool:
    """Return whether both sides recorded modules, have some in common, and these have equal outputs."""
    if old is None or new is None:
        return False
    return bool(_values(old).keys() & _values(new).keys()) and first_difference(old, new) is None


def same_last_output(old: ModuleSketches | None, new: ModuleSketches | None) -> bool:
    """Return whether both sides recorded modules, and the last one that they have in common has equal outputs.

    Weights that are permuted consistently change what modules inside return, but not what the encoder returns.
    """
    if old is None or new is None:
        return False
    before, after = _values(old), _values(new)
    common = [name for name in after if name in before]
    return bool(common) and _output_distance(before[common[-1]], after[common[-1]]) <= MODULE_TOLERANCE


def _output_distance(one: np.ndarray, other: np.ndarray) -> float:
    return _distance(one[2], other[2], other[3:] - one[3:])


def _distance(old_length: float, new_length: float, projections: np.ndarray) -> float:
    """Return the relative distance of two arrays, from their lengths and the difference of their projections."""
    length = max(old_length, new_length)
    distance = max(float(np.sqrt(np.square(projections).mean())), abs(new_length - old_length))
    return distance / length if length else 0.0


@functools.lru_cache(maxsize=16)
def _values(sketches: ModuleSketches) -> dict[str, np.ndarray]:
    """Return five values per module, in the order of completion."""
    values = np.array(unpacked_floats(sketches.sketch, compressed=True)).reshape(-1, 5)
    return dict(zip(unpacked_text(sketches.names).splitlines(), values, strict=True))
