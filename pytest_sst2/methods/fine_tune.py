"""``fine-tune``: every layer trained with the Hugging Face Trainer."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.errors import Sst2Error
from pytest_sst2.methods import Job, Trained
from pytest_sst2.records import Epoch

if TYPE_CHECKING:
    from transformers import TrainingArguments

EVALUATION_BATCH_SIZE = 64
# Arguments of the Trainer that say where and how it reports, not how it trains.
_NOT_SETTINGS = ("dir", "hub", "log", "report", "run_name", "project", "push", "trackio", "disable_tqdm")


class SequenceClassifier:
    """A transformer with a two-class head as a classifier: from n sentences to probabilities of shape (n,).

    Args:
        model: The transformer.
        tokenizer: Its tokenizer.
        max_length: Longest input in tokens; longer ones are cut.
        dtype: Arithmetic: float32, or the type to compute in under autocast.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int, dtype: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.dtype = dtype

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the probability of the positive class for each sentence, batched by length to save padding."""
        import torch

        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        probabilities = np.empty(len(sentences), dtype=np.float64)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(order), EVALUATION_BATCH_SIZE):
                batch = order[start : start + EVALUATION_BATCH_SIZE]
                inputs = self.tokenize([sentences[index] for index in batch], padding=True, return_tensors="pt")
                logits = self.model(**inputs.to(self.model.device)).logits
                probabilities[batch] = torch.softmax(logits.double(), dim=-1)[:, 1].cpu().numpy()
        self.model.train(training)
        return probabilities

    def tokenize(self, sentences: Sequence[str], **options: Any) -> Any:
        """Return the tokenizer's output, cut to ``max_length``."""
        return self.tokenizer(list(sentences), truncation=True, max_length=self.max_length, **options)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        import torch

        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.model.device.type, dtype=getattr(torch, self.dtype))


def train(job: Job) -> Trained:
    """Fine-tune every layer and the new head; weights stay in float32 and reduced precision is autocast's alone.

    Nothing is written: no checkpoint, no log, no report to any service. After each epoch the evaluation rows are
    predicted for the learning curve (phase ``evaluate``).

    Raises:
        Sst2Error: The loss became infinite or not a number, or the device cannot train in the recipe's type.
    """
    _check_dtype(job)
    with job.clock.phase("load"):
        tokenizer = job.loader.tokenizer(job.encoder)
        model = job.loader.sequence_classifier(job.encoder)
    classifier = SequenceClassifier(model, tokenizer, _usable_length(job, tokenizer, model), job.recipe.dtype)
    with job.clock.phase("tokenize", examples=len(job.train)):
        encoded = classifier.tokenize(job.train.sentences)
        rows = [
            {**{name: values[index] for name, values in encoded.items()}, "labels": int(label)}
            for index, label in enumerate(job.train.labels)
        ]
    with tempfile.TemporaryDirectory(prefix="pytest-sst2-") as scratch:
        arguments = _arguments(job, scratch)
        epochs = _run_trainer(job, classifier, rows, arguments)
    settings = {**_settings(arguments), "max_length": classifier.max_length, "head": type(model).__name__}
    return Trained(classifier, settings, epochs, _truncation_warnings(classifier, job.train.sentences, rows))


def _check_dtype(job: Job) -> None:
    if job.recipe.dtype == "float16" and job.loader.device != "cuda":
        raise Sst2Error(
            f"fine-tuning in float16 needs a CUDA device, and this run is on {job.loader.device}. "
            "Use --sst2-dtype bfloat16 or float32."
        )


