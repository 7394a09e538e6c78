"""Measure a fixed batch with the library's own modules: inputs, loss, gradients and dropout."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.modules import first_difference
from pytest_sst2.instruments.module_watch import watch_modules
from pytest_sst2.instruments.tensor_sketch import as_float32, project, storable
from pytest_sst2.instruments.update_rule import ratio_and_cosine
from pytest_sst2.results.packing import packed_floats, packed_text
from pytest_sst2.results.probe_sentences import probe_sentences, sentences_by_length
from pytest_sst2.results.training_steps import FixedBatch
from pytest_sst2.utils.hashing import short_digest

# From the model's inputs to the loss, as a training computes it.
LossOf = Callable[[dict[str, Any]], Any]

# Four of the shorter probe sentences: the batch costs less than a training step of usual size.
_SHORT = slice(7, 32, 8)
# Values of a larger gradient are sampled for its projection.
_PROJECTED = 2**18
_ATTENTION = "scaled_dot_product_attention"
# Sets of dropout masks.
_MASKS = 2
# Logits of evaluation and training mode that are further apart, relatively, are located by another pass of each.
_SAME_LOGITS = 1e-6


def fixed_examples() -> tuple[list[str], list[int]]:
    """Return the sentences of the batch, short ones of various lengths so that some are padded, and their labels."""
    sentences = [probe_sentences()[number] for number in sentences_by_length()[_SHORT]]
    return sentences, [number % 2 for number in range(len(sentences))]


def measure_fixed_batch(model: Any, batch: Mapping[str, Any], backward: LossOf, forward: LossOf) -> FixedBatch:
    """Return what a training computes for a batch; no weight, buffer, gradient or random generator is changed.

    ``backward`` computes a loss in training mode and its gradients, as a step does; ``forward`` only a loss.
    """
    import torch

    with _unchanged(model), _watched_calls(model) as calls:
        with _dropout(active=False):
            is_training = model.training
            model.eval()
            with torch.no_grad():
                forward({**batch})
            model.train(is_training)
            evaluated = as_float32(calls[-1].logits)
            loss = backward({**batch})
            gradients = _gradients(model)
            model.zero_grad(set_to_none=True)
            call = calls[-1]
            if call.labels is None:  # label smoothing takes them away
                call.labels = batch["labels"].cpu().numpy()
            logits = as_float32(call.logits)
            is_same = float(np.abs(logits - evaluated).max()) <= _SAME_LOGITS * float(np.abs(evaluated).max())
            mode = "" if is_same else _mode_difference(model, batch, forward)
        with _dropout(active=True) as dropout, torch.no_grad():
            masked = []
            for seed in range(_MASKS):
                _seed(model, seed)
                masked.append(float(forward({**batch})))
    return FixedBatch(
        inputs=call.inputs,
        loss=_short(float(loss)),
        cross_entropy=_short(call.cross_entropy()),
        logits=packed_floats(storable(logits.ravel())),
        logit_gradient=call.logit_gradient(),
        mode=mode,
        modules=packed_text("\n".join(gradients)),
        gradients=packed_floats(storable(value for pair in gradients.values() for value in pair)),
        dropout={f"{rate:g}": count // _MASKS for rate, count in sorted(dropout.rates.items())},
        dropped=round(dropout.dropped / dropout.activations, 5) if dropout.activations else None,
        activations=dropout.activations,
        masked_losses=(_short(float(np.mean(masked))), _short(float(np.std(masked, ddof=1)))),
    )


def _mode_difference(model: Any, batch: Mapping[str, Any], forward: LossOf) -> str:
    """Return the first module that computes something else in training mode, and by how much; empty without one."""
    import torch

    is_training, sketches = model.training, []
    for training in (False, True):
        model.train(training)
        with torch.no_grad(), watch_modules(model) as modules:
            forward({**batch})
        sketches.append(modules.sketches())
    model.train(is_training)
    difference = first_difference(*sketches)
    return "" if difference is None else f"{difference.module} {difference.output:.2g}"


def _short(value: float) -> float:
    return float(f"{value:.7g}")


@contextlib.contextmanager
def _unchanged(model: Any) -> Iterator[None]:
    """Put torch's random generators and the model's buffers, such as those of BatchNorm, back after the body."""
    import torch

    device = next(model.parameters()).device.type
    accelerator = getattr(torch, device) if device in ("cuda", "mps") else None
    states = torch.get_rng_state(), accelerator.get_rng_state() if accelerator else None
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        _seed(model, 0)
        yield
    finally:
        torch.set_rng_state(states[0])
        if accelerator:
            accelerator.set_rng_state(states[1])
        for buffer, value in buffers:
            buffer.copy_(value)


def _seed(model: Any, seed: int) -> None:
    import torch

    torch.default_generator.manual_seed(seed)
    device = next(model.parameters()).device.type
    if device in ("cuda", "mps"):
        getattr(torch, device).manual_seed(seed)


@dataclass
class _Call:
    """A call of the model: descriptions of its inputs, logits of shape (n, 2), and labels of shape (n,) if given."""

    inputs: dict[str, str]
    logits: Any
    labels: np.ndarray | None

    def cross_entropy(self) -> float:
        """Return the mean cross-entropy of the logits and the labels."""
        return float(-np.log(self._probabilities()[np.arange(len(self.logits)), self.labels]).mean())

    def logit_gradient(self) -> tuple[float, ...]:
        """Return ratio and cosine of the gradient at the logits to that of the cross-entropy; empty if unknown."""
        if self.logits.grad is None:
            return ()
        expected = self._probabilities()
        expected[np.arange(len(expected)), self.labels] -= 1
        actual = as_float32(self.logits.grad).astype(np.float64)
        return tuple(map(_short, ratio_and_cosine(actual.ravel(), expected.ravel() / len(expected))))

    def _probabilities(self) -> np.ndarray:
        logits = as_float32(self.logits).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@contextlib.contextmanager
def _watched_calls(model: Any) -> Iterator[list[_Call]]:
    """Collect what the model reads and returns in each call that gives logits."""
    calls: list[_Call] = []

    def collect(_module: Any, _args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        logits, labels = output["logits"], kwargs.get("labels")
        if logits.requires_grad:
            logits.retain_grad()
        inputs = {name: _described(value) for name, value in sorted(kwargs.items()) if getattr(value, "ndim", 0)}
        calls.append(_Call(inputs, logits, None if labels is None else labels.cpu().numpy()))

    with model.register_forward_hook(collect, with_kwargs=True):
        yield calls


def _described(value: Any) -> str:
    plain = value.detach().cpu()
    plain = plain.float().numpy() if plain.is_floating_point() else plain.numpy()
    shape = "x".join(map(str, plain.shape))
    return f"{shape}, {int(np.count_nonzero(plain))} not 0, {short_digest(np.ascontiguousarray(plain).tobytes(), 8)}"


def _gradients(model: Any) -> dict[str, tuple[float, float]]:
    """Return the length and one projection of the gradient of each module with weights of its own."""
    gradients: dict[str, tuple[float, float]] = {}
    for name, module in model.named_modules():
        own = list(module.named_parameters(recurse=False))
        if not own:
            continue
        square = projection = 0.0
        for number, (_, weight) in enumerate(own):
            if weight.grad is not None:
                square += float(weight.grad.norm()) ** 2
                flat = weight.grad.reshape(-1)[:: weight.numel() // _PROJECTED + 1]
                projection += float(project(as_float32(flat), 1, 7919 * number)[0])
        gradients[name or "model"] = (square**0.5, projection)
    return gradients


class _Dropout:
    """Counts what the active dropout functions do."""

    def __init__(self) -> None:
        self.rates: Counter[float] = Counter()
        self.dropped = self.activations = 0


@contextlib.contextmanager
def _dropout(*, active: bool) -> Iterator[_Dropout]:
    """Count the calls of dropout functions in the body; unless ``active`` they return their input."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    counts = _Dropout()

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            # By its name, because a package may have replaced it by a function that calls it.
            if getattr(function, "__name__", "") == _ATTENTION:
                rate = kwargs.get("dropout_p", args[4] if len(args) > 4 else 0.0)
                if active and rate:
                    counts.rates[round(float(rate), 6)] += 1
                elif rate:
                    args, kwargs["dropout_p"] = args[:4], 0.0
                    kwargs |= dict(zip(("is_causal",), args[5:6], strict=False))
            elif function in (functional.dropout, torch.dropout):
                return self._dropout(function, args, kwargs)
            return function(*args, **kwargs)

        def _dropout(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
            names = ("input", "p", "train" if function is torch.dropout else "training", "inplace")
            values = dict(zip(names, args, strict=False)) | kwargs
            rate, training = float(values.get("p", 0.5)), bool(values.get(names[2], True))
            if not (training and active and rate):
                return values["input"]
            before = int(torch.count_nonzero(values["input"]))
            result = function(*args, **kwargs)
            counts.rates[round(rate, 6)] += 1
            counts.activations += before
            counts.dropped += before - int(torch.count_nonzero(result))
            return result

    with Mode():
        yield counts
