"""Which step the answers of two classifiers name as the first that differs."""

from __future__ import annotations

import dataclasses

import numpy as np

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.compare.drift.rows import same_trained_weights
from pytest_sst2.results.fingerprint import ModuleSketches
from pytest_sst2.results.packing import packed_floats, packed_text
from pytest_sst2.results.record import Record
from tests.support.record_factory import FINGERPRINT, make_record, with_fingerprint

LOGITS = np.linspace(-4, 4, 64)
MODULES = "bert.encoder\nbert.pooler\nbert"


def predicting(logits: np.ndarray, **changes: object) -> Record:
    """Return a record whose classifier gives the probe sentences these log-odds, and the rows the first four."""
    probabilities = tuple(round(float(1 / (1 + np.exp(-value))), 6) for value in logits[:4])
    base = make_record(probabilities=probabilities, predictions=tuple(int(p > 0.5) for p in probabilities), **changes)
    return with_fingerprint(base, logits=packed_floats([float(value) for value in logits]), training=None)


def with_pooler(record: Record, length: float) -> Record:
    """Return the record with modules of which only the pooler's output has another length."""
    sketch = packed_floats(
        [value for name in (1.0, length, 1.0) for value in (1.0, 0.0, name, name, name)], compressed=True
    )
    assert record.fingerprint is not None and record.fingerprint.encoder is not None  # noqa: PT018
    modules = ModuleSketches(packed_text(MODULES), sketch)
    encoder = dataclasses.replace(record.fingerprint.encoder, modules=modules)
    return dataclasses.replace(record, fingerprint=dataclasses.replace(record.fingerprint, encoder=encoder))


def test_log_odds_that_are_scaled_or_shifted_are_told_also_without_rows() -> None:
    (cause,) = drift_causes(predicting(LOGITS), predicting(1.7 * LOGITS))
    assert cause.sentence.endswith("; the probe sentences' log-odds are 1.7 × what they were")
    (cause,) = drift_causes(predicting(LOGITS), predicting(LOGITS - 0.5))
    assert cause.sentence.endswith("; the probe sentences' log-odds are what they were minus 0.5")


def test_a_pooler_that_a_head_reads_is_the_cause_and_one_that_a_probe_ignores_is_a_note() -> None:
    before, after = with_pooler(predicting(LOGITS), 1.0), with_pooler(predicting(np.tanh(LOGITS)), 0.5)
    first, *_ = drift_causes(before, after)
    assert first.sentence.startswith("the first difference is in bert.pooler")
    assert not first.is_note
    pooled = [dataclasses.replace(side, settings={**side.settings, "pooling": "mean"}) for side in (before, after)]
    assert [cause.is_note for cause in drift_causes(*pooled) if cause.kind == "modules"] == [True]


def test_weights_are_the_same_after_a_training_only_if_it_changed_some() -> None:
    assert FINGERPRINT.training is not None
    trained = dataclasses.replace(FINGERPRINT.training, weights="a1")
    frozen = dataclasses.replace(trained, trained=())
    both = [dataclasses.replace(FINGERPRINT, training=training) for training in (trained, frozen)]
    assert [same_trained_weights(side, side) for side in both] == [True, False]
