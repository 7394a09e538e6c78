"""``fine-tune``: trains every layer with the Hugging Face Trainer."""

from __future__ import annotations

import inspect
from typing import Any

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.hf_trainer import (
    effective_settings,
    recipe_decides,
    run_trainer,
    training_arguments,
)
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.methods.truncation import truncation_warnings, unknown_token_warnings
from pytest_sst2.models.max_length import max_input_length
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
    if job.frozen is not None:
        job.frozen.release()
    with job.clock.phase("load"):
        tokenizer = job.loader.tokenizer(job.encoder)
        model = job.loader.sequence_classifier(job.encoder)
    _limit_inputs(tokenizer, model)
    # A decoder's head reads the last token before the padding, and finds it by the config's padding token.
    model.config.pad_token_id = tokenizer.pad_token_id
    length = _max_length(job, tokenizer, model)
    classifier = SequenceClassifier(model, tokenizer, length, job.recipe.dtype, job.parts)
    job.recorder.record_tokenizer(tokenizer, lambda sentences: classifier.tokenize(sentences)["input_ids"])
    job.recorder.record_encoder(model, classifier.embed)
    with job.clock.phase("tokenize", examples=len(job.train)):
        encoded = classifier.tokenize(job.train.sentences)
        rows = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": int(label)}
            for index, label in enumerate(job.train.labels)
        ]
    return classifier, rows


def _limit_inputs(tokenizer: Any, model: Any) -> None:
    """Make the tokenizer return only inputs that the model accepts. DistilBERT, for example, has no token types."""
    parameters = inspect.signature(model.forward).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in parameters]


def _max_length(job: Job, tokenizer: Any, model: Any) -> int:
    """Return the smallest of the maximum lengths of recipe, tokenizer and model.

    A tokenizer without a configuration reports 1e30 tokens, and a model's position table may be longer than its
    longest input.
    """
    positions = max_input_length(model) or getattr(model.config, "max_position_embeddings", None)
    usable = positions if isinstance(positions, int) and positions > 0 else job.recipe.max_length
    return int(min(job.recipe.max_length, tokenizer.model_max_length, usable))
