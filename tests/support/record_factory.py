"""Hand-made records: every field has a value, and nothing is measured."""

from __future__ import annotations

import base64
import dataclasses
import zlib
from collections.abc import Sequence
from typing import Any

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.fingerprint import (
    EncoderFingerprint,
    Fingerprint,
    RowsFingerprint,
    TokensFingerprint,
    TrainingFingerprint,
)
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.packing import packed_bits, packed_floats
from pytest_sst2.results.probe_sentences import probe_sentences_digest
from pytest_sst2.results.record import (
    DatasetInfo,
    Environment,
    Epoch,
    Failure,
    Interval,
    Latency,
    Phase,
    Placement,
    Record,
    Round,
    Weights,
)

ENVIRONMENT = Environment(
    python="3.12.1",
    implementation="CPython",
    platform="Linux",
    packages={"torch": "2.13.0"},
    device="cpu",
    device_name="EPYC",
    cpu_model="EPYC",
    cpu_cores=2,
    threads=2,
    blas="openblas",
    matmul_precision="highest",
    deterministic=False,
    variables={"OMP_NUM_THREADS": "2"},
)
PHASES = (Phase("load", 0.5), Phase("encode", 2.0, 500), Phase("fit", 0.25, 500), Phase("predict", 0.5, 4))
ROUNDS = (
    Round(3.25, PHASES, 0.004, 400_000_000, 100_000_000, 1_000, 0.05),
    Round(3.5, (*PHASES[:1], Phase("encode", 2.25, 500, cached=True), *PHASES[2:]), 0.005, 390_000_000, 0, 900, 0.1),
)
# Two distinct projections of each probe sentence.
SKETCH = tuple(value for index in range(64) for value in (1.0 + index / 64, 1.0 - index / 64))


def token_digests(*changed: int) -> str:
    """Return the packed token-id digests of the probe sentences; those of the given sentences differ."""
    return base64.b64encode(bytes(255 if index in changed else index for index in range(64) for _ in "1234")).decode()


def pieces_of(first: str, last: str) -> str:
    """Return the tokens of 64 sentences of seven tokens, packed as by earlier releases."""
    text = "\n".join(f"{first} it is film number {index} {last}" for index in range(64))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


FINGERPRINT = Fingerprint(
    fixed_sentences=probe_sentences_digest(),
    train=RowsFingerprint("aaaa", packed_bits([1, 0, 1, 1, 0]), "bbbb", 5, 4),
    evaluation=RowsFingerprint("cccc", packed_bits([1, 0, 0, 1]), "dddd", 4, 4),
    logits=packed_floats([index / 8 - 4 for index in range(64)]),
    repeat_max_diff=0.0,
    tokens=TokensFingerprint("BertTokenizer", 30_522, token_digests(), (7,) * 64, pieces_of("[CLS]", "[SEP]")),
    encoder=EncoderFingerprint(
        dtype="float32",
        attention="sdpa",
        parts={"embeddings": "e0", "layer 0": "f0", "layer 1": "f1", "pooler": "90", "classifier": "c0"},
        sketch=packed_floats(SKETCH),
        length=1.0,
        dimensions=384,
        effective_dtype="float32",
        config={"hidden_act": "gelu", "num_hidden_layers": 2},
        pooling="mean",
        hidden=packed_floats(SKETCH),
        nondeterminism=0.0,
        batch_sensitivity=1e-7,
    ),
    training=TrainingFingerprint(
        steps=32,
        last_gradient=5e-5,
        first_loss=0.7,
        first_gradient_norm=2.5,
        learning_rate=1e-4,
        order="eeee:ffff",
        mean_learning_rate=5e-5,
        optimizer={"optimizer": "AdamW", "betas": "(0.9, 0.999)", "weight_decay": "0.0"},
        first_update=1e-4,
        first_batch="abab:cdcd",
        trained=("embeddings", "layer 0", "layer 1", "classifier"),
    ),
    prediction_token_ids=token_digests(),
)


