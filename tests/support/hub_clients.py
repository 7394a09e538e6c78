"""Use the loopback Hub from huggingface_hub in this process, or from a new process."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

import pytest_sst2
from pytest_sst2.hub import download as hub_download
from pytest_sst2.hub import worker as hub_worker
from pytest_sst2.hub.errors import HubError, long_pause
from pytest_sst2.utils.errors import Sst2Error
from tests.support.loopback_hub import LoopbackHub, running_hub

LISTING_IS_KEPT = pytest.mark.skipif(
    not hasattr(huggingface_hub, "get_cached_repo_tree"), reason="huggingface_hub before 2.0 keeps no listing"
)


@contextlib.contextmanager
def hub_of_this_process(cache: Path) -> Iterator[LoopbackHub]:
    """Yield a running server that huggingface_hub in this process uses as the Hub, with an empty cache."""
    from huggingface_hub import constants, file_download

    with running_hub() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("HF_TOKEN", raising=False)
        patch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        # Before 1.0 the client keeps a copy of it.
        patch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
        patch.setattr(hub_download, "_run", run_in_this_process)
        forget_sessions()
        hub_download._unreachable_reason.cache_clear()
        yield server
    forget_sessions()
    hub_download._unreachable_reason.cache_clear()


def run_in_this_process(request: hub_worker.Request, root: Path) -> Path:
    """Download in this process, to save the second that a new process takes to start."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        return hub_worker.download(request, _refuse_long_pauses)
    except HubError:
        raise
    except Sst2Error as error:
        raise HubError(str(error)) from error
    finally:
        enable_progress_bars()


def _refuse_long_pauses(kind: str, value: object) -> None:
    if kind == "wait" and isinstance(value, float) and value > hub_worker.LONGEST_PAUSE_SECONDS:
        raise long_pause("the loopback Hub", value)


def ask_in_new_process(script: str, *, endpoint: str, home: Path) -> Any:
    """Run ``script`` in a new interpreter, and return the JSON in its last output line."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TMPDIR", "LANG")}
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**kept, **own, "NO_PROXY": "127.0.0.1"},
        cwd=Path(pytest_sst2.__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def forget_sessions() -> None:
    """Close the sessions of huggingface_hub, in releases before and since 1.0."""
    if hasattr(huggingface_hub, "close_session"):
        huggingface_hub.close_session()
    else:
        from huggingface_hub.utils import reset_sessions

        reset_sessions()
