"""Of two differences, the one whose measured effect explains the answers comes first."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.record import Record
from tests.compare.drift.test_fixed_batch import OTHER_LOGITS, trained
from tests.compare.drift.test_weights import TENSORS, sketched
from tests.support.record_factory import SKETCH, probe, with_fingerprint


def places(before: Record, after: Record) -> list[tuple[str, str]]:
    return [(cause.where, cause.rank.name) for cause in drift_causes(before, after)]


def of_training(eps: float, **changes: Any) -> Record:
    logits = packed_floats([eps * (place / 8 - 4) for place in range(64)])
    record = with_fingerprint(trained(**changes), encoder={"config": {"layer_norm_eps": eps}}, logits=logits)
    return dataclasses.replace(record, settings={"learning_rate": 1e-4 * eps, **record.settings})


def test_a_config_value_that_moved_nothing_comes_after_a_setting_of_the_training() -> None:
    before = of_training(1.0)
    assert places(before, of_training(2.0)) == [("learning_rate", "EXPLAINS"), ("layer_norm_eps", "DIFFERS")]
    moved = places(before, of_training(2.0, logits=OTHER_LOGITS))
    assert moved[:2] == [("layer_norm_eps", "EXPLAINS"), ("learning_rate", "EXPLAINS")]


def test_embeddings_of_long_sentences_that_moved_stay_first_although_the_fixed_batch_is_short() -> None:
    moved = [-value if place > 100 else value for place, value in enumerate(SKETCH)]
    after = with_fingerprint(of_training(2.0), encoder={"sketch": packed_floats(moved)})
    assert places(of_training(1.0), after)[0] == ("layer_norm_eps", "EXPLAINS")


def of_probe(moved: float, setting: float, logits: float = 1.0) -> Record:
    sketch = [value * (1 + moved * (-1) ** place) for place, value in enumerate(SKETCH)]
    record = with_fingerprint(
        probe([True] * 4),
        encoder={"sketch": packed_floats(sketch), "config": {"act": moved}},
        logits=packed_floats([logits * (place / 8 - 4) for place in range(64)]),
    )
    return dataclasses.replace(record, settings={"C": setting})


def test_embeddings_that_moved_little_come_after_the_setting_of_the_fit() -> None:
    before = of_probe(0.0, 1.0)
    assert places(before, of_probe(5e-4, 0.1, logits=0.5))[0][0] == "C"
    assert places(before, of_probe(0.1, 0.1, logits=0.5))[0][0] == "act"


def with_setting(name: str, value: float, loss: float, learning_rate: float = 1e-4) -> Record:
    logits = packed_floats([loss * (place / 8 - 4) for place in range(64)])
    record = with_fingerprint(trained({name: value}, loss=loss), logits=logits)
    return with_fingerprint(record, training={"learning_rate": learning_rate})


@pytest.mark.parametrize("name", ["ignore_data_skip", "per_device_eval_batch_size", "learning_rate"])
def test_a_setting_that_shows_nowhere_in_the_training_comes_after_what_was_measured_of_it(name: str) -> None:
    before, after = with_setting(name, 0, 0.7), with_setting(name, 1, 1.4)
    assert places(before, after)[:2] == [("loss", "EXPLAINS"), (name, "DIFFERS")]


def test_a_setting_that_shows_in_the_training_stays_in_its_place() -> None:
    before, after = with_setting("learning_rate", 1e-4, 0.7), with_setting("learning_rate", 1e-3, 1.4, 1e-3)
    assert places(before, after)[:2] == [("learning_rate", "EXPLAINS"), ("loss", "EXPLAINS")]
    before, after = with_setting("code", 0, 0.7), with_setting("code", 1, 1.4)
    assert places(before, after)[:2] == [("code", "EXPLAINS"), ("loss", "EXPLAINS")]


def of_weights(tensors: dict[str, np.ndarray], first_loss: float, **changes: Any) -> Record:
    record = with_fingerprint(
        trained(**changes),
        encoder={"tensors": sketched(tensors)},
        logits=packed_floats([first_loss * (place / 8 - 4) for place in range(64)]),
    )
    record = with_fingerprint(record, training={"first_loss": first_loss})
    return dataclasses.replace(record, probabilities=tuple(first_loss * p for p in record.probabilities))


def ranks(before: Record, after: Record) -> set[str]:
    return {cause.rank.name for cause in drift_causes(before, after)}


def test_weights_in_another_order_that_compute_the_same_are_a_note_also_of_a_training() -> None:
    before = of_weights(TENSORS, 0.7)
    permuted = {name: values[::-1] for name, values in TENSORS.items()}
    assert ranks(before, of_weights(permuted, 0.8)) == {"NOTE"}
    assert "EXPLAINS" in ranks(before, of_weights(permuted, 0.8, logits=OTHER_LOGITS))
    assert "EXPLAINS" in ranks(before, of_weights(permuted, 0.8, dropout={"0.3": 8}))
    table = {"embeddings.weight": TENSORS["encoder.layer.0.key.weight"]}
    moved = {"embeddings.weight": table["embeddings.weight"][::-1]}
    assert "EXPLAINS" in ranks(of_weights(table, 0.7), of_weights(moved, 0.8))
    rounded = {name: values.astype(np.float16) for name, values in TENSORS.items()}
    assert "EXPLAINS" in ranks(before, of_weights(rounded, 0.8))


def test_another_implementation_of_attention_that_computes_the_same_is_a_note_also_of_a_training() -> None:
    before = of_weights(TENSORS, 0.7)
    eager = with_fingerprint(of_weights(TENSORS, 0.8), encoder={"attention": "eager"})
    assert ranks(before, eager) == {"NOTE"}
    assert ranks(before, of_weights(TENSORS, 0.8)) == {"EXPLAINS"}
