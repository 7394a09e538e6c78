"""Call the libraries that load models offline and without their output, and raise every failure as one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pytest_sst2.models.kinds import library_reason
from pytest_sst2.utils.errors import Sst2Error

T = TypeVar("T")
# Raised by a panic in the Rust code of tokenizers. It is not an Exception.
_PANIC = "PanicException"


@dataclass(frozen=True)
class LibraryCall:
    """Calls libraries for one model.

    Args:
        name: The model's name, for messages.
        verbose: Show the libraries' log messages and progress bars.
    """

    name: str
    verbose: bool = False

    def __call__(self, part: str, call: Callable[[], T], *, done: str = "loaded") -> T:
        """Return the result of ``call``.

        Args:
            part: The part of the model, for the message.
            call: Calls the libraries.
            done: What fails with that part, as a past participle for the message.

        Raises:
            Sst2Error: ``call`` raised any exception.
        """
        try:
            with _offline(), contextlib.nullcontext() if self.verbose else _quiet_transformers():
                return call()
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            text = " ".join(str(error).split())
            details = f"{type(error).__name__}: {text[:300] or 'no reason given'}"
            reason = library_reason(text) or f"its {part} could not be {done} ({details})"
            raise Sst2Error(f"model {self.name!r}: {reason}.") from error


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Make the libraries work as with HF_HUB_OFFLINE=1, and restore the user's setting afterwards.

    Some calls inside sentence-transformers do not pass on ``local_files_only``, so a config could name a repository.
    """
    import huggingface_hub
    from transformers.utils import hub

    places = [(huggingface_hub.constants, "HF_HUB_OFFLINE"), (hub, "_is_offline_mode")]
    before = [(place, name, getattr(place, name)) for place, name in places if hasattr(place, name)]
    # Until 0.36 huggingface_hub reads the setting when it creates the session of a thread.
    reset_sessions = getattr(huggingface_hub.utils, "reset_sessions", lambda: None)
    try:
        for place, name, _ in before:
            setattr(place, name, True)
        reset_sessions()
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
        reset_sessions()


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Disable load reports and progress bars, and restore the user's settings afterwards."""
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
        # The calls above also change the progress bars of huggingface_hub.
        (enable_progress_bars if hub_bars else disable_progress_bars)()
