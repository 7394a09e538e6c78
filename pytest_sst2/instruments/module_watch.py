"""Sketch the output of every module of an encoder while it embeds sentences one by one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_sst2.instruments.tensor_sketch import as_float32, project, storable
from pytest_sst2.results.fingerprint import ModuleSketches
from pytest_sst2.results.packing import packed_floats, packed_text

# The array that a mapping of a module's results is about, the first that it has.
_MAIN = ("sentence_embedding", "token_embeddings", "last_hidden_state", "logits")
# Each call uses other signs, so that equal outputs of two sentences do not cancel.
_STEP = 7919


class ModuleWatch:
    """Sums up what the modules of an encoder read and returned, in the order in which they first completed."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._sums: dict[str, np.ndarray] = {}
        # Which tokens of the sentence are none of padding, bool, of shape (t,); None if no module was given a mask.
        self._read: Any = None

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
                    self._read = mask[0].bool()

    def collect(self, name: str, _module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Add one call of a module. An unusual output is left out, because no measurement may end a run."""
        with contextlib.suppress(Exception), np.errstate(all="ignore"):
            result = _array(output, self._read)
            if result is None:
                return
            call = self._calls.get(name, 0)
            self._calls[name] = call + 1
            read = _array((*args, *kwargs.values()), self._read)
            of_input = (
                (np.nan, np.nan) if read is None else (np.einsum("i,i->", read, read), *project(read, 1, call * _STEP))
            )
            row = np.array([*of_input, np.einsum("i,i->", result, result), *project(result, 2, call * _STEP)])
            self._sums[name] = self._sums[name] + row if name in self._sums else row


@contextlib.contextmanager
def watch_modules(module: Any) -> Iterator[ModuleWatch]:
    """Watch every module inside ``module`` during the body."""
    watch = ModuleWatch()
    with contextlib.ExitStack() as stack:
        for name, part in module.named_modules() if hasattr(module, "named_modules") else ():
            if name and hasattr(part, "register_forward_hook"):
                hook = functools.partial(watch.collect, name)
                stack.enter_context(part.register_forward_pre_hook(watch.see, with_kwargs=True))
                stack.enter_context(part.register_forward_hook(hook, with_kwargs=True))
        yield watch


def _array(value: Any, read: Any) -> np.ndarray | None:
    """Return the first floating-point array in a value, flat, float64; else the first of token ids; else None.

    Of an array with a row per token, only the tokens ``read`` count.
    """
    arrays = [*_tensors(value)]
    chosen = next((array for array in arrays if array.is_floating_point()), arrays[0] if arrays else None)
    if chosen is None:
        return None
    if read is not None and tuple(chosen.shape[:2]) == (1, len(read)) and not read.all():
        chosen = chosen[:, read]
    return as_float32(chosen).reshape(-1).astype(np.float64)


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        main = [value[name] for name in _MAIN if value.get(name) is not None]
        yield from _tensors(main[:1] or list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif hasattr(value, "is_floating_point") and value.numel():
        yield value
