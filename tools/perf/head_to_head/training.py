"""Fine-tuning: the Trainer as it comes, padding as run_glue.py has it, and this package."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from tools.perf.head_to_head.contest import Contest, Contestant, Outcome
from tools.perf.head_to_head.material import Material

# Forward and backward: two operations a weight and token in the one, four in the other.
_OPERATIONS = 6
_MOST_TOKENS = 128


def contests(material: Material, train_size: int, small_size: int) -> list[Contest]:
    """Return the contests of fine-tuning, on ``train_size`` rows or, where the peer is slow, on ``small_size``."""
    tinybert, distilbert = (material.random_model(name) for name in ("TinyBERT", "DistilBERT"))
    return [
        Contest(
            f"fine-tune minilm, {train_size:,} rows",
            Contestant("Trainer defaults", defaults(material, "minilm", train_size)),
            (
                Contestant("float32", ours(material, "minilm", train_size), 2.2),
                Contestant("bfloat16", ours(material, "minilm", train_size, dtype="bfloat16"), 3.5),
            ),
        ),
        Contest(
            f"fine-tune minilm, {small_size:,} rows",
            Contestant("padded to 128", defaults(material, "minilm", small_size, padding="max_length")),
            (Contestant("float32", ours(material, "minilm", small_size), 8.0),),
        ),
        *(
            Contest(
                f"fine-tune {title}'s architecture, {small_size:,} rows",
                Contestant("Trainer defaults", defaults(material, folder, small_size)),
                (Contestant("float32", ours(material, folder, small_size), 2.0),),
            )
            for title, folder in (("TinyBERT", tinybert), ("DistilBERT", distilbert))
        ),
    ]


def _gflop(material: Material, model: str, sentences: Sequence[str]) -> float:
    return _OPERATIONS * material.matrix_parameters(model) * material.tokens(model, sentences, _MOST_TOKENS) / 1e9


def ours(material: Material, model: str, train_size: int, **changes: Any) -> Any:
    """Return what fine-tunes with this package, by the recipe quick."""
    method = next(spec for spec in METHODS if spec.name == "fine-tune")

    def run(number: int) -> Outcome:
        job = material.job(model, number + 1, train_size, **changes)
        with freed_memory_kept():
            trained = train(method, job)
        seconds = sum(phase.seconds for phase in job.clock.phases if phase.name == "train")
        right = (trained.predict(job.evaluation.sentences) > 0.5) == job.evaluation.labels
        return Outcome(seconds, _gflop(material, model, job.train.sentences), right)

    return run


def defaults(material: Material, model: str, train_size: int, padding: str | bool = False) -> Any:
    """Return what fine-tunes with the Trainer as it comes."""

    def run(number: int) -> Outcome:
        import torch
        from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

        _, splits = material.rows(number + 1, train_size)
        spec = material.model(model)
        tokenizer = material.loader.tokenizer(spec)
        torch.manual_seed(number + 1)
        network = material.loader.sequence_classifier(spec)
        encoded = tokenizer(list(splits.train.sentences), truncation=True, max_length=_MOST_TOKENS, padding=padding)
        rows = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": int(label)}
            for index, label in enumerate(splits.train.labels)
        ]
        arguments = TrainingArguments(
            output_dir=str(material.scratch / "trainer"),
            num_train_epochs=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=material.device == "cpu",
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
        return Outcome(seconds, _gflop(material, model, splits.train.sentences), np.asarray(right))

    return run
