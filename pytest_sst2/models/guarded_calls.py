"""Calls into the libraries that load models: silent, and whatever goes wrong in them in one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pytest_sst2.utils.errors import Sst2Error

T = TypeVar("T")
# What the tokenizers' Rust code raises where it finds itself in a state it did not foresee; it is no Exception.
_PANIC = "PanicException"


@dataclass(frozen=True)
class LibraryCall:
    """Something that the libraries are asked to do with a model.

    Args:
        name: The model's.
        talkative: Let the libraries say what they load, and how far they are.
    """

    name: str
    talkative: bool = False

    def __call__(self, part: str, ask: Callable[[], T], *, done: str = "loaded") -> T:
        """Return what ``ask`` returns.

        Args:
            part: What of the model is concerned.
            ask: Does it.
            done: What could not be done with that part, where it fails.

        Raises:
            Sst2Error: Anything went wrong.
        """
        try:
            with contextlib.nullcontext() if self.talkative else _quiet_transformers():
                return ask()
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            reason = " ".join(str(error).split()) or "no reason given"
            raise Sst2Error(
                f"model {self.name!r}: its {part} could not be {done} ({type(error).__name__}: {reason[:300]})."
            ) from error


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep load reports and progress bars out of the output, and put the user's choices back afterwards."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        disable_progress_bars()
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        # The line above switches the Hub's bars on, and the one before it switched them off.
        (enable_progress_bars if hub_bars else disable_progress_bars)()
