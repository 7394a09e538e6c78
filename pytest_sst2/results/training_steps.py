"""Evidence from the steps of a training: a fixed batch before the first step, then samples of every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Kept steps grow by this factor after the first four.
_GROWTH = 1.5


def kept_steps(total: int) -> tuple[int, ...]:
    """Return the numbers of the steps whose loss and learning rates are kept: about 20 of 2,000, with the last."""
    steps = [*range(1, 5)]
    while steps[-1] < total:
        steps.append(round(steps[-1] * _GROWTH))
    return (*(step for step in steps if step < total), total) if total else ()


@dataclass(frozen=True)
class FixedBatch:
    """What the Trainer computes for a fixed batch of probe sentences before its first step.

    The modules are the library's own. Except in ``dropout`` and ``masked_losses``, dropout functions do nothing.

    Attributes:
        inputs: From the name of each input of the model to its shape, the number of values that are not zero, and a
            digest of the values.
        loss: The loss that is minimised.
        cross_entropy: The cross-entropy of the model's logits and the labels, computed without the library.
        logits: The logits, float32, in base64.
        logit_gradient: Ratio and cosine of the gradient at the logits to that of the cross-entropy; empty if unknown.
        mode: The first module whose output in training mode is not that in evaluation mode, and by how much,
            relatively; empty if all outputs are equal.
        modules: Names of the modules with weights of their own, one per line; compressed, in base64.
        gradients: Two float32 per module: the length of the gradient and one projection onto random signs.
        dropout: From each rate of the active dropout functions to the number of their calls.
        dropped: The share of activations that these calls set to zero; None without calls that could be observed.
        activations: The number of activations that they were given.
        masked_losses: Mean and standard deviation of the loss with two fixed sets of dropout masks.
    """

    inputs: Mapping[str, str]
    loss: float
    cross_entropy: float | None = None
    logits: str = ""
    logit_gradient: Sequence[float] = ()
    mode: str = ""
    modules: str = ""
    gradients: str = ""
    dropout: Mapping[str, int] = field(default_factory=dict)
    dropped: float | None = None
    activations: int = 0
    masked_losses: Sequence[float] = ()


@dataclass(frozen=True)
class TrainingSteps:
    """The steps of an optimiser that trains by batches.

    An update is compared with the rule that the optimiser states, for the gradients that it was given, on samples of
    the weights.

    Attributes:
        trace: Three float32 for each of ``kept_steps``: the loss, and the norm of the gradient before and after
            clipping.
        rates: The learning rates of each parameter group at ``kept_steps``, float32.
        group_sizes: Number of weights of each parameter group.
        rule: The optimiser's class; empty if its rule is not known here.
        first_updates: For each group, ratio and cosine of the actual to the expected update in the first two steps.
        deviating: Number of steps whose update does not follow the rule.
        first_deviating: The first of them; 0 if there is none.
        deviation: What that update did instead, such as ``scaled 10`` or ``state lost``.
        tensor: The first tensor that deviates in it.
        outside: Number of steps before which the weights were changed by something other than the optimiser.
        first_outside: The first of them; 0 if there is none.
        outside_change: What that change did, such as ``rounded bfloat16``.
        skipped: Number of the training's steps without a step of the optimiser.
        later_order: Digest of the training rows after the first epoch, in their order; empty with one epoch.
        distances: For each epoch, the root mean square distance from the start of the sampled weights of each part,
            in the order of the parts' names, float32.
        logits: For each epoch but the last, the log-odds of 16 probe sentences, float32.
    """

    trace: str = ""
    rates: str = ""
    group_sizes: Sequence[int] = ()
    rule: str = ""
    first_updates: str = ""
    deviating: int = 0
    first_deviating: int = 0
    deviation: str = ""
    tensor: str = ""
    outside: int = 0
    first_outside: int = 0
    outside_change: str = ""
    skipped: int = 0
    later_order: str = ""
    distances: str = ""
    logits: str = ""
