"""``fine-tune``: every layer trained with the Hugging Face Trainer."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.instruments.fingerprint_recorder import OrderDigest
from pytest_sst2.methods.base import Job, Trained, epoch_of, overflow_remedy
from pytest_sst2.methods.fast.length_batching import TrainingBatches, length_batches, tokens_per_batch
from pytest_sst2.methods.fast.quick_dropout import quick_dropout
from pytest_sst2.methods.fast.trimmed_embedding import Reduction, reduction_to
from pytest_sst2.methods.truncation import truncation_warnings
from pytest_sst2.models.library_compat import sampling_arguments
from pytest_sst2.models.max_length import max_input_length
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.record import Epoch
from pytest_sst2.utils.atomic_write import scratch_folder
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Arguments of the Trainer that say where and how it runs and reports, not how it trains.
_NOT_SETTINGS = (
    *("dir", "hub", "log", "report", "run_name", "project", "push", "trackio", "disable_tqdm", "local_rank"),
    "include_num_input_tokens_seen",
)
# A pod or a batch system may set them for other reasons. accelerate takes them for a distributed training.
_LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    *("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
)


class SequenceClassifier:
    """A transformer with a two-class head as a classifier: from n sentences to probabilities of shape (n,).

    Args:
        model: The transformer.
        tokenizer: Its tokenizer.
        max_length: Longest input in tokens; longer ones are cut.
        dtype: Arithmetic: float32, or the type to compute in under autocast.
        parts: Into how many a batch is divided, for want of memory.
    """

    def __init__(self, model: Any, tokenizer: Any, max_length: int, dtype: str, parts: int = 1) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.dtype = dtype
        self.parts = parts

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the probability of the positive class for each sentence, batched by length to save padding."""
        import torch

        probabilities = np.empty(len(sentences), dtype=np.float64)
        with self._inference(), self._autocast():
            for batch, inputs in self._batches(sentences):
                logits = self.model(**inputs).logits
                probabilities[batch] = torch.softmax(logits.double(), dim=-1)[:, 1].cpu().numpy()
        return probabilities

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the mean of the encoder's last hidden states, shape (n, d), without the head and in float32."""
        rows: dict[int, np.ndarray] = {}
        with self._inference():
            for batch, inputs in self._batches(sentences):
                hidden = self.model.base_model(**inputs)[0].float()
                mask = inputs["attention_mask"].unsqueeze(-1)
                rows |= zip(batch, ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy(), strict=True)
        return np.array([rows[index] for index in range(len(sentences))])

    def _batches(self, sentences: Sequence[str]) -> Iterator[tuple[list[int], Any]]:
        """Give batches of like length: the numbers of their sentences, and the model's inputs on its device."""
        encoded = self.tokenize(sentences)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        for batch in length_batches(lengths, self.tokens_per_batch):
            rows = {name: [values[index] for index in batch] for name, values in encoded.items()}
            yield batch, self.tokenizer.pad(rows, return_tensors="pt").to(self.model.device)

    @property
    def tokens_per_batch(self) -> int:
        """The largest batch without gradients on the model's device, in tokens."""
        return tokens_per_batch(self.model.device.type, self.parts)

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

    Nothing is written: no checkpoint, no log, no report to any service. After each epoch but the last the evaluation
    rows are predicted for the learning curve (phase ``evaluate``).

    Raises:
        Sst2Error: The loss became infinite or not a number, or the device cannot train in the recipe's type.
    """
    classifier, rows = _prepared(job)
    tokenizer, model = classifier.tokenizer, classifier.model
    with scratch_folder() as scratch, _without_launcher():
        arguments = _arguments(job, scratch)
        epochs, last_loss = _run_trainer(job, classifier, rows, arguments)
    settings = {**_settings(arguments), "max_length": classifier.max_length, "head": type(model).__name__}
    if job.parts > 1:
        settings |= {
            "per_device_train_batch_size": -(-arguments.per_device_train_batch_size // job.parts),
            "gradient_accumulation_steps": job.parts,
            "tokens_per_batch": classifier.tokens_per_batch,
        }
    warnings = truncation_warnings(tokenizer, classifier.max_length, job.train, job.evaluation)
    return Trained(classifier, settings, epochs, last_loss, warnings)


def _prepared(job: Job) -> tuple[SequenceClassifier, list[dict[str, Any]]]:
    """Return the model as it is loaded, shown to the recorder, and the training rows as it is to be given them."""
    _check_dtype(job)
    if job.frozen is not None:
        job.frozen.let_go()
    with job.clock.phase("load"):
        tokenizer = job.loader.tokenizer(job.encoder)
        model = job.loader.sequence_classifier(job.encoder)
    _return_what_is_taken(tokenizer, model)
    # A decoder's head reads the last token before the padding, and knows that by its config alone.
    model.config.pad_token_id = tokenizer.pad_token_id
    length = _usable_length(job, tokenizer, model)
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


def _check_dtype(job: Job) -> None:
    if job.recipe.dtype == "float16" and job.loader.device != "cuda":
        raise Sst2Error(
            f"fine-tuning in float16 needs a CUDA device, and this run is on {job.loader.device}. "
            "Use --sst2-dtype bfloat16 or float32."
        )


def _return_what_is_taken(tokenizer: Any, model: Any) -> None:
    """Have the tokenizer return no inputs that the model does not take: DistilBERT, say, has no types of tokens."""
    taken = inspect.signature(model.forward).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in taken]


def _usable_length(job: Job, tokenizer: Any, model: Any) -> int:
    """Return the recipe's maximum length, or the model's where that is shorter.

    A tokenizer without a configuration claims 1e30 tokens, and a model's position table may be longer than its
    longest input, so all three are asked.
    """
    positions = max_input_length(model) or getattr(model.config, "max_position_embeddings", None)
    usable = positions if isinstance(positions, int) and positions > 0 else job.recipe.max_length
    return int(min(job.recipe.max_length, tokenizer.model_max_length, usable))


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
        log_level="passive" if job.loader.verbose else "error",
        **sampling_arguments(TrainingArguments, group_by_length=job.recipe.group_by_length),
    )
    # With several GPUs in one process the Trainer would spread each batch over them and multiply the batch size.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _run_trainer(
    job: Job, classifier: SequenceClassifier, rows: list[dict[str, Any]], arguments: TrainingArguments
) -> tuple[tuple[Epoch, ...], float]:
    """Train in place, show the recorder how it went, and return the learning curve and the last epoch's loss."""
    from torch.utils.data import DataLoader
    from transformers import DataCollatorWithPadding, DefaultFlowCallback, Trainer

    reduction = reduction_to(classifier.model, (row["input_ids"] for row in rows))
    observer = _observer(job, classifier, reduction)
    pad = DataCollatorWithPadding(classifier.tokenizer)
    order = OrderDigest(limit=len(rows) if job.recorder.enabled else 0)

    def collate(batch: list[dict[str, Any]]) -> Any:
        for row in batch:
            order.add(row["input_ids"])
        return pad(batch)

    class BatchingTrainer(_in_parts(Trainer, job.parts)):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            if not job.recipe.group_by_length:
                return super().get_train_dataloader()
            batches = TrainingBatches([len(row["input_ids"]) for row in rows], job.recipe.batch_size, job.seed)
            loader: Any = DataLoader(rows, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]
            return loader

    trainer = BatchingTrainer(
        model=classifier.model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[observer]
    )
    # Whatever integration an environment variable or an installed package switched on stays out of a measurement.
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) not in (DefaultFlowCallback, type(observer)):
            trainer.remove_callback(callback)
    training = job.clock.phase("train", examples=len(rows) * job.recipe.epochs)
    with training, quick_dropout(classifier.model), reduction.applied():
        trainer.train()
    job.recorder.record_training(
        TrainingFingerprint(
            steps=int(trainer.state.global_step),
            first_loss=observer.losses[0][1],
            first_gradient_norm=observer.first_gradient_norm,
            learning_rate=observer.learning_rate,
            order=str(order),
        )
    )
    ends = [step for step, _ in observer.curve]
    *losses, last_loss = _epoch_losses(observer.losses, [*ends, int(trainer.state.global_step)])
    curve = [probabilities for _, probabilities in observer.curve]
    epochs = [
        epoch_of(number, loss, probabilities, job.evaluation.labels)
        for number, (loss, probabilities) in enumerate(zip(losses, curve, strict=True), 1)
    ]
    return tuple(epochs), last_loss


