"""Sharing: how the ranks of torchrun, or one process in several passes, train on the batches of a single pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Beside a share's tensors: what its mean loss counts for.
WEIGHT = "share_weight"


def share_of(batch: Sequence[Any], rank: int, processes: int) -> tuple[Sequence[Any], float]:
    """Return a rank's rows of a batch, and the weight of their mean loss.

    The ranks' gradients are averaged. With these weights the average is the gradient of the whole batch's mean loss,
    also where the last batch of an epoch cannot be shared out evenly. A rank without a row gets one that weighs
    nothing: it has to take part in the step.

    Args:
        batch: The whole batch, at least one row.
        rank: The rank, from 0.
        processes: How many ranks there are.
    """
    share = batch[rank::processes]
    return share or batch[:1], len(share) * processes / len(batch)


def weighted(trainer: type[Any]) -> type[Any]:
    """Return a Trainer that weighs the loss of each batch that comes with a weight.

    Args:
        trainer: The Hugging Face Trainer.
    """

    class WeightedTrainer(trainer):  # type: ignore[misc]
        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            if WEIGHT not in inputs:
                return super().compute_loss(model, inputs, *args, **kwargs)
            # Else the Trainer takes the loss for a sum over all ranks, which not every model makes of it.
            self.model_accepts_loss_kwargs = False
            weight = inputs.pop(WEIGHT)
            return weight * super().compute_loss(model, inputs, *args, **kwargs)

    return WeightedTrainer


def in_parts(trainer: type[Any], parts: int) -> type[Any]:
    """Return a Trainer that takes each batch in parts, one after the other, and adds their gradients up.

    A step is that of the whole batch, and so are the loss, the order of the rows and the number of steps; only dropout
    is drawn otherwise. The Trainer's own accumulation would count an epoch's last batches, and those of an odd number
    of rows, differently.

    Args:
        trainer: A Trainer that weighs losses, as ``weighted`` makes one.
        parts: At most so many; a batch of fewer rows has as many parts as rows.
    """

    class TrainerInParts(trainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            count = len(inputs["labels"])
            losses = []
            for first in range(min(parts, count)):
                part = {name: values[first::parts] for name, values in inputs.items()}
                part[WEIGHT] = len(part["labels"]) / count
                losses.append(super().training_step(model, part, *args, **kwargs))
            return sum(losses)

    return trainer if parts == 1 else TrainerInParts


def random_batches(rows: Sequence[Any], batch_size: int, seed: int) -> Any:
    """Return the batches, as row numbers, that the Trainer draws without grouping in a single process.

    Args:
        rows: All training rows.
        batch_size: Of all ranks together.
        seed: Decides every epoch's order.
    """
    from accelerate.data_loader import SeedableRandomSampler
    from torch.utils.data import BatchSampler

    sampler = SeedableRandomSampler(rows)
    sampler.initial_seed = seed
    return BatchSampler(sampler, batch_size, drop_last=False)
