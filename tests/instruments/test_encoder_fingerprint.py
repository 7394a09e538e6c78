"""Encoder fingerprints: equal for equal encoders; each change shows in its own field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.instruments.encoder_fingerprint import embedded, measure_encoder
from pytest_sst2.instruments.measured_encoder import MeasuredEncoder
from pytest_sst2.instruments.weights_fingerprint import weights_fingerprint
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.fingerprint import EncoderFingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.probe_sentences import embedded_sentences, probe_sentences


@pytest.fixture(scope="module")
def spec(tiny_encoder: Path) -> ModelSpec:
    return ModelSpec("tiny", folder=tiny_encoder)


@pytest.fixture
def encoder(spec: ModelSpec) -> Any:
    """A newly loaded encoder, which the test may change."""
    return ModelLoader("cpu").sentence_encoder(spec)


@pytest.fixture(scope="module")
def taken(spec: ModelSpec) -> EncoderFingerprint:
    loaded = ModelLoader("cpu").sentence_encoder(spec)
    return measure_encoder(loaded, Embedder(loaded)).fingerprint


def fingerprint_of(encoder: Any) -> EncoderFingerprint:
    return measure_encoder(encoder, Embedder(encoder)).fingerprint


def weights(encoder: Any) -> Iterator[tuple[str, torch.Tensor]]:
    yield from encoder[0].auto_model.named_parameters()


class TestEncoder:
    def test_the_same_model_twice_has_the_same_fingerprint(self, encoder: Any, taken: EncoderFingerprint) -> None:
        assert fingerprint_of(encoder) == taken
        assert (taken.dtype, taken.dimensions, taken.length, taken.pooling) == ("float32", 32, 1.0, "mean")
        assert taken.parts.keys() == {"embeddings", "layer 0", "layer 1", "pooler"}
        assert (taken.nondeterminism, taken.effective_dtype) == (0.0, "float32")
        assert taken.batch_sensitivity < 1e-4
        assert taken.config["num_hidden_layers"] == 2

    @pytest.mark.parametrize(
        ("name", "part"),
        [("embeddings.word", "embeddings"), ("layer.0.", "layer 0"), ("layer.1.", "layer 1"), ("pooler", "pooler")],
    )
    def test_one_changed_weight_changes_exactly_its_part(
        self, encoder: Any, taken: EncoderFingerprint, name: str, part: str
    ) -> None:
        weight = next(tensor for tensor_name, tensor in weights(encoder) if name in tensor_name)
        with torch.no_grad():
            weight.view(-1)[0] += 1e-6
        now = weights_fingerprint(encoder).parts
        assert {changed for changed in now if now[changed] != taken.parts[changed]} == {part}

    def test_the_names_of_tensors_do_not_matter(self, encoder: Any, taken: EncoderFingerprint) -> None:
        class Renamed(torch.nn.Module):
            def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
                tensors = reversed(encoder.state_dict().items())
                return {
                    name.replace(".attention.", ".mixing.").replace("auto_", ""): tensor for name, tensor in tensors
                }

        assert weights_fingerprint(Renamed()).parts == taken.parts

    def test_weights_that_were_half_precision_have_a_narrow_effective_dtype(self, encoder: Any) -> None:
        with torch.no_grad():
            for _, weight in weights(encoder):
                weight.copy_(weight.bfloat16().float())
        fingerprint = fingerprint_of(encoder)
        assert (fingerprint.dtype, fingerprint.effective_dtype) == ("float32", "bfloat16")

    def test_scaled_embeddings_have_another_length_and_the_same_direction(
        self, encoder: Any, taken: EncoderFingerprint
    ) -> None:
        embed = Embedder(encoder)
        fingerprint = measure_encoder(encoder, lambda sentences: 3 * embed(sentences)).fingerprint
        assert fingerprint.length == pytest.approx(3.0, abs=1e-5)
        assert fingerprint.parts == taken.parts
        sketches = [np.array(unpacked_floats(measured.sketch)) for measured in (taken, fingerprint)]
        assert cosine(*sketches) == pytest.approx(1.0, abs=1e-9)

    @pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0])
    def test_the_cosine_of_sketches_is_close_to_that_of_embeddings(self, noise: float) -> None:
        def sketch(rows: np.ndarray) -> np.ndarray:
            by_sentence = dict(zip(probe_sentences(), rows, strict=True))
            fingerprint = measure_encoder(
                torch.nn.Linear(1, 1), lambda sentences: np.array([by_sentence[sentence] for sentence in sentences])
            ).fingerprint
            return np.array(unpacked_floats(fingerprint.sketch))

        draws = np.random.default_rng(0)
        before = draws.normal(size=(64, 384))
        after = before + noise * draws.normal(size=before.shape)
        assert sketch(before).shape == (64,)
        chosen = list(embedded_sentences())
        assert cosine(sketch(before), sketch(after)) == pytest.approx(cosine(before[chosen], after[chosen]), abs=0.15)

    @pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken"])
    def test_pooling_is_detected(self, encoder: Any, taken: EncoderFingerprint, pooling: str) -> None:
        from sentence_transformers.models import Pooling

        encoder[1] = Pooling(32, pooling_mode=pooling)
        fingerprint = fingerprint_of(encoder)
        assert fingerprint.pooling == pooling
        assert (fingerprint.hidden, fingerprint.parts) == (taken.hidden, taken.parts)
        assert fingerprint.sketch != taken.sketch

    def test_enabled_dropout_is_nondeterministic(self, encoder: Any) -> None:
        embed = Embedder(encoder)

        def dropping(sentences: Sequence[str]) -> np.ndarray:
            dropped = torch.nn.functional.dropout(torch.tensor(embed(sentences)), 0.5)
            return np.asarray(dropped.numpy())

        assert measure_encoder(encoder, dropping).fingerprint.nondeterminism > 0.1

    def test_embeddings_that_depend_on_their_batch_are_batch_sensitive(self, encoder: Any) -> None:
        embed = Embedder(encoder)
        fingerprint = measure_encoder(
            encoder, lambda sentences: embed(sentences) * (1 + (len(sentences) > 1))
        ).fingerprint
        assert fingerprint.batch_sensitivity == pytest.approx(1.0, abs=1e-3)
        assert fingerprint.nondeterminism == 0.0

    def test_results_are_in_the_order_of_the_sentences(self) -> None:
        lengths = embedded(lambda sentences: np.array([[len(sentence)] for sentence in sentences]), [5, 0])
        assert lengths[:, 0].tolist() == [len(probe_sentences()[5]), len(probe_sentences()[0])]


def _weight(encoder: Any) -> None:
    with torch.no_grad():
        next(tensor for _, tensor in weights(encoder)).view(-1)[-1] += 1e-6


def _buffer(encoder: Any) -> None:
    encoder[0].register_buffer("shift", torch.zeros(2), persistent=False)


def _hook(encoder: Any) -> None:
    encoder[0].register_forward_hook(lambda *_: None)


def _hook_before(encoder: Any) -> None:
    encoder[0].register_forward_pre_hook(lambda *_: None)


def _sparse_buffer(encoder: Any) -> None:
    encoder[0].register_buffer("mask", torch.zeros(2).to_sparse(), persistent=False)


def _forward(encoder: Any) -> None:
    encoder[1].forward = encoder[1].forward


def _module(encoder: Any) -> None:
    encoder[0].auto_model.encoder.layer[0].output.dropout.p = 0.7


class _EmbedsError(Exception):
    """Raised instead of embedding."""


def _no_embedding(_sentences: Sequence[str]) -> np.ndarray:
    raise _EmbedsError


@pytest.fixture(scope="module")
def before(spec: ModelSpec) -> tuple[MeasuredEncoder, EncoderFingerprint, list[Sequence[int]]]:
    encoder, before = ModelLoader("cpu").sentence_encoder(spec), MeasuredEncoder()
    ids = [*(Embedder(encoder).prepared_ids(probe_sentences()) or [])]
    measured = measure_encoder(encoder, Embedder(encoder), ids, before=before, conditions="fast")
    return before, measured.fingerprint, ids


class TestMeasuredBefore:
    """The encoder of another cell is measured again unless nothing that decides its embeddings differs."""

    def test_the_same_encoder_embeds_nothing_and_has_the_same_fingerprint(self, encoder: Any, before: Any) -> None:
        known, fingerprint, ids = before
        again = measure_encoder(encoder, _no_embedding, ids, before=known, conditions="fast")
        assert again.fingerprint == fingerprint
        assert again.ids is ids

    @pytest.mark.parametrize("change", [_weight, _buffer, _sparse_buffer, _hook, _hook_before, _forward, _module])
    def test_another_state_is_measured(self, encoder: Any, before: Any, change: Any) -> None:
        change(encoder)
        with pytest.raises(_EmbedsError):
            measure_encoder(encoder, _no_embedding, before[2], before=before[0], conditions="fast")

    def test_other_conditions_tokens_or_threads_are_measured(self, encoder: Any, before: Any) -> None:
        known, _, ids = before
        for conditions, tokens in (("stock", ids), (None, ids), ("fast", [*ids[1:], [5]]), ("fast", None)):
            with pytest.raises(_EmbedsError):
                measure_encoder(encoder, _no_embedding, tokens, before=known, conditions=conditions)
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(threads + 1)
            with pytest.raises(_EmbedsError):
                measure_encoder(encoder, _no_embedding, ids, before=known, conditions="fast")
        finally:
            torch.set_num_threads(threads)
