"""The error message of a cell that runs out of memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pytest_sst2.config.recipes import Recipe
from pytest_sst2.config.specs import Cell
from pytest_sst2.models.out_of_memory import (
    failed_allocation,
    is_accelerator_full,
    is_out_of_memory,
    release_memory,
)
from pytest_sst2.utils.errors import Sst2Error


@contextlib.contextmanager
def out_of_memory_explained(cell: Cell, recipe: Recipe) -> Iterator[None]:
    """Turn an out-of-memory error of the body into a message with the options that need less, and free the memory.

    Args:
        cell: The cell that the body measures.
        recipe: Its recipe.

    Raises:
        Sst2Error: The body ran out of memory.
    """
    message = ""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        message = _message(error, cell, recipe)
        release_memory(error)
    # Raised outside the handler, because its context would keep the first error and its memory alive.
    if message:
        raise Sst2Error(message)


def _message(error: BaseException, cell: Cell, recipe: Recipe) -> str:
    where = "the accelerator" if is_accelerator_full(error) else "this process"
    size = failed_allocation(error)
    failed = f" (allocating {size} failed)" if size else ""
    work, remedy = _work_and_remedy(cell, recipe)
    return f"out of memory: {where} has no room for {cell.method.name} {work}{failed}. Use a smaller {remedy}."


def _work_and_remedy(cell: Cell, recipe: Recipe) -> tuple[str, str]:
    """Return the uses of memory in a cell, and the options that lower them."""
    if cell.model is None:
        return f"on {recipe.train_size or 'all'} training rows", "--sst2-train-size"
    smaller_model = "or a smaller model in --models"
    if cell.method.name == "fine-tune":
        return (
            f"of {cell.model.name} with batches of {recipe.batch_size} rows of up to {recipe.max_length} tokens",
            f"--sst2-batch-size or --sst2-max-length, {smaller_model}",
        )
    length = f"up to {recipe.probe_max_length} tokens" if recipe.probe_max_length else "any length"
    return (
        f"on {cell.model.name} with sentences of {length}",
        f"--sst2-max-length or --sst2-train-size, {smaller_model}",
    )
