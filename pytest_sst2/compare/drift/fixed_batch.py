"""Compare what two trainings compute for the same fixed batch, before their first step."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np

from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.drift.modules import rough_percent
from pytest_sst2.results.packing import unpacked_floats, unpacked_text
from pytest_sst2.results.training_steps import FixedBatch
from pytest_sst2.utils.formatting import plural, shorten

# Largest relative change of a loss, of logits or of a gradient that is not reported; under autocast the second.
# Another number of threads moves a float32 gradient by 1e-6, and another kernel one of bfloat16 by 1e-2.
_TOLERANCE = 1e-3
_AUTOCAST_TOLERANCE = 5e-2
# The share of dropped activations may be off by this many standard errors.
_ERRORS = 6.0
# Losses with dropout that vary less than this, relatively, do not vary.
_CONSTANT = 1e-6
# Tokens decide these inputs of a model.
_FROM_TOKENS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})


def fixed_batch_causes(
    old: FixedBatch | None,
    new: FixedBatch | None,
    *,
    same_tokens: bool,
    same_start: bool,
    explained: Collection[str],
    autocast: bool,
    hidden_dropout: bool,
) -> Iterator[Cause]:
    """Yield the differences between the inputs, the dropout, the loss and the gradients of the fixed batch.

    Args:
        old: The earlier measurement; None if it was not recorded.
        new: The later one.
        same_tokens: Whether the tokenizers agree. Other tokens make other inputs.
        same_start: Whether the weights, the config and the modules agree too, so that logits are comparable.
        explained: Names of the differing settings and config values.
        autocast: Whether a side computes under autocast, or the sides in other precisions.
        hidden_dropout: Whether the training used dropout of the plugin's own instead of the library's.
    """
    if old is None or new is None:
        return
    tolerance = _AUTOCAST_TOLERANCE if autocast else _TOLERANCE
    same_logits = _same_logits(old, new, tolerance)
    inputs = [*_input_causes(old, new, same_tokens=same_tokens, same_logits=same_logits)]
    yield from inputs
    if not any("dropout" in name for name in explained):
        yield from (
            Cause(f"{sentence}{_hidden(hidden=hidden_dropout)}", "training", "dropout")
            for sentence in _dropout_sentences(old, new)
        )
    if new.mode and not old.mode:
        module, share = new.mode.rsplit(" ", 1)
        yield Cause(
            "in training mode the model computes something else than in evaluation mode, even without dropout: the "
            f"first difference is in {module} (roughly {rough_percent(float(share))} off)",
            "training",
            module,
        )
        return
    same_start = same_start and all(cause.is_note for cause in inputs)
    if same_start and not same_logits:
        yield Cause("in training, the same inputs and weights give other logits for the fixed batch", "training")
        return
    yield from _loss_causes(old, new, explained, tolerance, same_start=same_start)


def same_course(old: FixedBatch, new: FixedBatch) -> bool:
    """Return whether both sides have the same logits and the same gradients up to a factor, up to rounding."""
    before, after = _gradients(old), _gradients(new)
    if not before or before.keys() != after.keys() or not _same_logits(old, new, _TOLERANCE):
        return False
    one, other = (np.concatenate([*side.values()]) for side in (before, after))
    lengths = [float(np.linalg.norm(side)) for side in (one, other)]
    if not all(lengths):
        return not any(lengths)
    return bool(np.linalg.norm(other / lengths[1] - one / lengths[0]) <= _TOLERANCE)


def same_function(old: FixedBatch, new: FixedBatch) -> bool:
    """Return whether both sides compute the same logits, loss, length of each gradient, and share of dropout.

    Permuted weights give the same lengths of gradients, but other projections.
    """
    before, after = _gradients(old), _gradients(new)
    lengths = np.array([(before[name][0], after[name][0]) for name in after if name in before]).reshape(-1, 2)
    return (
        _same_logits(old, new, _TOLERANCE)
        and abs(new.loss - old.loss) <= _TOLERANCE * abs(old.loss)
        and bool(len(lengths))
        and bool((np.ptp(lengths, axis=1) <= _TOLERANCE * lengths.max()).all())
        and not any(_dropout_sentences(old, new))
        and bool(new.mode) == bool(old.mode)
    )


def _hidden(*, hidden: bool) -> str:
    return (
        "; the fast path draws masks of its own, so its accuracy may not show it (--sst2-path stock)" if hidden else ""
    )


def _same_logits(old: FixedBatch, new: FixedBatch, tolerance: float) -> bool:
    """Return whether both sides have the same logits, relative to the largest."""
    one, other = (np.array(unpacked_floats(side.logits)) for side in (old, new))
    if len(one) != len(other) or not len(one):
        return False
    return bool(np.abs(one - other).max() <= tolerance * max(np.abs(one).max(), 1e-9))


def _input_causes(old: FixedBatch, new: FixedBatch, *, same_tokens: bool, same_logits: bool) -> Iterator[Cause]:
    """Yield each input that differs, as a note if no logit moved."""
    rank = Rank.NOTE if same_logits else Rank.EXPLAINS
    others: dict[str, list[str]] = {}
    for name in dict.fromkeys([*old.inputs, *new.inputs]):
        before, after = old.inputs.get(name), new.inputs.get(name)
        if before == after or (name in _FROM_TOKENS and not same_tokens):
            continue
        if name == "labels" and before and after:
            yield Cause("in training the model is given other labels for the same sentences", "training", name)
        elif before and after:
            others.setdefault(_difference(before, after), []).append(name)
        elif not same_logits:
            what = "is now" if after else "is no longer"
            yield Cause(f"in training the model {what} given {name}", "training", name)
    for difference, names in others.items():
        sentence = f"in training the model is given other {', '.join(names)} for the same sentences{difference}"
        yield Cause(sentence, "training", names[0], rank=rank)


def _difference(before: str, after: str) -> str:
    (old_shape, old_count), (shape, count) = _shape_and_count(before), _shape_and_count(after)
    if old_shape != shape:
        return f": of shape {shape}, was {old_shape}"
    return f": {count} of its values are not 0, were {old_count}" if count != old_count else ""


def _shape_and_count(text: str) -> tuple[str, str]:
    found = re.match(r"([\dx]*), (\d+) not 0", text)
    return (found[1], found[2]) if found else (text, "")


def _dropout_sentences(old: FixedBatch, new: FixedBatch) -> Iterator[str]:
    if old.dropout and not new.dropout:
        yield f"the library's dropout is off in training, made {_rates(old.dropout)}"
    elif new.dropout and not old.dropout:
        yield f"the library's dropout is on in training ({_rates(new.dropout)}), was off"
    elif old.dropout.keys() != new.dropout.keys():
        yield f"in training the library's dropout makes {_rates(new.dropout)}, made {_rates(old.dropout)}"
    elif _other_share(old, new):
        yield (
            f"the library's dropout sets {100 * (new.dropped or 0):.1f} % of the activations to zero, was "
            f"{100 * (old.dropped or 0):.1f} %, although its rates are the same ({_rates(new.dropout)})"
        )
    elif _varies(old) and not _varies(new):
        yield "the library's dropout no longer changes the loss, although its rates are the same"
    elif old.dropout != new.dropout:
        yield f"in training the library's dropout makes {_rates(new.dropout)}, made {_rates(old.dropout)}"


def _rates(dropout: Mapping[str, int]) -> str:
    return ", ".join(f"{plural(count, 'call')} at rate {rate}" for rate, count in dropout.items())


def _other_share(old: FixedBatch, new: FixedBatch) -> bool:
    if old.dropped is None or new.dropped is None:
        return False
    variance = sum(max(side.dropped or 0, 0.01) / max(1, side.activations) for side in (old, new))
    return abs(new.dropped - old.dropped) > float(_ERRORS * variance**0.5)


def _varies(side: FixedBatch) -> bool:
    return len(side.masked_losses) == 2 and side.masked_losses[1] > _CONSTANT * abs(side.masked_losses[0])


def _loss_causes(
    old: FixedBatch, new: FixedBatch, explained: Collection[str], tolerance: float, *, same_start: bool
) -> Iterator[Cause]:
    """Yield the difference of the loss from the cross-entropy of the logits, else those of the gradients."""
    if any(name.startswith(("label_smoothing", "gradient_accumulation")) for name in explained):
        return
    if old.cross_entropy and new.cross_entropy:
        before, after = (side.loss / (side.cross_entropy or 1) for side in (old, new))
        if abs(after - before) > tolerance * max(abs(before), abs(after)):
            yield Cause(
                f"the loss of the fixed batch is {after:.4g} × the cross-entropy of the model's logits, was "
                f"{before:.4g} ×",
                "training",
                "loss",
                f"{old.loss:.6g}",
                f"{new.loss:.6g}",
            )
            return
    if same_start:
        yield from _gradient_causes(old, new, tolerance)


def _gradient_causes(old: FixedBatch, new: FixedBatch, tolerance: float) -> Iterator[Cause]:
    """Yield the differences between the gradients of the same loss."""
    before, after = _gradients(old), _gradients(new)
    common = [name for name in after if name in before]
    scale = max((before[name][0] for name in common), default=0.0)
    distances = {name: float(np.abs(after[name] - before[name]).max()) for name in common}
    differing = [
        name for name in common if distances[name] > tolerance * max(before[name][0], after[name][0], 1e-3 * scale)
    ]
    if not differing:
        return
    ratios = np.array([after[name][0] / before[name][0] for name in common if before[name][0]])
    same = "from the same inputs, weights and loss"
    if len(differing) == len(ratios) and np.ptp(ratios) < tolerance * ratios.mean():
        yield Cause(
            f"the gradient of the fixed batch is {ratios.mean():.2f} × what it was, {same}", "training", "gradient"
        )
        return
    if (
        old.logit_gradient
        and new.logit_gradient
        and np.abs(np.subtract(new.logit_gradient, old.logit_gradient)).max() > tolerance
    ):
        (before_ratio, before_cosine), (ratio, cosine) = old.logit_gradient, new.logit_gradient
        yield Cause(
            f"the gradient at the logits of the fixed batch is {ratio:.3g} × that of the cross-entropy (cosine "
            f"{cosine:.3f}), was {before_ratio:.3g} × ({before_cosine:.3f}): another loss, or another gradient of it",
            "training",
            "loss",
        )
        return
    last = differing[-1]
    gone = [name for name in differing if not after[name][0]]
    if gone == differing:
        yield Cause(
            f"no gradient reaches {len(gone)} of {len(common)} modules any more ({shorten(gone[::-1], 3)}), {same}",
            "training",
            last,
        )
        return
    yield Cause(
        f"the gradient of the fixed batch differs in {len(differing)} of {len(common)} modules, {same}; backwards from "
        f"the loss, {last} is the first",
        "training",
        last,
    )


def _gradients(side: FixedBatch) -> dict[str, np.ndarray]:
    """Return length and projection of the gradient of each module, in the order of the model."""
    values = np.array(unpacked_floats(side.gradients)).reshape(-1, 2)
    return dict(zip(unpacked_text(side.modules).splitlines(), values, strict=True))
