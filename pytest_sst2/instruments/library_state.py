"""Settings of torch, NumPy and scikit-learn that another test of the same process may have left changed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

# NumPy's own defaults.
_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
# Settings of scikit-learn that only change how an estimator is printed.
_PRINTING = ("display", "print_changed_only")
_OWN = __name__.partition(".")[0]


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
            if torch.get_default_device().type == "cpu":  # otherwise a block such as `with torch.device(...)` set it
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
        changed += [*_disable_modes(stack), *_remove_hooks(stack), *_reset_sklearn(stack)]
        if np.geterr() != _NUMPY_ERRORS:
            changed.append(f"np.seterr({', '.join(f'{name}={value!r}' for name, value in np.geterr().items())})")
            stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        sentence = f"measured with the libraries' defaults, not with what was set: {', '.join(changed)}"
        yield (sentence,) if changed else ()


def _disable_modes(stack: ExitStack) -> Iterator[str]:
    """Leave the modes that see every call of torch, and yield their names, but not that of a default device."""
    with contextlib.suppress(ImportError, AttributeError):  # another release of torch may lack its private functions
        from torch import overrides
        from torch.utils import _python_dispatch
        from torch.utils._device import DeviceContext

        modes: list[Any] = overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        for mode in reversed(modes):
            if not isinstance(mode, DeviceContext):
                yield f"torch function mode {type(mode).__name__}"
            stack.enter_context(overrides._pop_mode_temporarily())
        if modes := _python_dispatch._get_current_dispatch_mode_stack():
            yield from (f"torch dispatch mode {type(mode).__name__}" for mode in modes)
            stack.enter_context(_python_dispatch._disable_current_modes())


def _remove_hooks(stack: ExitStack) -> Iterator[str]:
    """Remove the hooks that torch calls for every module or optimizer, and yield their kinds.

    Hooks of this package stay: ``pytest-sst2 upgrade`` traces a whole run by them.
    """
    from torch.nn.modules import module
    from torch.optim import optimizer

    for name, hooks in {**vars(module), **vars(optimizer)}.items():
        if not (name.startswith("_global_") and isinstance(hooks, dict)):
            continue
        foreign = [key for key, hook in hooks.items() if callable(hook) and not _is_own(hook)]
        if foreign:
            yield name.strip("_").replace("_", " ")
            stack.callback(_restore, hooks, dict(hooks))
            for key in foreign:
                del hooks[key]


def _is_own(hook: Callable[..., Any]) -> bool:
    return str(getattr(hook, "__module__", "")).partition(".")[0] == _OWN


def _restore(hooks: dict[int, Any], before: dict[int, Any]) -> None:
    hooks.clear()
    hooks.update(before)


def _reset_sklearn(stack: ExitStack) -> Iterator[str]:
    """Set scikit-learn's configuration to its defaults if it is loaded, and yield what was set otherwise."""
    sklearn: Any = sys.modules.get("sklearn")
    if sklearn is None:
        return
    with ThreadPoolExecutor(1) as pool:  # the configuration is per thread, so that of a new one has the defaults
        defaults = pool.submit(sklearn.get_config).result()
    changed = {name: value for name, value in sklearn.get_config().items() if value != defaults[name]}
    for name in _PRINTING:
        changed.pop(name, None)
    if changed:
        yield f"sklearn.set_config({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
        stack.enter_context(sklearn.config_context(**{name: defaults[name] for name in changed}))
