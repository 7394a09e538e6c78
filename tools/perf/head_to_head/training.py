"""Fine-tuning: the Trainer's defaults, padding as in run_glue.py, and this package; cost as a function of the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from tools.perf.head_to_head.measure import Candidate, HeadToHead, Outcome
from tools.perf.head_to_head.workload import Workload

# Per weight and token: two forward and four backward.
_OPERATIONS = 6
_MOST_TOKENS = 128


def pairs(workload: Workload, train_size: int, small_size: int) -> list[HeadToHead]:
    """Return the pairs of fine-tuning, on ``train_size`` rows, or on ``small_size`` if the peer is slow."""
    tinybert, distilbert = (workload.random_model(name) for name in ("TinyBERT", "DistilBERT"))
    return [
        HeadToHead(
            f"fine-tune minilm, {train_size:,} rows",
            Candidate("Trainer defaults", defaults(workload, "minilm", train_size)),
            (
                Candidate("float32", ours(workload, "minilm", train_size), 2.2),
                Candidate("bfloat16", ours(workload, "minilm", train_size, dtype="bfloat16"), 3.5),
            ),
        ),
        HeadToHead(
            f"fine-tune minilm, {small_size:,} rows",
            Candidate("padded to 128", defaults(workload, "minilm", small_size, padding="max_length")),
            (Candidate("float32", ours(workload, "minilm", small_size), 8.0),),
        ),
        *(
            HeadToHead(
                f"fine-tune {title}'s architecture, {small_size:,} rows",
                Candidate("Trainer defaults", defaults(workload, folder, small_size)),
                (Candidate("float32", ours(workload, folder, small_size), 2.0),),
            )
            for title, folder in (("TinyBERT", tinybert), ("DistilBERT", distilbert))
        ),
    ]


def _gflop(workload: Workload, model: str, sentences: Sequence[str]) -> float:
    return _OPERATIONS * workload.matrix_parameters(model) * workload.tokens(model, sentences, _MOST_TOKENS) / 1e9


def ours(workload: Workload, model: str, train_size: int, **changes: Any) -> Any:
    """Return a function that fine-tunes with this package and the recipe ``quick``."""
    method = next(spec for spec in METHODS if spec.name == "fine-tune")

    def run(number: int) -> Outcome:
        job = workload.job(model, number + 1, train_size, **changes)
        with freed_memory_kept():
            trained = train(method, job)
        seconds = sum(phase.seconds for phase in job.clock.phases if phase.name == "train")
        right = (trained.predict(job.evaluation.sentences) > 0.5) == job.evaluation.labels
        return Outcome(seconds, _gflop(workload, model, job.train.sentences), right)

    return run


def defaults(workload: Workload, model: str, train_size: int, padding: str | bool = False) -> Any:
    """Return a function that fine-tunes with the Trainer's defaults."""

    def run(number: int) -> Outcome:
        import torch
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        _, splits = workload.rows(number + 1, train_size)
        spec = workload.model(model)
        tokenizer = workload.loader.tokenizer(spec)
        torch.manual_seed(number + 1)
        network = workload.loader.sequence_classifier(spec)
        encoded = tokenizer(list(splits.train.sentences), truncation=True, max_length=_MOST_TOKENS, padding=padding)
        rows = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": int(label)}
            for index, label in enumerate(splits.train.labels)
        ]
        arguments = TrainingArguments(
            output_dir=str(workload.scratch / "trainer"),
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            seed=number + 1,
        )
        trainer = Trainer(
            model=network, args=arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer)
        )
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
        classifier = SequenceClassifier(network, tokenizer, _MOST_TOKENS, "float32")
        right = (classifier(splits.evaluation.sentences) > 0.5) == splits.evaluation.labels
        return Outcome(seconds, _gflop(workload, model, splits.train.sentences), np.asarray(right))

    return run


def growth(workload: Workload, method: str, sizes: Sequence[int], dtype: str) -> Iterator[tuple[int, int, float]]:
    """Yield training rows, their tokens, and seconds without loading, for each number of training rows."""
    spec = next(each for each in METHODS if each.name == method)
    for size in sizes:
        job = workload.job("minilm", 1, size, dtype=dtype)
        with freed_memory_kept():
            train(spec, job)
        seconds = sum(phase.seconds for phase in job.clock.phases if phase.name != "load")
        yield len(job.train), workload.tokens("minilm", job.train.sentences), seconds