def make_record(**changes: Any) -> Record:
    """Return a record with a value in every field: four sentences, three predicted correctly."""
    # As quick was when the files in tests/data were written.
    recipe = build_recipe("quick", train_size=500, seeds=(42, 7), batch_size=16, learning_rate=1e-4)
    record = Record(
        cell="minilm-linear-probe-seed42",
        model="minilm",
        method="linear-probe",
        seed=42,
        accuracy=0.75,
        accuracy_interval=Interval(0.300642, 0.954413),
        correct=3,
        total=4,
        majority_accuracy=0.5,
        dataset=DatasetInfo("reviews", "folder", "sha256:0123456789ab", "validation", 500, 4, "ab" * 32, "a note"),
        recipe=recipe,
        recipe_label="quick train_size=500",
        environment=ENVIRONMENT,
        placement=Placement(),
        weights=Weights("org/name", "hub", "main", "cd" * 32, "mit"),
        settings={"C": 1.0, "solver": "lbfgs", "modules": ["Transformer", "Pooling"], "max_iter": None},
        fingerprint=FINGERPRINT,
        labels=(1, 0, 0, 1),
        predictions=(1, 0, 1, 1),
        probabilities=(0.9, 0.1, 0.800001, 0.51),
        rounds=ROUNDS,
        latency=Latency(0.004, 0.009, 4),
        epochs=(Epoch(1, 0.6, 0.5, 0.75),),
        metrics={"f1": 0.8},
        floor=Floor(0.7, "by hand"),
        warnings=("short: “few” rows",),
    )
    return dataclasses.replace(record, **changes)


BARE: dict[str, Any] = {
    "model": None,
    "weights": None,
    "fingerprint": None,
    "labels": (),
    "floor": None,
    "epochs": (),
    "metrics": {},
    "warnings": (),
    "settings": {},
    "rounds": (Round(1.0, (), None, 5, None),),
}
FAILURE = Failure("albert-fine-tune-seed42", "albert", "fine-tune", 42, "model 'albert' could not be had: “offline”")


def of_schema_1(record: Record) -> Record:
    """Return a record with only the fields of schema version 1."""
    unmeasured = {"machine_seconds": None, "peak_growth_bytes": None, "machine_spread": 0.0}
    rounds = tuple(dataclasses.replace(made, **unmeasured) for made in record.rounds)
    return dataclasses.replace(record, fingerprint=None, labels=(), rounds=rounds)


def answered(right: Sequence[bool], *, seed: int = 42, **changes: Any) -> Record:
    """Return a record of alternately negative and positive sentences; ``right`` tells which were predicted correctly.

    All probabilities are close to 0.5, so that only the predictions matter.
    """
    labels = tuple(index % 2 for index in range(len(right)))
    predictions = tuple(label if well else 1 - label for label, well in zip(labels, right, strict=True))
    base = make_record()
    fingerprint = dataclasses.replace(
        FINGERPRINT, evaluation=RowsFingerprint("cccc", packed_bits(labels), "dddd", len(labels), len(labels))
    )
    fields: dict[str, Any] = {
        "cell": f"{changes.get('model', base.model)}-{changes.get('method', base.method)}-seed{seed}",
        "seed": seed,
        "accuracy": sum(right) / len(right),
        "correct": sum(right),
        "total": len(right),
        "dataset": dataclasses.replace(base.dataset, eval_size=len(right)),
        "fingerprint": fingerprint,
        "labels": labels,
        "predictions": predictions,
        "probabilities": tuple(0.4999 + 0.0002 * prediction for prediction in predictions),
    }
    return dataclasses.replace(base, **{**fields, **changes})


def probe(right: Sequence[bool], **changes: Any) -> Record:
    """Return a record of a probe, whose training is not random; the arguments are as for ``answered``."""
    record = answered(right, **changes)
    if record.fingerprint is None:
        return record
    return with_fingerprint(record, training=TrainingFingerprint(steps=20, last_gradient=1e-5))


def with_fingerprint(base: Record | None = None, **changes: Any) -> Record:
    """Return a record with another fingerprint: a dict changes fields of a part, another value replaces the part.

    ``with_fingerprint(encoder={"dtype": "bfloat16"}, repeat_max_diff=0.5)``.
    """
    record = base or make_record()
    assert record.fingerprint is not None
    parts = {
        name: dataclasses.replace(getattr(record.fingerprint, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return dataclasses.replace(record, fingerprint=dataclasses.replace(record.fingerprint, **parts))
