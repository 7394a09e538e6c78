"""FingerprintRecorder: fingerprints of a tiny encoder are repeatable, and each change shows where it was made."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.encoder_fingerprint import of_fixed_sentences, see_encoder, tokens_fingerprint, weights_of
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder, OrderDigest, rows_fingerprint
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.base import Job, Trained, train
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.fingerprint import EncoderFingerprint, Fingerprint
from pytest_sst2.results.packing import unpacked_floats, unpacked_text
from pytest_sst2.results.probe_sentences import fixed_sentences
from tests.support.record_factory import make_record
from tests.support.tiny_models import sentences_and_labels

METHOD = {spec.name: spec for spec in METHODS}


@pytest.fixture(scope="module")
def spec(tiny_encoder: Path) -> ModelSpec:
    return ModelSpec("tiny", folder=tiny_encoder)


@pytest.fixture
def encoder(spec: ModelSpec) -> Any:
    """A freshly loaded encoder, which the test may spoil."""
    return ModelLoader("cpu").sentence_encoder(spec)


@pytest.fixture(scope="module")
def taken(spec: ModelSpec) -> EncoderFingerprint:
    loaded = ModelLoader("cpu").sentence_encoder(spec)
    return see_encoder(loaded, Embedder(loaded)).fingerprint


def fingerprint_of(encoder: Any) -> EncoderFingerprint:
    return see_encoder(encoder, Embedder(encoder)).fingerprint


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
        weight = next(each for found, each in weights(encoder) if name in found)
        with torch.no_grad():
            weight.view(-1)[0] += 1e-6
        now = weights_of(encoder).parts
        assert {each for each in now if now[each] != taken.parts[each]} == {part}

    def test_the_names_of_tensors_do_not_matter(self, encoder: Any, taken: EncoderFingerprint) -> None:
        class Renamed(torch.nn.Module):
            def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
                found = reversed(encoder.state_dict().items())
                return {name.replace(".attention.", ".mixing.").replace("auto_", ""): each for name, each in found}

        assert weights_of(Renamed()).parts == taken.parts

    def test_weights_that_went_through_half_precision_are_told_by_their_grain(self, encoder: Any) -> None:
        with torch.no_grad():
            for _, weight in weights(encoder):
                weight.copy_(weight.bfloat16().float())
        found = fingerprint_of(encoder)
        assert (found.dtype, found.effective_dtype) == ("float32", "bfloat16")

    def test_scaled_embeddings_have_another_length_and_the_same_direction(
        self, encoder: Any, taken: EncoderFingerprint
    ) -> None:
        embed = Embedder(encoder)
        found = see_encoder(encoder, lambda sentences: 3 * embed(sentences)).fingerprint
        assert found.length == pytest.approx(3.0, abs=1e-5)
        assert found.parts == taken.parts
        sketches = [np.array(unpacked_floats(each.sketch)) for each in (taken, found)]
        assert cosine(*sketches) == pytest.approx(1.0, abs=1e-9)

    @pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 1.0])
    def test_the_sketch_s_cosine_is_close_to_that_of_the_embeddings(self, noise: float) -> None:
        def sketch(rows: np.ndarray) -> np.ndarray:
            by_sentence = dict(zip(fixed_sentences(), rows, strict=True))
            found = see_encoder(
                torch.nn.Linear(1, 1), lambda asked: np.array([by_sentence[sentence] for sentence in asked])
            ).fingerprint
            return np.array(unpacked_floats(found.sketch))

        draws = np.random.default_rng(0)
        before = draws.normal(size=(64, 384))
        after = before + noise * draws.normal(size=before.shape)
        assert sketch(before).shape == (128,)
        assert cosine(sketch(before), sketch(after)) == pytest.approx(cosine(before, after), abs=0.12)

    @pytest.mark.parametrize("pooling", ["cls", "max", "lasttoken"])
    def test_pooling_is_found_out_by_trial(self, encoder: Any, taken: EncoderFingerprint, pooling: str) -> None:
        from sentence_transformers.models import Pooling

        encoder[1] = Pooling(32, pooling_mode=pooling)
        found = fingerprint_of(encoder)
        assert found.pooling == pooling
        assert (found.hidden, found.parts) == (taken.hidden, taken.parts)
        assert found.sketch != taken.sketch

    def test_dropout_that_is_on_is_unsteady(self, encoder: Any) -> None:
        embed = Embedder(encoder)

        def dropping(sentences: Sequence[str]) -> np.ndarray:
            found = torch.nn.functional.dropout(torch.tensor(embed(sentences)), 0.5)
            return np.asarray(found.numpy())

        assert see_encoder(encoder, dropping).fingerprint.nondeterminism > 0.1

    def test_embeddings_that_depend_on_their_batch_are_told(self, encoder: Any) -> None:
        embed = Embedder(encoder)
        found = see_encoder(encoder, lambda sentences: embed(sentences) * (1 + (len(sentences) > 1))).fingerprint
        assert found.batch_sensitivity == pytest.approx(1.0, abs=1e-3)
        assert found.nondeterminism == 0.0

    def test_sentences_are_given_back_in_their_order(self) -> None:
        lengths = of_fixed_sentences(lambda asked: np.array([[len(each)] for each in asked]))
        assert lengths[:, 0].tolist() == [len(each) for each in fixed_sentences()]


class TestTokens:
    def test_it_says_what_the_tokenizer_made_of_each_sentence(self, spec: ModelSpec) -> None:
        tokenizer = ModelLoader("cpu").tokenizer(spec)
        ids = [tokenizer(each, truncation=True, max_length=8)["input_ids"] for each in fixed_sentences()]
        found = tokens_fingerprint(tokenizer, ids)
        assert (found.tokenizer, found.vocabulary) == (type(tokenizer).__name__, len(tokenizer))
        assert found.lengths == tuple(map(len, ids))
        assert max(found.lengths) == 8
        pieces = unpacked_text(found.pieces).split("\n")
        assert len(pieces) == 64
        assert all(each.startswith("[CLS] ") and each.endswith(" [SEP]") for each in pieces)

    def test_another_sentence_s_ids_change_its_digest_alone(self, spec: ModelSpec) -> None:
        tokenizer = ModelLoader("cpu").tokenizer(spec)
        ids = [tokenizer(each)["input_ids"] for each in fixed_sentences()]
        first, second = (
            np.frombuffer(base64.b64decode(tokens_fingerprint(tokenizer, each).ids), dtype=np.uint32)
            for each in (ids, [*ids[:5], [*ids[5], 7], *ids[6:]])
        )
        assert np.flatnonzero(first != second).tolist() == [5]


class TestRows:
    def rows(self, *pairs: tuple[str, int]) -> Examples:
        return Examples([sentence for sentence, _ in pairs], np.array([label for _, label in pairs]))

    def test_order_labels_and_sentences_are_told_apart(self) -> None:
        base = rows_fingerprint(self.rows(("a", 1), ("b", 0), ("b", 0)))
        assert (base.count, base.distinct) == (3, 2)
        order = rows_fingerprint(self.rows(("b", 0), ("a", 1), ("b", 0)))
        assert dataclasses.replace(order, order=base.order) == base
        assert order != base
        labels = rows_fingerprint(self.rows(("a", 0), ("b", 0), ("b", 0)))
        assert dataclasses.replace(labels, labels=base.labels) == base
        assert labels != base
        assert rows_fingerprint(self.rows(("a", 1), ("c", 0), ("b", 0))).sentences != base.sentences

    def test_the_order_of_training_rows_is_told_apart_from_the_rows(self) -> None:
        def digest(*rows: list[int], limit: int = 3) -> str:
            found = OrderDigest(limit)
            for row in rows:
                found.add(row)
            return str(found)

        ordered, whatever = digest([1], [2], [3]).split(":")
        other, same = digest([2], [1], [3]).split(":")
        assert (ordered != other, whatever == same) == (True, True)
        assert digest([1], [2], [4]).split(":")[1] != whatever
        assert digest([1], [2], [3], [9]) == digest([1], [2], [3])  # a second pass is not looked at


def job(spec: ModelSpec, *, enabled: bool = True) -> Job:
    sentences, labels = sentences_and_labels(48)
    clock = PhaseClock()
    return Job(
        train=Examples(sentences[:32], np.array(labels[:32])),
        evaluation=Examples(sentences[32:], np.array(labels[32:])),
        recipe=build_recipe("quick", learning_rate=5e-3, batch_size=8),
        seed=42,
        clock=clock,
        loader=ModelLoader("cpu"),
        recorder=FingerprintRecorder(clock, enabled=enabled),
        model=spec,
    )


def witnessed(spec: ModelSpec, method: str, **changes: Any) -> tuple[Fingerprint, Trained]:
    made = dataclasses.replace(job(spec), **changes)
    trained = train(METHOD[method], made)
    return made.recorder.fingerprint(made.train, made.evaluation, trained.predict), trained


class TestMethods:
    def test_a_witness_that_sleeps_takes_nothing(self, spec: ModelSpec) -> None:
        asleep = job(spec, enabled=False)
        train(METHOD["linear-probe"], asleep)
        assert (asleep.recorder.tokens, asleep.recorder.encoder) == (None, None)
        assert "fingerprint" not in [phase.name for phase in asleep.clock.phases]

    @pytest.mark.parametrize("method", ["fine-tune", "linear-probe", "torch-probe"])
    def test_the_same_cell_twice_has_the_same_fingerprint_and_no_drift(self, spec: ModelSpec, method: str) -> None:
        first, again = (witnessed(spec, method)[0] for _ in range(2))
        assert first == again
        assert None not in (first.tokens, first.encoder, first.training)
        before, after = (make_record(fingerprint=each) for each in (first, again))
        assert drift_causes(before, after) == ()

    def test_fine_tuning_shows_its_steps_and_what_they_changed(self, spec: ModelSpec) -> None:
        found, trained = witnessed(spec, "fine-tune")
        course = found.training
        assert course is not None
        assert (course.steps, course.learning_rate) == (4, pytest.approx(5e-3))
        # 5e-3 falls to nothing in four steps: 4/4, 3/4, 2/4 and 1/4 of it.
        assert course.mean_learning_rate == pytest.approx(5e-3 * 10 / 16)
        assert course.optimizer["optimizer"] == "AdamW"
        assert course.first_loss == pytest.approx(np.log(2), abs=0.1)
        assert course.trained is not None
        assert {"embeddings", "layer 0", "layer 1", "classifier"} <= {*course.trained}
        assert ":" in str(course.order)
        assert not [name for name in trained.settings if "fingerprint" in name]

    def test_a_probe_s_encoder_is_not_trained(self, spec: ModelSpec) -> None:
        course = witnessed(spec, "linear-probe")[0].training
        assert course is not None
        assert not course.trained
        assert course.first_loss is None
        assert 0 < (course.last_gradient or 0) < 1e-3
