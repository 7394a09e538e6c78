"""Ray's side: a connection to it, and its errors in our words."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from typing import Any

from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error

_CONNECT_SECONDS = 10.0
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_NODE = re.compile(r"node ID: ([0-9a-f]+)")


def connected(address: str | None, cpus: int) -> tuple[Any, bool]:
    """Return Ray, connected, and whether that was done here.

    Raises:
        Sst2Error: Nothing answers at the address, or it is of another version.
    """
    import ray

    if ray.is_initialized():
        return ray, False
    if address is not None:
        _check_reachable(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _use_a_token_of_its_own()
        quiet |= {"num_cpus": max(workers.cores(), cpus), "include_dashboard": False}
    try:
        # Without "local", Ray would look for a cluster in its environment and on this machine.
        ray.init(address=address or "local", **quiet)
    except Exception as error:  # each way to fail has a class of its own
        raise _no_cluster(address, first_line(error)) from error
    return ray, True


def _use_a_token_of_its_own() -> None:
    """Let nobody else into a cluster that lives as long as this run, and write nothing into the home folder.

    Ray 2.60 makes a token for such a cluster by default, and keeps it in ``~/.ray``, which may be read-only; its
    processes take it from the environment too.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _check_reachable(address: str) -> None:
    """Refuse an address at which nobody listens: Ray itself would try for minutes.

    Raises:
        Sst2Error: Nobody does.
    """
    found = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:([0-9]{1,5})", address)
    if found is None:
        return
    try:
        socket.create_connection((found[1], int(found[2])), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, f"{getattr(error, 'strerror', None) or error}.") from error


def _no_cluster(address: str | None, reason: str) -> Sst2Error:
    return Sst2Error(
        f"no Ray cluster at {address or 'this machine'}: {reason} Start one with `ray start --head`, name another with "
        "--sst2-ray-address, or leave that out to start one here for this run."
    )


def loss_of(error: Exception) -> str:
    """Return what a cell was lost with, in a clause; empty for an error of its own."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):  # which is also an instance of what was raised inside the task
        return ""
    if isinstance(error, exceptions.NodeDiedError):
        named = _NODE.search(str(error))
        return f"node {named[1][:8]} was lost" if named else "its node was lost"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its process was ended, since its node had no memory left"
    if isinstance(error, exceptions.WorkerCrashedError | exceptions.LocalRayletDiedError):
        return "its process died"
    return "its answer was lost with a node" if isinstance(error, exceptions.ObjectLostError) else ""


def told(error: Exception) -> Exception:
    """Return the error of a task as it is told: the method's own, with where it came from on its node."""
    if "No module named 'pytest_sst2" in str(error):
        return Sst2Error("its node has no pytest-sst2: install the same version there as where the run is started.")
    cause = getattr(error, "cause", None)
    if not isinstance(cause, Exception):
        return error
    cause.add_note(f"On its node:\n{_COLOUR.sub('', str(error))}")
    return cause


def first_line(error: Exception) -> str:
    """Return the first sentence of what Ray says, which may go on for a page."""
    text = " ".join(str(error).split())
    return f"{text.split('. ')[0].rstrip('.')}."