def _in_parts(trainer: type[Any], parts: int) -> type[Any]:
    """Return a Trainer that computes each batch in parts and adds up their gradients.

    The loss, the order of the rows and the number of steps stay those of whole batches. Only the dropout masks
    differ. The Trainer's own gradient accumulation would weigh the last batches of an epoch, and batches with an
    odd number of rows, differently.

    Args:
        trainer: The Hugging Face Trainer.
        parts: Largest number of parts. A batch with fewer rows has one part per row.
    """

    class TrainerInParts(trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            # Otherwise the Trainer expects a sum over the whole batch, which some models do not compute.
            self.model_accepts_loss_kwargs = False
            return self._weight * super().compute_loss(model, inputs, *args, **kwargs)

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            count = len(inputs["labels"])
            losses = []
            for first in range(min(parts, count)):
                part = {name: values[first::parts] for name, values in inputs.items()}
                self._weight = len(part["labels"]) / count
                losses.append(super().training_step(model, part, *args, **kwargs))
            return sum(losses)

    return trainer if parts == 1 else TrainerInParts


@contextlib.contextmanager
def _without_launcher() -> Iterator[None]:
    """Hide from accelerate the variables of torchrun and MPI: it would wait for processes that do not exist."""
    hidden = {name: os.environ.pop(name) for name in _LAUNCHER_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ |= hidden


def _observer(job: Job, classifier: SequenceClassifier, reduction: Reduction) -> Any:
    """Return the callback that keeps losses and learning rates, and the learning curve."""
    from transformers import TrainerCallback

    class Observer(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            # Steps done and the mean loss since the entry before: after the first step, and after each epoch.
            self.losses: list[tuple[int, float]] = []
            # Steps done and the classifier's answers at the end of each epoch but the last: those the runner asks for.
            self.curve: list[tuple[int, np.ndarray]] = []
            self.first_gradient_norm: float | None = None
            self.learning_rate = 0.0

        def on_step_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            self.learning_rate = max(self.learning_rate, *(group["lr"] for group in optimizer.param_groups))

        def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            job.clock.step(state.global_step, state.max_steps)

        def on_epoch_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step >= state.max_steps:
                return
            with job.clock.phase("evaluate", examples=len(job.evaluation)), reduction.lifted():
                self.curve.append((state.global_step, classifier(job.evaluation.sentences)))

        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" not in logs:
                return
            if not self.losses and "grad_norm" in logs:
                self.first_gradient_norm = float(f"{float(logs['grad_norm']):.6g}")
            self.losses.append((state.global_step, float(f"{float(logs['loss']):.6g}")))
            if not math.isfinite(self.losses[-1][1]):
                raise Sst2Error(_diverged(job, *self.losses[-1]))

    return Observer()


def _diverged(job: Job, step: int, loss: float) -> str:
    """Return what is said of a loss that is no number; the first step's is of the weights as they were loaded."""
    name = job.encoder.name
    if step <= 1:
        return (
            f"model {name!r}: the loss is {loss} before any weight was changed, so the model itself computes no "
            f"numbers in {job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
        )
    return (
        f"training diverged: the loss is {loss} at step {step}. Lower --sst2-learning-rate (it is "
        f"{job.recipe.learning_rate}). Where that changes nothing, model {name!r} itself overflows in "
        f"{job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
    )


def _epoch_losses(losses: Sequence[tuple[int, float]], ends: Sequence[int]) -> list[float]:
    """Return the mean loss of each epoch's steps.

    Args:
        losses: Steps done and the mean loss since the entry before.
        ends: Steps done at the end of each epoch.
    """
    means = []
    begin = 0
    for end in ends:
        total, last = 0.0, begin
        for step, loss in losses:
            if begin < step <= end:
                total += loss * (step - last)
                last = step
        means.append(round(total / (end - begin), 6))
        begin = end
    return means


def _settings(arguments: TrainingArguments) -> dict[str, Any]:
    """Return the effective training arguments that can change a result, as plain values."""
    return {
        name: value
        for name, value in arguments.to_dict().items()
        if isinstance(value, bool | int | float | str) and not any(word in name for word in _NOT_SETTINGS)
    }
