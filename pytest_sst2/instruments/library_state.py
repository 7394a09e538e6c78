"""Settings of torch and NumPy that another test of the same process may have left changed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

# NumPy's own defaults.
_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


@contextlib.contextmanager
def default_library_state(device: str) -> Iterator[tuple[str, ...]]:
    """Set what decides a cell's numbers to the defaults of the libraries, and restore it.

    The recipe decides the precision of a cell. Threads, matrix precision and determinism stay: users set them for a
    whole run, and the records have them.

    Args:
        device: Type of the cell's device, such as ``cpu``.

    Yields:
        A warning that names what was set otherwise, or none.
    """
    import numpy as np
    import torch

    changed = []
    with contextlib.ExitStack() as stack:
        if (dtype := torch.get_default_dtype()) != torch.float32:
            changed.append(f"default dtype {dtype}")
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        if (default_device := torch.get_default_device()).type != "cpu":
            changed.append(f"default device {default_device}")
            torch.set_default_device(None)
            stack.callback(torch.set_default_device, default_device)
        # Inference mode forbids gradients, so it ends first.
        if torch.is_inference_mode_enabled():
            changed.append("inference mode")
            stack.enter_context(torch.inference_mode(mode=False))
        if not torch.is_grad_enabled():
            changed.append("gradients off")
            stack.enter_context(torch.enable_grad())
        if torch.is_autocast_enabled(device):
            changed.append(f"autocast to {torch.get_autocast_dtype(device)}")
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_anomaly_enabled():
            changed.append("anomaly detection")
            stack.enter_context(torch.autograd.set_detect_anomaly(mode=False))
        if np.geterr() != _NUMPY_ERRORS:
            changed.append(f"np.seterr({', '.join(f'{name}={value!r}' for name, value in np.geterr().items())})")
            stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        sentence = f"measured with the libraries' defaults, not with what was set: {', '.join(changed)}"
        yield (sentence,) if changed else ()
