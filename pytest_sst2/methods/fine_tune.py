"""``fine-tune``: every layer trained with the Hugging Face Trainer."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.diagnosis import truncation_warnings
from pytest_sst2.errors import Sst2Error
from pytest_sst2.fingerprint import CourseFingerprint
from pytest_sst2.methods import Job, Trained
from pytest_sst2.records import Epoch
from pytest_sst2.witness import OrderDigest

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
        with self._inference(), self._autocast():
            for start in range(0, len(order), EVALUATION_BATCH_SIZE):
                batch = order[start : start + EVALUATION_BATCH_SIZE]
                inputs = self.tokenize([sentences[index] for index in batch], padding=True, return_tensors="pt")
                logits = self.model(**inputs.to(self.model.device)).logits
                probabilities[batch] = torch.softmax(logits.double(), dim=-1)[:, 1].cpu().numpy()
        return probabilities

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the mean of the encoder's last hidden states, shape (n, d), without the head and in float32."""
        inputs = self.tokenize(sentences, padding=True, return_tensors="pt").to(self.model.device)
        with self._inference():
            hidden = self.model.base_model(**inputs)[0].float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        return np.asarray(((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy())

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        """Switch dropout off for the body."""
        import torch

        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(training)

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
    job.witness.saw_tokenizer(tokenizer, lambda sentences: classifier.tokenize(sentences)["input_ids"])
    job.witness.saw_encoder(model, classifier.embed)
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
    warnings = truncation_warnings(tokenizer, classifier.max_length, job.train, job.evaluation)
    return Trained(classifier, settings, epochs, warnings)


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
        logging_first_step=True,
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
    """Train in place, show the witness how it went, and return the learning curve."""
    from transformers import DataCollatorWithPadding, DefaultFlowCallback, Trainer

    observer = _observer(job, classifier)
    pad = DataCollatorWithPadding(classifier.tokenizer)
    order = OrderDigest(limit=len(rows) if job.witness.awake else 0)

    def collate(batch: list[dict[str, Any]]) -> Any:
        for row in batch:
            order.add(row["input_ids"])
        return pad(batch)

    trainer = Trainer(
        model=classifier.model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[observer]
    )
    # Whatever integration an environment variable or an installed package switched on stays out of a measurement.
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) not in (DefaultFlowCallback, type(observer)):
            trainer.remove_callback(callback)
    with job.clock.phase("train", examples=len(rows) * job.recipe.epochs):
        trainer.train()
    job.witness.saw_course(
        CourseFingerprint(
            steps=int(trainer.state.global_step),
            first_loss=observer.losses[0][1],
            first_gradient_norm=observer.first_gradient_norm,
            learning_rate=observer.learning_rate,
            order=str(order),
        )
    )
    return _epochs(observer.losses, observer.curve)


def _observer(job: Job, classifier: SequenceClassifier) -> Any:
    """Return the callback that keeps losses and learning rates, and the learning curve."""
    from transformers import TrainerCallback

    class Observer(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            # Steps done and the mean loss since the entry before: after the first step, and after each epoch.
            self.losses: list[tuple[int, float]] = []
            self.curve: list[tuple[int, float, float]] = []
            self.first_gradient_norm: float | None = None
            self.learning_rate = 0.0

        def on_step_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            self.learning_rate = max(self.learning_rate, *(group["lr"] for group in optimizer.param_groups))

        def on_epoch_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            with job.clock.phase("evaluate", examples=len(job.evaluation)):
                probabilities = classifier(job.evaluation.sentences)
            self.curve.append((state.global_step, *_loss_and_accuracy(probabilities, job.evaluation.labels)))

        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" not in logs:
                return
            if not self.losses and "grad_norm" in logs:
                self.first_gradient_norm = float(f"{float(logs['grad_norm']):.6g}")
            self.losses.append((state.global_step, float(f"{float(logs['loss']):.6g}")))
            if not math.isfinite(self.losses[-1][1]):
                raise Sst2Error(
                    f"training diverged: the loss is {self.losses[-1][1]} at step {state.global_step}. "
                    f"Lower --sst2-learning-rate (it is {job.recipe.learning_rate})."
                )

    return Observer()


def _epochs(losses: Sequence[tuple[int, float]], curve: Sequence[tuple[int, float, float]]) -> tuple[Epoch, ...]:
    """Return the learning curve: the mean loss of each epoch's steps beside what was measured at its end."""
    epochs = []
    begin = 0
    for number, (end, eval_loss, eval_accuracy) in enumerate(curve, 1):
        total, last = 0.0, begin
        for step, loss in losses:
            if begin < step <= end:
                total += loss * (step - last)
                last = step
        epochs.append(Epoch(number, round(total / (end - begin), 6), eval_loss, eval_accuracy))
        begin = end
    return tuple(epochs)


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
