"""Sketch the output of every module of an encoder while it embeds sentences one by one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.instruments.forward_watch import observable_modules
from pytest_sst2.instruments.tensor_sketch import as_float32, project, storable
from pytest_sst2.results.fingerprint import ModuleSketches
from pytest_sst2.results.packing import packed_floats, packed_text

# The array that a mapping of a module's results is about, the first that it has.
_MAIN = ("sentence_embedding", "token_embeddings", "last_hidden_state", "logits")
# Each call uses other signs, so that equal outputs of two sentences do not cancel.
_STEP = 7919


@dataclass(frozen=True)
class _Known:
    """What was measured of a tensor. It is kept, so that no other one gets its id."""

    tensor: Any
    values: np.ndarray
    measured: tuple[float, ...]


class ModuleWatch:
    """Sums up what the modules of an encoder read and returned, in the order in which they first completed."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._sums: dict[str, np.ndarray] = {}
        # Which tokens of the sentence are none of padding, bool, of shape (t,); None without padding or a mask.
        self._read: Any = None
        # What was measured of the tensors of the current call, by their id. Most modules read what another returned.
        self._known: dict[int, _Known] = {}
        self._known_call = -1

    def sketches(self) -> ModuleSketches | None:
        """Return the sketches; None if no module was observed."""
        if not self._sums:
            return None
        values = np.array(list(self._sums.values()))
        values[:, [0, 2]] = np.sqrt(values[:, [0, 2]])  # sums of squares become lengths
        sketch = packed_floats(storable(values.ravel()), compressed=True)
        return ModuleSketches(packed_text("\n".join(self._sums)), sketch)

    def see(self, _module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Take the attention mask from a module's arguments, so that padding is left out of its sketches."""
        with contextlib.suppress(Exception):
            for values in (*args, kwargs):
                mask = values.get("attention_mask") if isinstance(values, Mapping) else None
                if mask is not None and mask.ndim == 2:
                    read = mask[0].bool()
                    self._read = None if read.all() else read

    def collect(self, name: str, _module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Add one call of a module. An unusual output is left out, because no measurement may end a run."""
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            call = self._calls.get(name, 0)
            of_output = self._measured(output, call)
            if of_output is None:
                return
            self._calls[name] = call + 1
            of_input = self._measured((*args, *kwargs.values()), call)
            row = np.array([*((np.nan, np.nan) if of_input is None else of_input[:2]), *of_output])
            self._sums[name] = self._sums[name] + row if name in self._sums else row

    def _measured(self, value: Any, call: int) -> tuple[float, ...] | None:
        """Return the sum of squares of the array in a value, and two projections; None without an array."""
        if (tensor := _main_tensor(value)) is None:
            return None
        if call != self._known_call:
            self._known, self._known_call = {}, call
        values, known = _flat(tensor, self._read), self._known.get(id(tensor))
        # A module may have changed the tensor in place.
        if known is not None and np.array_equal(known.values, values):
            return known.measured
        values = values.astype(np.float64)
        measured = (float(np.einsum("i,i->", values, values)), *project(values, 2, call * _STEP).tolist())
        self._known[id(tensor)] = _Known(tensor, values, measured)
        return measured


@contextlib.contextmanager
def watch_modules(module: Any) -> Iterator[ModuleWatch]:
    """Watch the modules inside ``module`` during the body, except those inside a compiled graph."""
    watch = ModuleWatch()
    with contextlib.ExitStack() as stack:
        for name, part in observable_modules(module) if hasattr(module, "named_modules") else ():
            if hasattr(part, "register_forward_hook"):
                hook = functools.partial(watch.collect, name)
                stack.enter_context(part.register_forward_pre_hook(watch.see, with_kwargs=True))
                stack.enter_context(part.register_forward_hook(hook, with_kwargs=True))
        yield watch


def _main_tensor(value: Any) -> Any:
    """Return the first floating-point tensor in a value, else the first one, of token ids; else None."""
    tensors = [*_tensors(value)]
    return next((tensor for tensor in tensors if tensor.is_floating_point()), tensors[0] if tensors else None)


def _flat(tensor: Any, read: Any) -> np.ndarray:
    """Return the values of a tensor as a flat array, float32. If it has a row per token, only those ``read`` count."""
    if read is not None and tuple(tensor.shape[:2]) == (1, len(read)):
        tensor = tensor[:, read]
    return as_float32(tensor).reshape(-1)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        main = [value[name] for name in _MAIN if value.get(name) is not None]
        yield from _tensors(main[:1] or list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, "is_floating_point") and value.numel():
        yield value
