"""Faults of fine-tuning: optimiser, loss, order, dropout."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults.harness import TUNE, World, fault
from tests.faults.injecting import around, trainer_arguments


@fault("dropout left on while predicting", (TUNE,), "named", r"dropout is on|dropout")
def _dropout(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    from pytest_sst2.methods.sequence_classifier import SequenceClassifier

    @contextlib.contextmanager
    def inference(self: Any) -> Iterator[None]:
        self.model.train()
        with torch.inference_mode():
            yield

    patch.setattr(SequenceClassifier, "_inference", inference)


@fault("learning rate ten times as high in the effective arguments", (TUNE,), "named", r"learning_rate .*, was ")
def _rate(patch: pytest.MonkeyPatch, world: World) -> None:
    trainer_arguments(patch, learning_rate=lambda rate: 10 * rate)


@fault("learning rate ten times as high in the optimiser", (TUNE,), "named", r"highest learning rate is .*, was ")
def _rate_in_optimiser(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(optimizer: Any) -> None:
        for group in optimizer.param_groups:
            group["lr"] *= 10

    _optimiser(patch, change)


@fault("learning rate ten times as high inside the step", (TUNE,), "named", r"AdamW states: the update is 10 × what")
def _rate_in_step(patch: pytest.MonkeyPatch, world: World) -> None:
    def wrapper(original: Any, params: Any, *args: Any, lr: Any, **kwargs: Any) -> Any:
        return original(params, *args, lr=10 * lr, **kwargs)

    around(patch, sys.modules["torch.optim.adam"], "adam", wrapper)


def _optimiser(patch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    from transformers import Trainer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        optimizer = original(self, *args, **kwargs)
        change(self.optimizer)
        return optimizer

    around(patch, Trainer, "create_optimizer", wrapper)


@fault(
    "loss doubled",
    (TUNE,),
    "named",
    r"loss of the fixed batch is 2 × the cross-entropy",
    replays="gradient-accumulation loss doubled (transformers#35438)",
)
def _loss(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import Trainer

    around(patch, Trainer, "compute_loss", lambda original, *args, **kwargs: 2 * original(*args, **kwargs))


@fault("gradients doubled behind the loss", (TUNE,), "named", r"gradient of the fixed batch is 2\.00 ×")
def _gradients(patch: pytest.MonkeyPatch, world: World) -> None:
    from accelerate import Accelerator

    around(patch, Accelerator, "backward", lambda original, self, loss, **kwargs: original(self, 2 * loss, **kwargs))


@fault(
    "gradients of two batches accumulated",
    (TUNE,),
    "named",
    r"gradient_accumulation_steps 2, was 1",
    replays="gradient-accumulation loss doubled (transformers#35438)",
)
def _accumulation(patch: pytest.MonkeyPatch, world: World) -> None:
    trainer_arguments(patch, gradient_accumulation_steps=2)


@fault("weight decay changed", (TUNE,), "named", r"weight_decay 0\.1, was 0")
def _decay(patch: pytest.MonkeyPatch, world: World) -> None:
    trainer_arguments(patch, weight_decay=0.1)


@fault("weight decay inside the optimiser alone", (TUNE,), "named", r"the optimiser's weight_decay 0\.1, was 0")
def _decay_in_optimiser(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(optimizer: Any) -> None:
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.1

    _optimiser(patch, change)


@fault("scheduler changed", (TUNE,), "named", r"lr_scheduler_type constant, was linear")
def _scheduler(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers.trainer_utils import SchedulerType

    trainer_arguments(patch, lr_scheduler_type=SchedulerType.CONSTANT)


@fault("scheduler changed inside the Trainer alone", (TUNE,), "named", r"learning rate.*(on average|mean|decay)")
def _scheduler_silently(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import Trainer, get_constant_schedule

    def wrapper(original: Any, self: Any, num_training_steps: int, optimizer: Any = None) -> Any:
        self.lr_scheduler = get_constant_schedule(optimizer or self.optimizer)
        return self.lr_scheduler

    around(patch, Trainer, "create_scheduler", wrapper)


@fault(
    "beta2 of Adam changed inside the optimiser alone", (TUNE,), "named", r"the optimiser's betas \(0\.9, 0\.9\), was"
)
def _betas(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(optimizer: Any) -> None:
        for group in optimizer.param_groups:
            group["betas"] = (0.9, 0.9)

    _optimiser(patch, change)


@fault("half as many training steps", (TUNE,), "named", r"\d+ training steps, were \d+")
def _steps(patch: pytest.MonkeyPatch, world: World) -> None:
    steps = world.recipe.epochs * (world.recipe.train_size or 300) // world.recipe.batch_size
    trainer_arguments(patch, max_steps=max(1, steps // 2))


@fault("label smoothing", (TUNE,), "named", r"label_smoothing_factor 0\.2, was 0")
def _smoothing(patch: pytest.MonkeyPatch, world: World) -> None:
    trainer_arguments(patch, label_smoothing_factor=0.2)


@fault("encoder frozen while fine-tuning", (TUNE,), "named", r"no longer changes \d parts")
def _frozen(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import Trainer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        self.model.base_model.requires_grad_(False)
        return original(self, *args, **kwargs)

    around(patch, Trainer, "create_optimizer", wrapper)


@fault(
    "only the sampler draws another order",
    (TUNE,),
    "incomparable",
    r"training order: the optimiser",
    replays="same seed, another shuffle (pytorch#10979)",
)
def _sampler(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods.fast.length_batching import TrainingBatches

    def wrapper(original: Any, self: Any, lengths: Any, batch_size: int, seed: int) -> Any:
        return original(self, lengths, batch_size, seed + 12345)

    around(patch, TrainingBatches, "__init__", wrapper)


@fault("labels of the training rows flipped inside the method", (TUNE,), "regressed", r"is given other labels")
def _flipped_inside(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import DataCollatorWithPadding

    def wrapper(original: Any, self: Any, rows: Any) -> Any:
        return original(self, [{**row, "labels": 1 - row["labels"]} for row in rows])

    around(patch, DataCollatorWithPadding, "__call__", wrapper)


@fault("seed not passed on: another head and other dropout masks", (TUNE,), "named", r"head starts from other numbers")
def _unseeded(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    from pytest_sst2.methods import fine_tune

    def wrapper(original: Any, job: Any) -> Any:
        torch.manual_seed(job.seed + 1000)
        return original(job)

    around(patch, fine_tune, "train", wrapper)


@fault(
    "an argument of the Trainer is gone",
    (TUNE,),
    "incomparable",
    r"no number this time: TypeError.*warmup_steps",
    replays="warmup_ratio and others gone (transformers 5)",
)
def _argument_gone(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import TrainingArguments

    def wrapper(original: Any, *args: Any, **arguments: Any) -> Any:
        raise TypeError("TrainingArguments.__init__() got an unexpected keyword argument 'warmup_steps'")

    around(patch, TrainingArguments, "__init__", wrapper)


@fault("padding attended to when predicting alone", (TUNE,), "named", r"when predicting, the model reads other tokens")
def _padding_predicting(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    from pytest_sst2.methods.sequence_classifier import SequenceClassifier

    def wrapper(original: Any, self: Any, sentences: Any) -> Any:
        def without_mask(sentences: Any) -> Any:
            inputs = self.tokenize(sentences, padding="max_length", return_tensors="pt")
            inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
            yield list(range(len(sentences))), inputs

        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self, "_batches", without_mask, raising=False)
            return original(self, sentences)

    around(patch, SequenceClassifier, "__call__", wrapper)


@fault("SGD in the place of AdamW", (TUNE,), "named", r"the optimiser is SGD, was AdamW")
def _sgd(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import Trainer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        original(self, *args, **kwargs)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.args.learning_rate)
        return self.optimizer

    around(patch, Trainer, "create_optimizer", wrapper)


@fault("gradients clipped to a hundredth", (TUNE,), "named", r"max_grad_norm 0\.01, was 1")
def _unclipped(patch: pytest.MonkeyPatch, world: World) -> None:
    trainer_arguments(patch, max_grad_norm=0.01)


@fault(
    "training under autocast to bfloat16 without a word",
    (TUNE,),
    "named",
    r"training computes under autocast to bfloat16",
)
def _training_autocast(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import Trainer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    around(patch, Trainer, "autocast_smart_context_manager", wrapper)


@fault(
    "other dropout masks from the same seed",
    (TUNE,),
    "named",
    r"from the first batch on .*, as with other dropout masks",
)
def _masks(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import Trainer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        torch.rand(1)
        return original(*args, **kwargs)

    around(patch, Trainer, "compute_loss", wrapper)


@fault("dropout modules do nothing", (TUNE,), "named", r"dropout makes 2 calls at rate 0\.1, made 8 calls")
def _no_dropout(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    patch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)


@fault("clipping ten times as strong inside the library", (TUNE,), "named", r"clipping one of norm .* at 1 gives")
def _clipping(patch: pytest.MonkeyPatch, world: World) -> None:
    from accelerate import Accelerator

    def wrapper(original: Any, self: Any, parameters: Any, max_norm: float, **kwargs: Any) -> Any:
        return original(self, parameters, max_norm / 10, **kwargs)

    around(patch, Accelerator, "clip_grad_norm_", wrapper)


@fault("label smoothing inside the loss alone", (TUNE,), "named", r"gradient at the logits .* another loss, or")
def _smoothing_inside(patch: pytest.MonkeyPatch, world: World) -> None:
    from torch.nn.functional import cross_entropy
    from transformers import Trainer

    def wrapper(_original: Any, _self: Any, model: Any, inputs: Any, **_: Any) -> Any:
        return cross_entropy(model(**inputs).logits, inputs["labels"], label_smoothing=0.2)

    around(patch, Trainer, "compute_loss", wrapper)


@fault("padding attended to in training alone", (TUNE,), "named", r"training the model is given other attention_mask")
def _mask_in_training(patch: pytest.MonkeyPatch, world: World) -> None:
    _inputs(patch, lambda inputs: {"attention_mask": inputs["attention_mask"].new_ones(inputs["input_ids"].shape)})


def _inputs(patch: pytest.MonkeyPatch, change: Callable[[Any], dict[str, Any]]) -> None:
    from transformers import Trainer

    def wrapper(original: Any, self: Any, inputs: Any) -> Any:
        prepared = original(self, inputs)
        return {**prepared, **change(prepared)}

    around(patch, Trainer, "_prepare_inputs", wrapper)


@fault("the optimiser's state lost in every step", (TUNE,), "named", r"as if the optimiser's state were lost")
def _state_lost(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    def step(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        self.state.clear()
        return original(self, *args, **kwargs)

    around(patch, torch.optim.AdamW, "step", step)


@fault("weights rounded to bfloat16 after each step", (TUNE,), "named", r"changes the weights .* rounded to bfloat16")
def _rounded(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import Trainer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            for weight in self.model.parameters():
                weight.copy_(weight.bfloat16())
        return original(self, *args, **kwargs)

    around(patch, Trainer, "training_step", wrapper)


@fault(
    "learning rate of one parameter group",
    (TUNE,),
    "named",
    r"learning rate of parameter group 2 of 2 .* at step 1, was",
)
def _rate_of_a_group(patch: pytest.MonkeyPatch, world: World) -> None:
    def change(optimizer: Any) -> None:
        optimizer.param_groups[1]["lr"] *= 0.1

    _optimiser(patch, change)
