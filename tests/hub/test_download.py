"""Test the reachability check, the limits of a download, and its child process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from pytest_sst2.hub import download
from pytest_sst2.hub.child import IDLE_VARIABLE
from pytest_sst2.hub.errors import HubError
from tests.support.hub_clients import ask_in_new_process, run_in_this_process
from tests.support.hub_faults import MODEL, Place, refused_port
from tests.support.hub_runs import assert_the_cache_is_sound, download_texts, load, refusal
from tests.support.loopback_hub import LoopbackHub, running_hub

RUN_IN_A_PROCESS = download._run
assert RUN_IN_A_PROCESS is not run_in_this_process

ASK_TWICE = """
import json, time
from huggingface_hub import HfApi, get_session, snapshot_download
from pytest_sst2.hub import download
from pytest_sst2.hub.child import IDLE_VARIABLE
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request
answers = []
for ask in (
    lambda: download.check_reachable(),
    lambda: download.download(Request("org/words", "model", None, "tests.support.hub_runs:select_texts"), None),
):
    start = time.perf_counter()
    try:
        ask()
    except HubError as error:
        answers.append([str(error), time.perf_counter() - start])
print(json.dumps(answers))
"""


@pytest.mark.parametrize("missing", ["refused port", "dead name", "silent server"])
def test_an_unreachable_hub_is_detected_soon_and_asked_once(missing: str, tmp_path: Path) -> None:
    with running_hub() as server:
        server.fault("", "hang")
        endpoint = {
            "refused port": refused_port(server),
            "dead name": "http://no-such-host.invalid",
            "silent server": server.address,
        }[missing]
        (clause, seconds), (second_clause, second_seconds) = ask_in_new_process(
            ASK_TWICE, endpoint=endpoint, home=tmp_path
        )
        requests = len(server.requests)
    assert endpoint in clause
    assert "reached" in clause or "no answer" in clause
    assert "\n" not in clause
    assert not clause.endswith(".")
    assert seconds < 5 * download.REACH_SECONDS  # a busy machine
    assert second_clause == clause
    assert second_seconds < download.REACH_SECONDS
    assert requests == (1 if missing == "silent server" else 0)


@pytest.mark.parametrize(
    ("variables", "clause"),
    [
        (
            {"http_proxy": "http://me:secret@127.0.0.1:9"},
            "cannot be reached through the proxy http://***@127.0.0.1:9 (",
        ),
        ({"http_proxy": "foo://proxy"}, "through the proxy foo://proxy ("),
        ({"HF_HUB_ETAG_TIMEOUT": "10s"}, "huggingface_hub cannot be loaded: invalid literal for int"),
    ],
    ids=["dead-proxy", "no-proxy", "no-number"],
)
def test_a_wrong_environment_variable_is_named(variables: dict[str, str], clause: str, tmp_path: Path) -> None:
    environment = {"NO_PROXY": "", **variables}
    script = (
        f"import os; os.environ.update({environment!r})"
        + """
import json
from pytest_sst2.hub import download
from pytest_sst2.hub.child import IDLE_VARIABLE
from pytest_sst2.utils.errors import Sst2Error
try:
    download.check_reachable()
except Sst2Error as error:
    print(json.dumps(str(error)))
"""
    )
    assert clause in ask_in_new_process(script, endpoint="http://hub.invalid", home=tmp_path)


@pytest.mark.parametrize(("times", "clause"), [(1, ""), (-1, "cannot be reached")])
def test_a_dropped_connection_is_retried_once(times: int, clause: str, empty_hub: LoopbackHub) -> None:
    empty_hub.fault("HEAD", "drop", times=times)
    with pytest.raises(HubError, match=clause) if clause else contextlib.nullcontext():
        download.check_reachable()
    assert len(empty_hub.requests) == 2


def test_offline_mode_is_named_and_no_request_is_sent(empty_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        download_texts("org/words")
    assert empty_hub.requests == []


@pytest.mark.parametrize("status", [404, 405, 503])
def test_a_hub_that_answers_the_reachability_check_with_an_error_is_reachable(
    empty_hub: LoopbackHub, status: int
) -> None:
    empty_hub.fault("HEAD /api/models", "status", status)
    download.check_reachable()
    download.check_reachable()
    assert empty_hub.requests == ["HEAD /api/models"]


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "inf"])
def test_an_invalid_patience_is_refused(value: str, server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IDLE_VARIABLE, value)
    assert f"{IDLE_VARIABLE} is {value!r}" in refusal(MODEL)


def test_a_cache_that_cannot_be_written_is_named(
    server: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    assert f"the cache in {tmp_path / 'file' / 'cache'} cannot be written (Not a directory)" in refusal(MODEL)


# --- the child process


@pytest.fixture
def own_process(server: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the client in a separate process, as for users."""
    monkeypatch.setattr(download, "_run", RUN_IN_A_PROCESS)


@pytest.mark.usefixtures("own_process")
def test_output_at_the_start_of_the_interpreter_does_not_matter(
    repositories: dict[Place, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printing = tmp_path / "printing"
    printing.mkdir()
    (printing / "sitecustomize.py").write_text(
        "import atexit\nprint('started')\nprint(1)\natexit.register(print, 2)\n", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(printing), prepend=os.pathsep)
    assert load(MODEL)
    assert_the_cache_is_sound(repositories[MODEL])


@pytest.mark.usefixtures("own_process")
def test_a_child_that_ends_without_an_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, sys\nprint('no room', file=sys.stderr)\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert "the download process ended without an answer (no room)" in refusal(MODEL)
