"""FingerprintRecorder: fingerprints are repeatable, and show the steps of a training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.base import Job, Trained, train
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.fingerprint import Fingerprint
from tests.support.record_factory import make_record
from tests.support.sentences_of_causes import drift_sentences
from tests.support.tiny_models import sentences_and_labels

METHOD = {spec.name: spec for spec in METHODS}


@pytest.fixture(scope="module")
def spec(tiny_encoder: Path) -> ModelSpec:
    return ModelSpec("tiny", folder=tiny_encoder)


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


def fingerprint_and_trained(spec: ModelSpec, method: str, **changes: Any) -> tuple[Fingerprint, Trained]:
    tested = dataclasses.replace(job(spec), **changes)
    trained = train(METHOD[method], tested)
    return tested.recorder.fingerprint(tested.train, tested.evaluation, trained.predict), trained


class TestMethods:
    def test_a_disabled_recorder_records_nothing(self, spec: ModelSpec) -> None:
        disabled = job(spec, enabled=False)
        train(METHOD["linear-probe"], disabled)
        assert (disabled.recorder.tokens, disabled.recorder.encoder) == (None, None)
        assert "fingerprint" not in [phase.name for phase in disabled.clock.phases]

    @pytest.mark.parametrize("method", ["fine-tune", "linear-probe", "torch-probe"])
    def test_the_same_cell_twice_has_the_same_fingerprint_and_no_drift(self, spec: ModelSpec, method: str) -> None:
        first, again = (fingerprint_and_trained(spec, method)[0] for _ in range(2))
        assert first == again
        assert None not in (first.tokens, first.encoder, first.training)
        before, after = (make_record(fingerprint=fingerprint) for fingerprint in (first, again))
        assert drift_sentences(before, after) == ()

    def test_fine_tuning_shows_its_steps_and_what_they_changed(self, spec: ModelSpec) -> None:
        fingerprint, trained = fingerprint_and_trained(spec, "fine-tune")
        training = fingerprint.training
        assert training is not None
        assert (training.steps, training.learning_rate) == (4, pytest.approx(5e-3))
        # 5e-3 falls to nothing in four steps: 4/4, 3/4, 2/4 and 1/4 of it.
        assert training.mean_learning_rate == pytest.approx(5e-3 * 10 / 16)
        assert training.optimizer["optimizer"] == "AdamW"
        assert training.first_loss == pytest.approx(np.log(2), abs=0.1)
        assert training.trained is not None
        assert {"embeddings", "layer 0", "layer 1", "classifier"} <= {*training.trained}
        assert ":" in str(training.order)
        assert not [name for name in trained.settings if "fingerprint" in name]

    def test_a_probe_does_not_train_its_encoder(self, spec: ModelSpec) -> None:
        training = fingerprint_and_trained(spec, "linear-probe")[0].training
        assert training is not None
        assert not training.trained
        assert training.first_loss is None
        assert 0 < (training.last_gradient or 0) < 1e-3
