"""Running out of memory: told from other errors, said in a sentence, and what it held let go. Loads no library."""

from __future__ import annotations

import contextlib
import errno
import gc
import re
import sys
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.recipes import Recipe
    from pytest_sst2.config.specs import Cell

# Into how many parts a batch is divided when whole ones do not fit onto the accelerator.
HALVES = 2
# How it is said where there is no class for it: by torch and what it maps into memory, by Rust, by Apple's GPU, and by
# NVIDIA's libraries.
_ON_THE_CPU = ("DefaultCPUAllocator: ", "Cannot allocate memory")
_ON_AN_ACCELERATOR = ("CUDA out of memory", "MPS backend out of memory", "_STATUS_ALLOC_FAILED", "CUDA error: out of")
_ASKED = re.compile(r"(?:allocate|mmap) ([0-9.,]+) ?(bytes|[KMGT]i?B)\b")
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_STEP = 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error, or what led to it, is that no more memory was to be had, the machine's or a GPU's."""
    return any(_is_of_machine(each) or _is_of_accelerator(each) for each in _chain(error))


def is_accelerator_full(error: BaseException) -> bool:
    """Tell whether an error, or what led to it, is that an accelerator's memory is full."""
    return any(map(_is_of_accelerator, _chain(error)))


def let_go(error: BaseException) -> None:
    """Free what the frames of an error's traceback hold: models, gradients, activations.

    The traceback still says where the error came from, but no longer keeps the frames' variables.
    """
    for each in _chain(error):
        traceback.clear_frames(each.__traceback__)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def told_in_a_sentence(cell: Cell, recipe: Recipe) -> Iterator[None]:
    """Say of memory that runs out in the body what was asked for and what takes less, and keep nothing alive.

    Args:
        cell: What is trained and measured there.
        recipe: How.

    Raises:
        Sst2Error: Memory ran out.
    """
    said = ""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = _sentence(error, cell, recipe)
        let_go(error)
    # Not in the handler: an error raised there would hold the first, and with it what ran out.
    if said:
        raise Sst2Error(said)


def _sentence(error: BaseException, cell: Cell, recipe: Recipe) -> str:
    where = "the accelerator" if is_accelerator_full(error) else "this process"
    more = f" ({asked} more were asked for)" if (asked := _asked(error)) else ""
    return f"out of memory: {where} has no room{more} for {cell.method.name} {_work(cell, recipe)}"


def _work(cell: Cell, recipe: Recipe) -> str:
    """Return what a cell does that takes memory, and which options make that less."""
    smaller = "a smaller model in --models"
    if cell.model is None:
        return f"on {recipe.train_size or 'all'} training rows. Less is taken by a smaller --sst2-train-size."
    if cell.method.name == "fine-tune":
        return (
            f"of {cell.model.name} with batches of {recipe.batch_size} rows of up to {recipe.max_length} tokens. Less "
            f"is taken by a smaller --sst2-batch-size or --sst2-max-length, or {smaller}."
        )
    long = f"of up to {recipe.probe_max_length} tokens" if recipe.probe_max_length else "as long as it reads them"
    return (
        f"on {cell.model.name} with sentences {long}. Less is taken by a smaller --sst2-max-length or "
        f"--sst2-train-size, or {smaller}."
    )


def _asked(error: BaseException) -> str:
    """Return how much was asked for when there was no more, such as ``3.7 GB``; empty where the error does not say."""
    for each in _chain(error):
        if found := _ASKED.search(str(each)):
            amount = float(found[1].replace(",", ""))
            if found[2] != "bytes":
                return f"{amount:.1f} {found[2][0]}B"
            unit = 0
            while amount >= _STEP and unit < len(_UNITS) - 1:
                amount, unit = amount / _STEP, unit + 1
            return f"{amount:.1f} {_UNITS[unit]}"
    return ""


def _is_of_machine(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(part in str(error) for part in _ON_THE_CPU)


def _is_of_accelerator(error: BaseException) -> bool:
    # torch.OutOfMemoryError was torch.cuda.OutOfMemoryError before 2.5.
    if any(kind.__name__ == "OutOfMemoryError" and kind.__module__.startswith("torch") for kind in type(error).__mro__):
        return True
    return any(part in str(error) for part in _ON_AN_ACCELERATOR)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error, what it was raised from, what that was raised from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