def _usable_length(job: Job, tokenizer: Any, model: Any) -> int:
    """Return the recipe's maximum length, or the model's where that is shorter.

    A tokenizer without a configuration claims 1e30 tokens, and RoBERTa's position table is two longer than its
    longest input, so all three are asked.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    return int(min(job.recipe.max_length, tokenizer.model_max_length, positions or job.recipe.max_length))


def _arguments(job: Job, scratch: str) -> TrainingArguments:
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=scratch,
        num_train_epochs=job.recipe.epochs,
        per_device_train_batch_size=job.recipe.batch_size,
        gradient_accumulation_steps=1,
        learning_rate=job.recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0,
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        label_smoothing_factor=0.0,
        optim="adamw_torch_fused" if job.loader.device in ("cpu", "cuda") else "adamw_torch",
        bf16=job.recipe.dtype == "bfloat16",
        fp16=job.recipe.dtype == "float16",
        use_cpu=job.loader.device == "cpu",
        seed=job.seed,
        data_seed=job.seed,
        dataloader_pin_memory=job.loader.device == "cuda",
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        **_sampling(job, TrainingArguments),
    )
    # With several GPUs the Trainer would spread each batch over them and multiply the recipe's batch size.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _sampling(job: Job, arguments: Any) -> dict[str, Any]:
    """Return how this transformers spells grouping by length: ``group_by_length`` was renamed within version 5."""
    if "train_sampling_strategy" in {field.name for field in dataclasses.fields(arguments)}:
        return {"train_sampling_strategy": "group_by_length" if job.recipe.group_by_length else "random"}
    return {"group_by_length": job.recipe.group_by_length}


def _run_trainer(
    job: Job, classifier: SequenceClassifier, rows: list[dict[str, Any]], arguments: TrainingArguments
) -> tuple[Epoch, ...]:
    """Train in place and return the learning curve."""
    from transformers import DataCollatorWithPadding, DefaultFlowCallback, Trainer, TrainerCallback

    curve: list[tuple[float, float]] = []
    losses: list[float] = []

    class Curve(TrainerCallback):  # type: ignore[misc]
        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            with job.clock.phase("evaluate", examples=len(job.evaluation)):
                probabilities = classifier(job.evaluation.sentences)
            curve.append(_loss_and_accuracy(probabilities, job.evaluation.labels))

        def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                losses.append(float(logs["loss"]))
                if not math.isfinite(losses[-1]):
                    raise Sst2Error(
                        f"training diverged: the loss is {losses[-1]} in epoch {len(losses)}. "
                        f"Lower --sst2-learning-rate (it is {job.recipe.learning_rate})."
                    )

    trainer = Trainer(
        model=classifier.model,
        args=arguments,
        train_dataset=rows,
        data_collator=DataCollatorWithPadding(classifier.tokenizer),
        callbacks=[Curve()],
    )
    # Whatever integration an environment variable or an installed package switched on stays out of a measurement.
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) not in (DefaultFlowCallback, Curve):
            trainer.remove_callback(callback)
    with job.clock.phase("train", examples=len(rows) * job.recipe.epochs):
        trainer.train()
    return tuple(
        Epoch(number, loss, eval_loss, eval_accuracy)
        for number, (loss, (eval_loss, eval_accuracy)) in enumerate(zip(losses, curve, strict=True), 1)
    )


def _loss_and_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    of_truth = np.where(labels == 1, probabilities, 1 - probabilities)
    loss = -np.log(np.clip(of_truth, 1e-12, 1.0)).mean()
    return round(float(loss), 6), float(((probabilities > 0.5) == (labels == 1)).mean())


def _settings(arguments: TrainingArguments) -> dict[str, Any]:
    """Return the effective training arguments that can change a result, as plain values."""
    return {
        name: value
        for name, value in arguments.to_dict().items()
        if isinstance(value, bool | int | float | str) and not any(word in name for word in _NOT_SETTINGS)
    }


def _truncation_warnings(
    classifier: SequenceClassifier, sentences: Sequence[str], rows: list[dict[str, Any]]
) -> tuple[str, ...]:
    """Say how many training sentences lost words to ``max_length``."""
    full = [row for row in range(len(rows)) if len(rows[row]["input_ids"]) >= classifier.max_length]
    if not full:
        return ()
    whole = classifier.tokenizer([sentences[row] for row in full], truncation=False)["input_ids"]
    cut = sum(len(ids) > classifier.max_length for ids in whole)
    if not cut:
        return ()
    return (f"{cut / len(rows):.0%} of the training sentences were cut to {classifier.max_length} tokens",)
