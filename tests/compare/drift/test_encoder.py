"""Test the causes of a changed encoder: weights, config, pooling and embeddings, each alone."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.embeddings import (
    BATCH_SENSITIVITY_TOLERANCE,
    EMBEDDING_TOLERANCE,
    NONDETERMINISM_TOLERANCE,
)
from pytest_sst2.compare.drift.encoder import different_values
from pytest_sst2.compare.drift.similarity import correlation, cosine
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.record import Record, Weights
from tests.support.record_factory import SKETCH, make_record, token_digests, with_fingerprint
from tests.support.sentences_of_causes import drift_sentences

BASE = make_record()
PARTS = BASE.fingerprint.encoder.parts
ROWS = np.array(SKETCH).reshape(64, 2)
FROZEN = TrainingFingerprint(steps=20, last_gradient=1e-5)


def encoded(base: Record = BASE, **changes: Any) -> Record:
    return with_fingerprint(base, encoder=changes)


def sketched(rows: np.ndarray) -> str:
    return packed_floats(rows.ravel().tolist())


def cause(after: Record, before: Record = BASE) -> str:
    (only,) = drift_sentences(before, after)
    return only


class TestWeights:
    def test_a_layer_that_differs_although_the_files_are_the_same(self) -> None:
        assert cause(encoded(parts={**PARTS, "layer 1": "99"})) == (
            "weights as loaded differ in 1 of 5 parts (layer 1), although the files are the same"
        )

    def test_another_checkpoint_is_named_by_its_revision_and_digest(self) -> None:
        other = dataclasses.replace(BASE, weights=Weights("org/name", "hub", "0123456789abcdef", "ef" * 32, "mit"))
        assert cause(encoded(other, parts=dict.fromkeys(PARTS, "99"))) == (
            "another checkpoint (revision 0123456789ab, sha256 efefefefefef, was revision main, sha256 cdcdcdcdcdcd): "
            "weights differ in 5 of 5 parts (embeddings, layer 0, layer 1, pooler and 1 more)"
        )

    def test_other_files_with_the_same_weights_are_no_drift(self) -> None:
        assert (
            drift_sentences(BASE, dataclasses.replace(BASE, weights=Weights("a/b", "hub", "", "00" * 32, "mit"))) == ()
        )

    def test_missing_parts_are_named(self) -> None:
        left = {name: digest for name, digest in PARTS.items() if name != "layer 1"}
        assert "in 1 of 5 parts (layer 1); missing: layer 1, although the files are the same" in cause(
            encoded(parts=left)
        )

    def test_renamed_parts_are_the_same(self) -> None:
        renamed = {name.replace("layer", "block"): digest for name, digest in PARTS.items()}
        assert drift_sentences(BASE, encoded(parts=renamed)) == ()

    def test_swapped_layers_are_not(self) -> None:
        swapped = {**PARTS, "layer 0": PARTS["layer 1"], "layer 1": PARTS["layer 0"]}
        sentence = cause(encoded(parts=swapped))
        assert "weights as loaded differ in 2 of 5 parts (layer 0, layer 1)" in sentence
        assert "the parts are swapped" in sentence

    def test_weights_rounded_while_loading_are_named_by_their_dtype(self) -> None:
        rounded = encoded(parts=dict.fromkeys(PARTS, "99"), effective_dtype="bfloat16")
        assert "all values are those of bfloat16, although the files are the same" in cause(rounded)

    def test_a_head_or_pooler_with_other_initial_weights(self) -> None:
        head = cause(encoded(parts={**PARTS, "classifier": "99"}))
        assert head == "the new head starts from other numbers, although the seed is the same"
        pooler = cause(encoded(parts={**PARTS, "classifier": "99", "pooler": "99"}))
        assert pooler == "the pooler starts from other numbers"

    def test_a_frozen_encoder_ignores_head_and_pooler(self) -> None:
        before, after = (
            with_fingerprint(training=FROZEN),
            with_fingerprint(training=FROZEN, encoder={"parts": {**PARTS, "classifier": "99", "pooler": "99"}}),
        )
        assert drift_sentences(before, after) == ()
        other = with_fingerprint(after, encoder={"parts": {**PARTS, "layer 0": "99"}})
        assert "weights as loaded differ" in cause(other, before)

    def test_another_config(self) -> None:
        config = {"hidden_act": "gelu_new", "num_hidden_layers": 2, "new_in_this_version": 5}
        assert cause(encoded(config=config)) == "the model's config: hidden_act gelu_new, was gelu"


class TestEmbeddings:
    def test_other_dimensions(self) -> None:
        assert cause(encoded(dimensions=768, sketch=sketched(-ROWS))) == "embeddings have 768 dimensions, had 384"

    def test_dropout_in_the_encoder_explains_all_later_differences(self) -> None:
        after = encoded(nondeterminism=0.25, sketch=sketched(ROWS * 1.3), batch_sensitivity=0.3)
        assert cause(with_fingerprint(after, repeat_max_diff=0.2)).startswith(
            "embedded twice, a sentence gets two embeddings (25 % apart): dropout is on"
        )
        assert drift_sentences(BASE, encoded(nondeterminism=NONDETERMINISM_TOLERANCE)) == ()
        # An encoder that was already random before is not compared.
        assert drift_sentences(encoded(nondeterminism=0.25), after) == ()

    def test_embeddings_in_another_order_than_the_sentences(self) -> None:
        rows = ROWS.copy()
        rows[[3, 7]] = rows[[7, 3]]
        sentence = cause(encoded(sketch=sketched(rows)))
        assert sentence == "embeddings come back in another order than the sentences (2 of 64 probe sentences)"

    def test_another_pooling(self) -> None:
        assert cause(encoded(pooling="cls", sketch=sketched(-ROWS))) == "pooling cls, was mean"
        # An unknown pooling is not compared.
        assert "same last hidden states, but embeddings differ" in cause(encoded(pooling="", sketch=sketched(-ROWS)))

    def test_embeddings_that_depend_on_their_batch(self) -> None:
        assert "embeddings depend on the other sentences of a batch (by up to 20 %)" in cause(
            encoded(batch_sensitivity=0.2)
        )
        assert drift_sentences(BASE, encoded(batch_sensitivity=EMBEDDING_TOLERANCE)) == ()
        # If the hidden states changed, lower precision explains a small effect.
        moved = sketched(ROWS * 1.001)
        assert "arithmetic" in cause(encoded(batch_sensitivity=BATCH_SENSITIVITY_TOLERANCE, hidden=moved, sketch=moved))

    @pytest.mark.parametrize(("length", "words"), [(1.0, "normalisation dropped"), (9.0, "scaled differently")])
    def test_other_lengths_in_the_same_directions(self, length: float, words: str) -> None:
        before, after = encoded(length=length), encoded(length=3 * length, sketch=sketched(3 * ROWS))
        expected = f"embeddings have length {3 * length:.3g} on average, had {length:.3g}: {words}"
        assert cause(after, before) == expected

    @pytest.mark.parametrize(("factor", "is_cause"), [(0.5, False), (2.0, True)])
    def test_more_than_the_effect_of_other_thread_counts_is_a_cause(self, factor: float, is_cause: bool) -> None:
        moved = ROWS + factor * EMBEDDING_TOLERANCE * np.sqrt((ROWS**2).sum(1).mean()) * np.array([0.6, 0.8])
        causes = drift_sentences(BASE, encoded(sketch=sketched(moved)))
        assert bool(causes) is is_cause
        if is_cause:
            assert "embeddings moved a little (64 of 64 probe sentences, cosine 1.0" in causes[0]
            assert causes[0].endswith("arithmetic of lower precision or a slightly different formula")

    def test_other_layers_are_distinguished_from_later_modules(self) -> None:
        moved = ROWS.copy()
        moved[:10] = moved[:10][:, ::-1] * [1, -1]
        after = {"sketch": sketched(moved), "pooling": "mean"}
        last = cause(encoded(**after))
        assert "same last hidden states, but embeddings differ (10 of 64 probe sentences, cosine 0." in last
        layers = cause(encoded(**after, hidden=sketched(moved)))
        assert "the last hidden states differ (10 of 64" in layers
        unknown = cause(encoded(**after, hidden=""), encoded(hidden=""))
        assert unknown.startswith("same weights in each part and tokens, but embeddings differ (10 of 64")

    def test_sentences_with_other_tokens_are_ignored(self) -> None:
        moved = ROWS.copy()
        moved[5] = [9, -9]
        computed = encoded(sketch=sketched(moved), hidden=sketched(moved))
        after = with_fingerprint(computed, tokens={"ids": token_digests(5)})
        assert "token ids differ for 1 of 64" in cause(after)
        moved[6] = [9, -9]
        also = with_fingerprint(encoded(sketch=sketched(moved)), tokens={"ids": token_digests(5)})
        assert "embeddings differ (1 of 63 probe sentences" in drift_sentences(BASE, also)[1]

    def test_other_weights_explain_other_embeddings(self) -> None:
        after = encoded(parts={**PARTS, "layer 0": "99"}, sketch=sketched(-ROWS), hidden=sketched(-ROWS))
        assert "weights as loaded differ" in cause(after)

    @pytest.mark.parametrize("name", ["modules", "max_seq_length"])
    def test_a_setting_that_explains_it_leaves_only_the_count(self, name: str) -> None:
        before = dataclasses.replace(BASE, settings={name: 5})
        after = dataclasses.replace(encoded(sketch=sketched(ROWS[:, ::-1])), settings={name: 6})
        causes = drift_sentences(before, after)
        assert causes[0].startswith("embeddings differ (")
        assert causes[1:] == (f"{name} 6, was 5",)


class TestValues:
    def test_only_what_both_sides_have_and_differs_has_a_sentence(self) -> None:
        old = {"a": 1, "b": None, "c": [1, 2], "d": 0.00001, "gone": 5}
        new = {"a": 2, "b": 5, "c": [1], "d": 0.5, "new": 5}
        assert different_values(old, new) == {
            "a": "a 2, was 1",
            "b": "b 5, was none",
            "c": "c 1, was 1 + 2",
            "d": "d 0.5, was 1e-05",
        }
        assert different_values(old, old) == {}

    def test_cosine_and_correlation_of_zero_and_constant_arrays(self) -> None:
        one, other = np.array([1.0, 0.0]), np.array([1.0, 1.0])
        assert cosine(one, other) == pytest.approx(math.sqrt(0.5))
        assert (cosine(one, 0 * one), cosine(0 * one, 0 * one)) == (0.0, 1.0)
        assert correlation(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1)
        assert correlation(np.array([1.0, 2.0, 3.0]), np.ones(3)) == 1.0
