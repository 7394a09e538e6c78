"""Training by the Hugging Face Trainer, with batches of similar length, and evidence of its steps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_sst2.instruments.data_fingerprint import OrderDigest
from pytest_sst2.instruments.fixed_batch import fixed_examples
from pytest_sst2.methods.base import Job
from pytest_sst2.methods.fast.length_batching import TrainingBatches
from pytest_sst2.methods.fast.quick_dropout import plain_dropout, quick_dropout
from pytest_sst2.methods.fast.trimmed_embedding import embedding_trimmer
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.methods.trainer_observer import learning_curve, observer_of
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.record import Epoch

if TYPE_CHECKING:
    from transformers import TrainingArguments


def run_trainer(
    job: Job, classifier: SequenceClassifier, rows: list[dict[str, Any]], arguments: TrainingArguments
) -> tuple[tuple[Epoch, ...], float]:
    """Train the classifier in place; return the learning curve but its last epoch, and that one's mean training loss.

    Raises:
        Sst2Error: The loss became infinite or NaN.
    """
    from transformers import DataCollatorWithPadding, Trainer

    is_fast = job.is_fast
    trimmer = embedding_trimmer(classifier.model, (row["input_ids"] for row in rows) if is_fast else None)
    observer = observer_of(job, classifier, trimmer)
    pad = DataCollatorWithPadding(classifier.tokenizer)
    order = OrderDigest(limit=len(rows) if job.recorder.enabled else 0)

    def collate(batch: list[dict[str, Any]]) -> Any:
        for row in batch:
            order.add(row["input_ids"])
        return pad(batch)

    @contextlib.contextmanager
    def untouched() -> Iterator[None]:
        with plain_dropout(classifier.model), trimmer.restored():
            yield

    batching = _batched_by_length(_in_parts(Trainer, job.parts), job)
    trainer = _watched(batching, job, lambda: pad(_fixed_rows(classifier)), untouched)(
        model=classifier.model, args=arguments, train_dataset=rows, data_collator=collate, callbacks=[observer]
    )
    _remove_other_callbacks(trainer, observer)
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
    return learning_curve(observer.losses, observer.curve, steps, job.evaluation.labels)


def _batched_by_length(trainer: type[Any], job: Job) -> type[Any]:
    """Return a Trainer whose batches have rows of similar length, if the recipe asks for them, on the fast path."""
    from torch.utils.data import DataLoader

    class BatchingTrainer(trainer):  # type: ignore[misc]
        def get_train_dataloader(self) -> Any:
            rows = self.train_dataset
            batches = TrainingBatches([len(row["input_ids"]) for row in rows], job.recipe.batch_size, job.seed)
            return DataLoader(rows, batch_sampler=batches, collate_fn=self.data_collator)

    return BatchingTrainer if job.is_fast and job.recipe.group_by_length else trainer


def _remove_other_callbacks(trainer: Any, observer: Any) -> None:
    """Remove callbacks that an environment variable or a package added. They would disturb the measurement."""
    from transformers import DefaultFlowCallback

    for callback in list(trainer.callback_handler.callbacks):
        if type(callback) not in (DefaultFlowCallback, type(observer)):
            trainer.remove_callback(callback)


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
