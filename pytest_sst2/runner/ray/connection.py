"""The connection to a Ray cluster, and Ray's errors as short sentences."""

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
_NODE_ID = re.compile(r"node ID: ([0-9a-f]+)")


def connect(address: str | None, cpus: int) -> tuple[Any, bool]:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: The cluster's address; None to start one.
        cpus: Cores that a cell needs. The started cluster has at least as many.

    Returns:
        The module ``ray``, and whether this call connected it.

    Raises:
        Sst2Error: There is no cluster at the address, or its version differs.
    """
    import ray

    if ray.is_initialized():
        return ray, False
    if address is not None:
        _check_reachable(address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _set_token()
        options |= {"num_cpus": max(workers.cores(), cpus), "include_dashboard": False}
    try:
        # Without "local", Ray would look for a cluster in its environment and on this machine.
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises many unrelated classes
        raise _no_cluster(address, first_sentence(error)) from error
    return ray, True


def _set_token() -> None:
    """Set a random token for a cluster that lasts as long as this run.

    By default Ray 2.60 writes a token to ``~/.ray``, which may be read-only. Its processes also read the variable.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _check_reachable(address: str) -> None:
    """Refuse an address that accepts no connection, because Ray itself would retry for minutes.

    Raises:
        Sst2Error: The address accepts no connection.
    """
    match = re.fullmatch(r"(?:ray://)?\[?([^\[\]/]+?)\]?:([0-9]{1,5})", address)
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, f"{getattr(error, 'strerror', None) or error}.") from error


def _no_cluster(address: str | None, reason: str) -> Sst2Error:
    return Sst2Error(
        f"no Ray cluster at {address or 'this machine'}: {reason} Start one with `ray start --head`, give another "
        "--sst2-ray-address, or leave the address out to start a cluster here for this run."
    )


def loss_reason(error: Exception) -> str:
    """Return why a cell was lost with its process or node; empty for an error that the cell itself raised."""
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):  # it is also an instance of the class that the task raised
        return ""
    if isinstance(error, exceptions.NodeDiedError):
        match = _NODE_ID.search(str(error))
        return f"node {match[1][:8]} was lost" if match else "its node was lost"
    if isinstance(error, exceptions.OutOfMemoryError):
        return "its process was killed because its node ran out of memory"
    if isinstance(error, exceptions.WorkerCrashedError | exceptions.LocalRayletDiedError):
        return "its process died"
    return "its result was lost with a node" if isinstance(error, exceptions.ObjectLostError) else ""


def original_error(error: Exception) -> Exception:
    """Return the error that a task raised on its node, with the node's traceback as a note."""
    if "No module named 'pytest_sst2" in str(error):
        return Sst2Error("its node has no pytest-sst2: install the version of this machine there.")
    cause = getattr(error, "cause", None)
    if not isinstance(cause, Exception):
        return error
    cause.add_note(f"On its node:\n{_COLOUR.sub('', str(error))}")
    return cause


def first_sentence(error: Exception) -> str:
    """Return the first sentence of one of Ray's messages, which may fill a page."""
    text = " ".join(str(error).split())
    return f"{text.split('. ')[0].rstrip('.')}."
