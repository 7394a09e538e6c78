"""``fine-tune``: trains every layer with the Hugging Face Trainer."""

from __future__ import annotations

from typing import Any

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.hf_trainer import run_trainer
from pytest_sst2.methods.sequence_classifier import SequenceClassifier, load_classifier
from pytest_sst2.methods.trainer_arguments import effective_settings, recipe_decides, training_arguments
from pytest_sst2.methods.truncation import truncation_warnings, unknown_token_warnings
from pytest_sst2.utils.atomic_write import scratch_folder
from pytest_sst2.utils.errors import Sst2Error


def train(job: Job) -> Trained:
    """Train every layer and a new head.

    Weights stay in float32; a reduced precision is that of autocast. Nothing is written: no checkpoint, no log, no
    report to a service. After each epoch but the last, the evaluation rows are predicted for the learning curve
    (phase ``evaluate``).

    Raises:
        Sst2Error: The loss became infinite or NaN, or the device cannot train in the recipe's type.
    """
    classifier, rows = _prepare(job)
    with scratch_folder() as scratch, recipe_decides() as ignored:
        arguments = training_arguments(job, scratch)
        epochs, last_loss = run_trainer(job, classifier, rows, arguments)
    settings = {
        **effective_settings(arguments),
        "max_length": classifier.max_length,
        "head": type(classifier.model).__name__,
    }
    if job.parts > 1:
        settings |= {
            "per_device_train_batch_size": -(-arguments.per_device_train_batch_size // job.parts),
            "gradient_accumulation_steps": job.parts,
            "tokens_per_batch": classifier.tokens_per_batch,
        }
    warnings = truncation_warnings(classifier.tokenizer, classifier.max_length, job.train, job.evaluation)
    warnings += unknown_token_warnings(classifier.tokenizer, job.evaluation)
    warnings = (*warnings, *job.loader.head_warnings(job.encoder), *ignored)
    return Trained(classifier, settings, epochs, last_loss, warnings)


def _prepare(job: Job) -> tuple[SequenceClassifier, list[dict[str, Any]]]:
    """Load the model, record its fingerprints, and return the classifier and the tokenized training rows."""
    if job.recipe.dtype == "float16" and job.loader.device != "cuda":
        raise Sst2Error(
            f"fine-tuning in float16 needs a CUDA device, and this run is on {job.loader.device}. "
            "Use --sst2-dtype bfloat16 or float32."
        )
    classifier = load_classifier(job)
    with job.clock.phase("tokenize", examples=len(job.train)):
        encoded = classifier.tokenize(job.train.sentences)
        rows = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": int(label)}
            for index, label in enumerate(job.train.labels)
        ]
    return classifier, rows
