"""``--sst2-path stock`` uses the libraries' own Trainer, modules and encode(), and gives the same classifiers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import ComputationPath, build_recipe
from pytest_sst2.methods.base import Job, Trained, train
from pytest_sst2.methods.fast import quick_dropout, trimmed_embedding
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.results.fingerprint import TrainingFingerprint
from tests.methods.test_methods import examples, make_job
from tests.support.tiny_models import add_sentence_modules, write_encoder

METHOD = {spec.name: spec for spec in METHODS}


@pytest.fixture(scope="module")
def without_dropout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder whose trainings differ only by rounding, whatever masks a path would draw."""
    folder = write_encoder(
        tmp_path_factory.mktemp("paths") / "still", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return add_sentence_modules(folder)


def trained(
    model: Path, method: str, path: ComputationPath, *, by_length: bool = False, **recipe: int
) -> tuple[Job, Trained]:
    # Few rows, so that the fast path trims the embedding, by default in the order that the Trainer draws.
    values = {"epochs": 2, "learning_rate": 1e-3, "batch_size": 8, **recipe}
    plain = dataclasses.replace(build_recipe("quick", **values), group_by_length=by_length)
    job = dataclasses.replace(make_job(model, plain), train=examples(0, 24), path=path)
    return job, train(METHOD[method], job)


def training_of(job: Job) -> TrainingFingerprint:
    assert job.recorder.training is not None
    return job.recorder.training


def test_both_paths_give_the_same_fine_tuning_without_dropout(without_dropout: Path) -> None:
    (fast, one), (stock, other) = (trained(without_dropout, "fine-tune", path) for path in ("fast", "stock"))
    rows = examples(120, 160).sentences
    np.testing.assert_allclose(one.predict(rows), other.predict(rows), atol=1e-4)
    assert (training_of(fast).order, training_of(fast).fixed_batch) == (
        training_of(stock).order,
        training_of(stock).fixed_batch,
    )


def test_the_stock_path_calls_nothing_that_stands_in_for_the_libraries(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the fast path was used")

    monkeypatch.setattr(quick_dropout.QuickDropout, "forward", fail)
    monkeypatch.setattr(trimmed_embedding.TrimmedEmbedding, "forward", fail)
    monkeypatch.setattr("pytest_sst2.methods.hf_trainer.TrainingBatches", fail)
    monkeypatch.setattr(Embedder, "embed", fail)
    trained(tiny_encoder, "fine-tune", "stock", by_length=True, epochs=1)
    trained(tiny_encoder, "linear-probe", "stock")
    with pytest.raises(AssertionError, match="the fast path was used"):
        trained(tiny_encoder, "linear-probe", "fast")


def test_both_paths_give_the_same_probe(tiny_encoder: Path) -> None:
    (_, one), (_, other) = (trained(tiny_encoder, "linear-probe", path) for path in ("fast", "stock"))
    rows = examples(120, 160).sentences
    np.testing.assert_allclose(one.predict(rows), other.predict(rows), atol=1e-5)
    assert other.settings["encode_batch_size"] == 32
