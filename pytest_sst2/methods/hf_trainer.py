"""The Hugging Face Trainer, with arguments spelled out, our batches, and a learning curve."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.instruments.data_fingerprint import OrderDigest
from pytest_sst2.instruments.fixed_batch import fixed_examples
from pytest_sst2.methods.base import Job, epoch_of, overflow_remedy
from pytest_sst2.methods.fast.length_batching import TrainingBatches
from pytest_sst2.methods.fast.quick_dropout import plain_dropout, quick_dropout
from pytest_sst2.methods.fast.trimmed_embedding import EmbeddingTrimmer, embedding_trimmer
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.models.library_compat import sampling_arguments
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.record import Epoch
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import shorten

if TYPE_CHECKING:
    from transformers import TrainingArguments

# Arguments of the Trainer that decide where it runs and what it reports, but not how it trains.
_NOT_SETTINGS = (
    *("dir", "hub", "log", "report", "run_name", "project", "push", "trackio", "disable_tqdm", "local_rank"),
    "include_num_input_tokens_seen",
)
# A pod or a batch system may set them for other reasons. accelerate takes them for a distributed training.
_LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    *("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
)


# accelerate reads them for what the recipe decides: precision, compilation, devices, accumulation, sharding.
_OVERRULING = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
# Without a warning: values that change nothing, and settings of accelerate's own output.
_NEUTRAL_VALUES = ("", "0", "false", "no")
_OUTPUT = ("ACCELERATE_LOG", "ACCELERATE_DISABLE_RICH", "ACCELERATE_ENABLE_RICH", "ACCELERATE_DEBUG")


@contextlib.contextmanager
def recipe_decides() -> Iterator[tuple[str, ...]]:
    """Hide environment variables that would overrule the recipe; yield a warning that names them.

    Those of torchrun and MPI are hidden without a word, because accelerate would wait for processes that do not exist.
    The Trainer sets variables itself, which must not reach the next cell.
    """
    before = {name: value for name, value in os.environ.items() if _is_hidden(name)}
    for name in before:
        del os.environ[name]
    overruling = sorted(
        f"{name}={value}"
        for name, value in before.items()
        if name.startswith("ACCELERATE_") and not name.startswith(_OUTPUT) and value.lower() not in _NEUTRAL_VALUES
    )
    try:
        yield (f"ignored, because the recipe decides: {shorten(overruling, 5)}",) if overruling else ()
    finally:
        for name in [name for name in os.environ if _is_hidden(name)]:
            del os.environ[name]
        os.environ |= before


def _is_hidden(name: str) -> bool:
    return name in _LAUNCHER_VARIABLES or name.startswith(_OVERRULING)


def training_arguments(job: Job, scratch: str) -> TrainingArguments:
    """Return the Trainer's arguments, with every default that decides a result spelled out."""
    from transformers import TrainingArguments

    arguments = TrainingArguments(
        output_dir=scratch,  # nothing is written to it
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


def effective_settings(arguments: TrainingArguments) -> dict[str, Any]:
    """Return the training arguments that can change a result, as plain values."""
    return {
        name: value
        for name, value in arguments.to_dict().items()
        if isinstance(value, bool | int | float | str) and not any(word in name for word in _NOT_SETTINGS)
    }


def run_trainer(
    job: Job, classifier: SequenceClassifier, rows: list[dict[str, Any]], arguments: TrainingArguments
) -> tuple[tuple[Epoch, ...], float]:
    """Train the classifier in place; return the learning curve but its last epoch, and that one's mean training loss.

    Raises:
        Sst2Error: The loss became infinite or NaN.
    """
    from torch.utils.data import DataLoader
    from transformers import DataCollatorWithPadding, DefaultFlowCallback, Trainer

    is_fast = job.is_fast
    trimmer = embedding_trimmer(classifier.model, (row["input_ids"] for row in rows) if is_fast else None)
    observer = _observer(job, classifier, trimmer)
    pad = DataCollatorWithPadding(classifier.tokenizer)
    order = OrderDigest(limit=len(rows) if job.recorder.enabled else 0)

    def collate(batch: list[dict[str, Any]]) -> Any:
        for row in batch:
            order.add(row["input_ids"])
        return pad(batch)

    class BatchingTrainer(_in_parts(Trainer, job.parts)):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            if not (is_fast and job.recipe.group_by_length):
                return super().get_train_dataloader()
            batches = TrainingBatches([len(row["input_ids"]) for row in rows], job.recipe.batch_size, job.seed)
            loader: Any = DataLoader(rows, batch_sampler=batches, collate_fn=collate)  # type: ignore[arg-type]
            return loader

    @contextlib.contextmanager
    def untouched() -> Iterator[None]:
        with plain_dropout(classifier.model), trimmer.restored():
            yield

    trainer = _watched(BatchingTrainer, job, lambda: pad(_fixed_rows(classifier)), untouched)(
        model=classifier.model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[observer]
    )
    # An environment variable or an installed package may have added a callback that would disturb the measurement.
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) not in (DefaultFlowCallback, type(observer)):
            trainer.remove_callback(callback)
    training = job.clock.phase("train", examples=len(rows) * job.recipe.epochs)
    dropout = quick_dropout(classifier.model) if is_fast else contextlib.nullcontext()
    with training, dropout, trimmer.trimmed():
        trainer.train()
    steps = int(trainer.state.global_step)
    job.recorder.record_training(
        TrainingFingerprint(
            steps=steps,
            first_loss=observer.losses[0][1],
            first_gradient_norm=observer.first_gradient_norm,
            learning_rate=observer.learning_rate,
            order=str(order),
        ),
        later_order=order.later,
    )
    return _learning_curve(observer.losses, observer.curve, steps, job.evaluation.labels)


