"""A baseline of a whole run is small enough to be kept in a repository."""

from __future__ import annotations

import dataclasses
import functools
import math
import random

import numpy as np
import pytest

from pytest_sst2.instruments.row_sketch import SketchedRows, row_sketches, sketch_rows
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.packing import packed_bits, packed_floats, packed_text
from pytest_sst2.results.record import Epoch, Record
from tests.support.record_factory import ENVIRONMENT, FINGERPRINT, ROUNDS, make_record, token_digests


@functools.cache
def tokens_of(seed: int, examples: int) -> SketchedRows:
    """Return the sketched tokens of rows of 5 to 60 tokens."""
    rows = random.Random(seed)
    ids = [[rows.randrange(30_000)] * rows.randrange(5, 60) for _ in range(examples)]
    return sketch_rows(ids, np.zeros((examples, 1)))


def fine_tuning(model: int, seed: int, examples: int) -> Record:
    """Return a record as large as those of real fine-tuning: 100 settings, 200 packages, a digest for record layer."""
    draw = random.Random(1000 * model + seed)
    rows = random.Random(seed)
    labels = tuple(rows.randrange(2) for _ in range(examples))
    # Four in five examples are as clear as after three epochs of training.
    margins = [draw.gauss(5.5, 0.8) if draw.random() < 0.8 else draw.gauss(1, 3) for _ in labels]
    logits = [margin * (2 * label - 1) for margin, label in zip(margins, labels, strict=True)]
    probabilities = tuple(round(1 / (1 + math.exp(-logit)), 6) for logit in logits)
    of_model = random.Random(model)
    parts = {f"layer {number}": f"{of_model.getrandbits(32):08x}" for number in range(12)}
    sketch, hidden = (packed_floats([of_model.gauss(0, 20) for _ in range(128)]) for _ in range(2))
    pieces = "\n".join(" ".join(f"##{of_model.getrandbits(8):x}" for _ in range(12)) for _ in range(64))
    fingerprint = dataclasses.replace(
        FINGERPRINT,
        train=dataclasses.replace(
            FINGERPRINT.train, sentences=f"{seed:016x}", labels=packed_bits(labels), count=examples
        ),
        evaluation=dataclasses.replace(FINGERPRINT.evaluation, labels=packed_bits(labels), count=examples),
        logits=packed_floats([draw.gauss(0, 4) for _ in range(64)]),
        tokens=dataclasses.replace(
            FINGERPRINT.tokens, ids=token_digests(model), lengths=tuple(range(64)), pieces=packed_text(pieces)
        ),
        encoder=dataclasses.replace(
            FINGERPRINT.encoder,
            parts={**parts, "classifier": f"{draw.getrandbits(32):08x}"},
            sketch=sketch,
            hidden=hidden,
            config={f"value_number_{number}": 0.1 for number in range(12)},
        ),
        training=dataclasses.replace(FINGERPRINT.training, trained=tuple(parts), first_loss=draw.random()),
    )
    projections = np.array([draw.gauss(0, 1) for _ in labels[:1024]])
    sketched = dataclasses.replace(tokens_of(seed, examples), projections=projections)
    fingerprint = dataclasses.replace(fingerprint, rows=row_sketches(sketched, None))
    return make_record(
        cell=f"model{model}-fine-tune-seed{seed}",
        model=f"model{model}",
        method="fine-tune",
        seed=seed,
        total=examples,
        environment=dataclasses.replace(
            ENVIRONMENT, packages={f"distribution-number-{number}": f"{number}.0.1" for number in range(200)}
        ),
        settings={**{f"training_argument_{number}": number % 3 == 0 for number in range(98)}, "seed": seed},
        fingerprint=fingerprint,
        labels=labels,
        predictions=tuple(int(p > 0.5) for p in probabilities),
        probabilities=probabilities,
        rounds=ROUNDS,
        epochs=[Epoch(number, 0.123456, 0.234567, 0.9) for number in range(3)],
    )


@pytest.mark.parametrize(("examples", "most"), [(872, 120_000), (5_000, 300_000)])
def test_twenty_fine_tunings_are_small_enough_for_a_repository(examples: int, most: int) -> None:
    records = [fine_tuning(model, seed, examples) for model in range(4) for seed in range(5)]
    text = results_text(Results(records), packed=True)
    assert len(text.encode()) < most
    assert [record.predictions for record in results_from_text(text, "main.json").records] == [
        record.predictions for record in records
    ]
