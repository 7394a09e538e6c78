"""Test how tensors that differ are described, from sketches of real arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pytest

from pytest_sst2.compare.drift.weights import weight_changes
from pytest_sst2.instruments.tensor_sketch import TensorSketcher
from pytest_sst2.results.fingerprint import TensorSketches

RANDOM = np.random.default_rng(0)
TENSORS: dict[str, np.ndarray] = {
    f"encoder.layer.{layer}.{name}.weight": RANDOM.normal(0, 0.05, (64, 48)).astype(np.float32)
    for layer in (0, 1)
    for name in ("query", "key")
}
QUERY, KEY = "encoder.layer.0.query.weight", "encoder.layer.0.key.weight"
UNRELATED = "far from the earlier values: drawn anew, not loaded, overwritten, or changed strongly"
PADDED = "of another shape (68x48, was 64x48; apart from zeros the same values)"
FEWER = "with fewer distinct values, as after quantising or pruning"
LORA = 0.001 * (RANDOM.normal(size=(64, 4)) @ RANDOM.normal(size=(4, 48))).astype(np.float32)


def sketched(tensors: Mapping[str, np.ndarray]) -> TensorSketches:
    sketcher = TensorSketcher()
    for name, values in tensors.items():
        plain = np.ascontiguousarray(values, dtype=np.float32)
        sketcher.add(name, plain, hashlib.sha256(plain.tobytes()).digest())
    return sketcher.sketches()


def described(**changed: np.ndarray) -> str:
    names = {"query": QUERY, "key": KEY}
    changes = weight_changes(sketched(TENSORS), sketched({**TENSORS, **{names[k]: v for k, v in changed.items()}}))
    return str(changes or "")


def kept_bits(values: np.ndarray, bits: int) -> np.ndarray:
    return (values.view(np.uint32) & np.uint32(0xFFFFFFFF << (23 - bits) & 0xFFFFFFFF)).view(np.float32)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (TENSORS[QUERY], ""),
        (TENSORS[QUERY][::-1], f"the same values in another order: {QUERY}"),
        (TENSORS[QUERY].reshape(48, 64), f"the same values in another order: {QUERY}"),
        (kept_bits(TENSORS[QUERY], 7), f"rounded to the precision of bfloat16: {QUERY}"),
        (kept_bits(TENSORS[QUERY], 3), f"rounded to the precision of float8_e4m3: {QUERY}"),
        (kept_bits(TENSORS[QUERY], 5), f"rounded to 5 bits of mantissa: {QUERY}"),
        (np.rint(TENSORS[QUERY] * 300) / 300, f"{FEWER}: {QUERY}"),
        (np.where(abs(TENSORS[QUERY]) > 0.03, TENSORS[QUERY], 0), f"{FEWER}: {QUERY}"),
        (-TENSORS[QUERY], f"multiplied by -1: {QUERY}"),
        (TENSORS[QUERY] * 1.5, f"multiplied by 1.5: {QUERY}"),
        (TENSORS[QUERY] * 0, f"all zero: {QUERY}"),
        (TENSORS[QUERY] * 0 + 1, f"all equal: {QUERY}"),
        (np.where(TENSORS[QUERY] > 0.1, 0.125, 0), f"rounded to powers of two or zero: {QUERY}"),
        (TENSORS[QUERY] + LORA, f"moved by 1 to 10 % of their length: {QUERY}"),
        (RANDOM.normal(0, 0.05, (64, 48)), f"{UNRELATED}: {QUERY}"),
        (np.pad(TENSORS[QUERY], ((0, 4), (0, 0))), f"{PADDED}: {QUERY}"),
        (TENSORS[QUERY][:60], f"of another shape (60x48, was 64x48): {QUERY}"),
        (TENSORS["encoder.layer.1.key.weight"], f"with the values of encoder.layer.1.key.weight: {QUERY}"),
    ],
)  # fmt: skip
def test_what_happened_to_a_tensor_is_told(query: np.ndarray, words: str) -> None:
    assert described(query=query) == words


def test_two_tensors_that_changed_places() -> None:
    words = "with one another's values: 2 tensors (encoder.layer.0.query.weight, encoder.layer.0.key.weight)"
    assert described(query=TENSORS[KEY], key=TENSORS[QUERY]) == words


def test_only_matrices_that_moved_may_be_a_merged_adapter() -> None:
    old = {**TENSORS, "encoder.layer.0.query.bias": RANDOM.normal(size=48)}
    merged = {**old, **{name: TENSORS[name] + LORA for name in (QUERY, KEY)}}
    assert str(weight_changes(sketched(old), sketched(merged))) == (
        "moved by 1 to 10 % of their length: 2 tensors (encoder.layer.0.query.weight, encoder.layer.0.key.weight); no "
        "bias and no norm differs, as after merging a low-rank adapter (LoRA), training matrices only, or rounding them"
    )
    trained = {name: values + 0.001 for name, values in merged.items()}
    assert "LoRA" not in str(weight_changes(sketched(old), sketched(trained)))


def test_a_tensor_that_became_zero_is_not_taken_for_another_that_is() -> None:
    old = {**TENSORS, "pooler.bias": np.zeros(48)}
    changes = weight_changes(sketched(old), sketched({**old, QUERY: TENSORS[QUERY] * 0}))
    assert str(changes) == f"all zero: {QUERY}"


def test_a_matrix_that_is_zero_in_part_is_not_equal() -> None:
    head = np.where(np.arange(64)[:, None] < 20, 0, TENSORS[QUERY])
    assert described(query=head).startswith("moved by more than 10 %")


def test_renamed_tensors_are_the_same_and_fused_ones_are_storage() -> None:
    old = sketched(TENSORS)
    renamed = {f"bert.{name}": values for name, values in TENSORS.items()}
    assert weight_changes(old, sketched(renamed)) is None
    fused = {name: values for name, values in TENSORS.items() if name not in (QUERY, KEY)}
    fused["encoder.layer.0.qk.weight"] = np.concatenate([TENSORS[QUERY], TENSORS[KEY]])
    changes = weight_changes(old, sketched(fused))
    assert changes is not None
    assert set(changes.kinds) == {"missing", "new"}


def test_a_layer_with_the_values_of_another_is_one_statement() -> None:
    layers = {name: TENSORS[name.replace(".0.", ".1.")] for name in (QUERY, KEY)}
    changes = weight_changes(sketched(TENSORS), sketched({**TENSORS, **layers}))
    words = "with the values of encoder.layer.1: 2 tensors"
    assert str(changes) == f"{words} ({QUERY}, {KEY})"