def _fixed_rows(classifier: SequenceClassifier) -> list[dict[str, Any]]:
    sentences, labels = fixed_examples()
    encoded = classifier.tokenize(sentences)
    return [
        {**{name: values[index] for name, values in encoded.items()}, "labels": label}
        for index, label in enumerate(labels)
    ]


def _watched(
    trainer: type[Any],
    job: Job,
    fixed_batch: Callable[[], Any],
    untouched: Callable[[], contextlib.AbstractContextManager[None]],
) -> type[Any]:
    """Return a Trainer that records the loss of its steps, and a fixed batch before the first of them.

    In the context ``untouched`` the model has the library's own modules.
    """

    class WatchedTrainer(trainer):  # type: ignore[misc]
        is_first = True

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if self.is_first and job.parts == 1:
                self._record_fixed_batch(model, *args, **kwargs)
            self.is_first = False
            loss = super().training_step(model, inputs, *args, **kwargs)
            job.recorder.record_loss(loss, total=self.state.max_steps)
            return loss

        def _record_fixed_batch(self, model: Any, num_items_in_batch: Any = None) -> None:
            batch = fixed_batch()
            count = num_items_in_batch if num_items_in_batch is None else batch["labels"].ne(-100).sum()
            step = super().training_step

            def forward(inputs: dict[str, Any]) -> Any:
                with self.compute_loss_context_manager():
                    prepared = self._prepare_inputs(inputs)
                    return self.compute_loss(model, prepared, num_items_in_batch=count).detach()

            with untouched():
                job.recorder.record_fixed_batch(model, batch, lambda inputs: step(model, inputs, count), forward)

    return WatchedTrainer


def _in_parts(trainer: type[Any], parts: int) -> type[Any]:
    """Return a Trainer that computes each batch in parts and adds up their gradients.

    The loss, the order of the rows and the number of steps stay those of whole batches. Only the dropout masks
    differ. The Trainer's own gradient accumulation would weigh the last batches of an epoch, and batches with an
    odd number of rows, differently. A batch of fewer rows than ``parts`` has one part per row.
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


def _observer(job: Job, classifier: SequenceClassifier, trimmer: EmbeddingTrimmer) -> Any:
    """Return the callback that collects losses, learning rates and the learning curve."""
    from transformers import TrainerCallback

    class Observer(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            # Steps done and the mean loss since the entry before: after the first step, and after each epoch.
            self.losses: list[tuple[int, float]] = []
            # Steps done and the predicted probabilities after each epoch but the last, which the runner predicts.
            self.curve: list[tuple[int, np.ndarray]] = []
            self.first_gradient_norm: float | None = None
            self.learning_rate = 0.0

        def on_step_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            self.learning_rate = max(self.learning_rate, *(group["lr"] for group in optimizer.param_groups))

        def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            job.clock.step(state.global_step, state.max_steps)

        def on_epoch_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step >= state.max_steps:
                job.recorder.record_epoch(None)
                return
            with trimmer.restored():
                job.recorder.record_epoch(classifier)
            with job.clock.phase("evaluate", examples=len(job.evaluation)), trimmer.restored():
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
    """Return the error message for a loss that is infinite or NaN.

    The loss of the first step is computed with the weights as loaded, so the training did not cause it.
    """
    name = job.encoder.name
    if step <= 1:
        return (
            f"model {name!r}: the loss is {loss} before any weight was changed, so the model itself returns NaN or "
            f"infinity in {job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
        )
    return (
        f"training diverged: the loss is {loss} at step {step}. Lower --sst2-learning-rate (it is "
        f"{job.recipe.learning_rate}). If that does not help, model {name!r} itself overflows in "
        f"{job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
    )


def _learning_curve(
    losses: Sequence[tuple[int, float]], curve: Sequence[tuple[int, np.ndarray]], steps: int, labels: np.ndarray
) -> tuple[tuple[Epoch, ...], float]:
    *before, last_loss = _epoch_losses(losses, [*(step for step, _ in curve), steps])
    epochs = [
        epoch_of(number, loss, probabilities, labels)
        for number, (loss, (_, probabilities)) in enumerate(zip(before, curve, strict=True), 1)
    ]
    return tuple(epochs), last_loss


def _epoch_losses(losses: Sequence[tuple[int, float]], ends: Sequence[int]) -> list[float]:
    """Return the mean loss of each epoch, from losses as ``Observer`` collects them and the steps at its end."""
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
