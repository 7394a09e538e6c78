"""Compare the steps of two trainings: clipping, learning rates, updates, and what else moved the weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.training_steps import TrainingSteps, kept_steps

# Largest relative change of a norm or a learning rate that is not reported.
_ROUNDING = 1e-3
# Losses this close, relatively, are those of the same step; norms of gradients this close, those of the same gradient.
_SAME_STEP = 1e-3
_SAME_NORM = 1e-2


def step_causes(
    old: TrainingFingerprint | None,
    new: TrainingFingerprint | None,
    old_settings: Mapping[str, Any],
    new_settings: Mapping[str, Any],
    explained: Collection[str],
) -> Iterator[Cause]:
    """Yield the deviations of the later training's steps from their rules that the earlier training's steps lack.

    Each check is of one side alone: against the clipping and the rule that the training itself states. Differences
    in earlier parts of the chain therefore explain none of it. ``explained`` has the names of differing settings.
    """
    if old is None or new is None or old.watched is None or new.watched is None:
        return
    before, after = old.watched, new.watched
    if new.watched.skipped and not old.watched.skipped:
        yield Cause(
            f"the optimiser made a step in {new.steps - after.skipped:,} of {new.steps:,} training steps, made one in "
            "each",
            "training",
            "steps",
        )
    clipping = _clipping(new, new_settings)
    # Gradients of weights that the optimiser is no longer given are missing from what reaches it.
    same_weights = sum(before.group_sizes) == sum(after.group_sizes)
    if clipping and same_weights and not _clipping(old, old_settings):
        yield Cause(clipping, "training", "clipping")
    if after.deviating and (not before.deviating or before.deviation.split()[0] != after.deviation.split()[0]):
        yield Cause(_update_sentence(new, after), "training", f"step {after.first_deviating}")
    if after.outside and not before.outside:
        yield Cause(_outside_sentence(new, after), "training", f"step {after.first_outside}")
    if not any("learning_rate" in name or "lr_scheduler" in name or "warmup" in name for name in explained):
        yield from _rate_causes(old, new)
    if before.later_order and after.later_order and before.later_order != after.later_order and _same_first(old, new):
        yield Cause(
            "from epoch 2 on, the optimiser was given other rows, or the rows in another order, although those of "
            "epoch 1 are the same",
            "training",
            "epoch 2",
        )


def _same_first(old: TrainingFingerprint, new: TrainingFingerprint) -> bool:
    return old.order == new.order and old.steps == new.steps


def _clipping(training: TrainingFingerprint, settings: Mapping[str, Any]) -> str:
    """Return where the gradients that reach the optimiser are not those that clipping gives; empty if nowhere."""
    limit = settings.get("max_grad_norm")
    if training.watched is None or not isinstance(limit, int | float):
        return ""
    trace = np.array(unpacked_floats(training.watched.trace)).reshape(-1, 3)
    for step, (_, norm, reached) in zip(kept_steps(training.steps), trace, strict=True):
        expected = min(norm, limit) if limit > 0 else norm
        if not np.isfinite([norm, reached]).all() or math.isclose(reached, expected, rel_tol=10 * _ROUNDING):
            continue
        if math.isclose(reached, norm, rel_tol=_ROUNDING):
            return (
                f"gradients are not clipped: at step {step} the optimiser is given a gradient of norm {reached:.4g}, "
                f"although max_grad_norm is {limit:g}"
            )
        return (
            f"at step {step} the optimiser is given a gradient of norm {reached:.4g}; clipping one of norm {norm:.4g} "
            f"at {limit:g} gives {expected:.4g}"
        )
    return ""


def _update_sentence(training: TrainingFingerprint, steps: TrainingSteps) -> str:
    word, _, rest = steps.deviation.partition(" ")
    did = {
        "nothing": "no weight moved",
        "state": "the update is that of a first step, as if the optimiser's state were lost",
        "no": "the moving averages are not corrected for their start at zero",
        "rounded": f"the new weights are rounded to {rest}",
        "scaled": f"the update is {rest} × what the rule gives"
        if rest != "1"
        else "the update is not exactly the rule's",
        "decay": f"the rest of the update is that of a weight decay of {rest}",
        "other": "the update is {} × as long as by the rule, at a cosine of {}".format(*f"{rest} ? ?".split()[:2]),
    }.get(word, "the update is another")
    where = f" (first in {steps.tensor})" if steps.tensor else ""
    when = f"in {steps.deviating:,} of {training.steps:,} steps, first in step {steps.first_deviating}"
    return f"{when}, the weights do not move as {steps.rule} states: {did}{where}"


def _outside_sentence(training: TrainingFingerprint, steps: TrainingSteps) -> str:
    word, _, rest = steps.outside_change.partition(" ")
    did = {
        "rounded": f": they are rounded to {rest}",
        "reset": ": they are those from before the training",
        "scaled": f": they are {rest} × what they were",
    }.get(word, "")
    where = f"before {steps.outside:,} of {training.steps:,} steps, first before step {steps.first_outside}"
    where = "after the last step" if steps.first_outside > training.steps else where
    return f"something other than the optimiser changes the weights ({where}){did}"


def _rate_causes(old: TrainingFingerprint, new: TrainingFingerprint) -> Iterator[Cause]:
    """Yield the first learning rate that differs, unless another cause names the highest or the mean one."""
    before, after = old.watched, new.watched
    if before is None or after is None or old.steps != new.steps:
        return
    if not (_close(old.learning_rate, new.learning_rate) and _close(old.mean_learning_rate, new.mean_learning_rate)):
        return
    steps = kept_steps(new.steps)
    sides = [np.array(unpacked_floats(side.rates)) for side in (before, after)]
    if any(
        rates.size != len(steps) * len(side.group_sizes) for rates, side in zip(sides, (before, after), strict=True)
    ):
        return
    one, other = (rates.reshape(-1, len(steps)) for rates in sides)
    if len(before.group_sizes) == len(after.group_sizes):
        yield from _group_rate_causes(one, other, steps, after.group_sizes)
    elif sum(before.group_sizes) == sum(after.group_sizes):
        yield from _regrouped_rate_causes((one, before.group_sizes), (other, after.group_sizes), steps)


def _group_rate_causes(
    one: np.ndarray, other: np.ndarray, steps: Sequence[int], sizes: Sequence[int]
) -> Iterator[Cause]:
    """Yield the first rate that differs, from rates of shape (groups, steps) of both sides."""
    for number, (earlier, later) in enumerate(zip(one, other, strict=True)):
        differing = np.flatnonzero(_differ(earlier, later))
        if len(differing):
            place = int(differing[0])
            group = f"parameter group {number + 1} of {len(one)} ({sizes[number]:,} weights)"
            yield _rate_cause(group, later[place], earlier[place], steps[place], f"group {number + 1}")
            return


def _regrouped_rate_causes(
    one: tuple[np.ndarray, Sequence[int]], other: tuple[np.ndarray, Sequence[int]], steps: Sequence[int]
) -> Iterator[Cause]:
    """Yield the first step in which as many weights have other rates, from the rates and sizes of both sides' groups.

    The sides divide the same weights into other groups. Which weights are in which group is unknown, so the weights of
    both sides are ordered by their rate.
    """
    for place, step in enumerate(steps):
        columns = []
        for rates, sizes in (one, other):
            order = np.argsort(rates[:, place], kind="stable")
            columns.append((rates[order, place], np.cumsum(np.array(sizes)[order])))
        ends = np.unique(np.concatenate([bounds for _, bounds in columns]))
        counts = np.diff(ends, prepend=0)
        earlier, later = (rates[np.searchsorted(bounds, ends)] for rates, bounds in columns)
        differing = _differ(earlier, later)
        if differing.any():
            most = int(np.argmax(np.where(differing, counts, 0)))
            subject = f"{counts[differing].sum():,} of {ends[-1]:,} weights"
            alike = len(np.unique(np.stack([earlier, later], axis=1)[differing], axis=0)) == 1
            subject += "" if alike else f", {counts[most]:,} of them"
            yield _rate_cause(subject, later[most], earlier[most], step, "groups")
            return


def _rate_cause(subject: str, later: float, earlier: float, step: int, where: str) -> Cause:
    sentence = f"the learning rate of {subject} is {later:.4g} at step {step}, was {earlier:.4g}"
    return Cause(sentence, "training", where, f"{earlier:.4g}", f"{later:.4g}")


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(other - one) > _ROUNDING * np.maximum(np.abs(one), np.abs(other)))


def _close(one: float | None, other: float | None) -> bool:
    return one is None or other is None or math.isclose(one, other, rel_tol=1e-4)


def since_step(old: TrainingFingerprint | None, new: TrainingFingerprint | None) -> str:
    """Return from which step on the losses or gradients of two trainings differ, in words; empty if unknown."""
    if old is None or new is None or old.watched is None or new.watched is None or old.steps != new.steps:
        return ""
    one, other = (np.array(unpacked_floats(side.trace)).reshape(-1, 3) for side in (old.watched, new.watched))
    if one.shape != other.shape:
        return ""
    steps = kept_steps(new.steps)
    for place, (before, after) in enumerate(zip(one, other, strict=True)):
        if not np.isfinite([before[:2], after[:2]]).all():
            continue
        earlier = f"; up to step {steps[place - 1]} it is equal" if place else ""
        if not math.isclose(before[0], after[0], rel_tol=_SAME_STEP, abs_tol=1e-4):
            return (
                f"from step {steps[place]} of training on, whose loss is {after[0]:.5g}, was {before[0]:.5g}{earlier}"
            )
        if not math.isclose(before[1], after[1], rel_tol=_SAME_NORM):
            return (
                f"from step {steps[place]} of training on, whose loss is equal, but whose gradient has norm "
                f"{after[1]:.4g}, was {before[1]:.4g}"
            )
    return "although the losses of the recorded steps are equal"
