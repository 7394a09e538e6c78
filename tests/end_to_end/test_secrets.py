"""Plant secrets where users keep them, run the real commands, and search their outputs and files for the secrets.

Each secret has a unique core. The search covers every output and every file below the home, cache and working folders
of the commands. It doesn't cover what libraries print directly to a terminal (``-v``) or into a cluster's logs: that is
not promised.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pytest_sst2
from pytest_sst2.results.file import Results, results_text
from tests.support.record_factory import FAILURE, answered

pytestmark = pytest.mark.processes


def core(number: int) -> str:
    """Return the part of a secret that the search looks for."""
    return f"c0re{number:02}q7Zx"


def secret(number: int, before: str = "Pl4nted", after: str = "aBcDeFgHiJkLmNoP") -> str:
    return f"{before}{core(number)}{after}"


VARIABLES = {
    "HF_TOKEN": secret(1, "hf_Planted"),
    "HUGGING_FACE_HUB_TOKEN": secret(2, "hf_Planted"),
    "AWS_SECRET_ACCESS_KEY": secret(3),
    "GITHUB_TOKEN": secret(4, "ghp_Planted"),
    "RAY_AUTH_TOKEN": secret(5),
    "SOME_SERVICE_PASSWORD": secret(6),
    "ANOTHER_API_KEY": secret(7),
    "CLIENT_SECRET": secret(8),
}
PROXY, INDEX, EXTRA, UV, ENDPOINT, STORED, OPTION, OLD = map(secret, range(10, 18))
SECRETS = (*VARIABLES.values(), PROXY, INDEX, EXTRA, UV, ENDPOINT, STORED, OPTION, OLD)
CORES = [core(number) for number in (*range(1, 9), *range(10, 18))]

BENCHMARK = """
def test_cell(sst2_run):
    sst2_run.assert_reaches_floor(sst2_run.measure())
"""
METHODS = f"""
import logging
import os
import sys
import urllib.request
import warnings

import numpy as np
from pytest_sst2 import MethodSpec

NAMES = {tuple(VARIABLES)!r}

def _secrets():
    stored = open(os.path.join(os.environ["HF_HOME"], "token")).read().strip()
    return " ".join([*(os.environ[name] for name in NAMES), stored, *urllib.request.getproxies().values()])

def leaking(job):
    secrets = _secrets()
    print("printed", secrets)
    print("printed", secrets, file=sys.stderr)
    logging.getLogger("some.library").error("logged %s", secrets)
    warnings.warn("warned " + secrets)
    try:
        raise KeyError(secrets)
    except KeyError as error:
        raise ValueError("broken by " + secrets) from error

def quiet(job):
    return lambda sentences: np.linspace(0, 1, len(sentences))

def pytest_sst2_methods():
    return [MethodSpec("leaking", leaking, needs_model=False), MethodSpec("quiet", quiet, needs_model=False)]
"""


class _Refusing(BaseHTTPRequestHandler):
    """A Hub and a package index that refuse every request and repeat its credentials."""

    def do_GET(self) -> None:
        if self.path.rstrip("/").endswith("/api/models"):
            body, status = b"[]", 200
        else:
            sent = self.headers.get("Authorization", "none")
            body, status = f'{{"error": "refused {sent}"}}'.encode(), 401 if "org" in self.path else 403
        self.send_response(status)
        self.send_header("X-Error-Message", f"refused {self.headers.get('Authorization', 'none')}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def refusing() -> Iterator[int]:
    """Start a server that refuses everything; yield its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Workplace:
    """A home, a project and caches for the commands, and the output of each command."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.outputs: dict[str, str] = {}
        home = folder / "home"
        for name in ("home/hf", "tmp", "project"):
            (folder / name).mkdir(parents=True)
        (home / "hf" / "token").write_text(STORED)
        (self.project / "conftest.py").write_text(METHODS)
        (self.project / "test_bench.py").write_text(BENCHMARK)
        (self.project / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
        self.port = port
        kept = ("PATH", "LANG", "SYSTEMROOT")
        self.variables = {
            **{name: value for name, value in os.environ.items() if name in kept},
            **VARIABLES,
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PYTEST_SST2_CACHE": str(home / "sst2"),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": str(Path(pytest_sst2.__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_ENDPOINT": f"http://me:{ENDPOINT}@127.0.0.1:{port}",
            "HTTPS_PROXY": f"http://me:{PROXY}@127.0.0.1:1",
            "HTTP_PROXY": f"http://me:{PROXY}@127.0.0.1:1",
            "NO_PROXY": "127.0.0.1",
            "PIP_INDEX_URL": f"http://me:{INDEX}@127.0.0.1:{port}/simple",
            "PIP_EXTRA_INDEX_URL": f"http://{EXTRA}@127.0.0.1:{port}/more",
            "PIP_RETRIES": "0",
            "UV_HTTP_RETRIES": "0",
            "GITHUB_STEP_SUMMARY": str(self.project / "summary.md"),
        }

    def run(self, *words: object, status: int, module: str = "pytest", **variables: str) -> str:
        """Run a command and return its output."""
        command = [sys.executable, "-m", module, *map(str, words)]
        done = subprocess.run(
            command,
            cwd=self.project,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=900,
            check=False,
        )
        output = done.stdout + done.stderr
        self.outputs[f"{len(self.outputs)}: {module} {' '.join(map(str, words))}"] = output
        assert done.returncode == status, output
        return output

    def sst2(self, *words: object, status: int, **variables: str) -> str:
        """Run ``pytest-sst2`` and return its output."""
        return self.run(*words, status=status, module="pytest_sst2.cli.main", **variables)

    def leaks(self) -> list[str]:
        """Return every leak: the command of an output or the path of a file, and the text around the secret."""
        leaks = [f"{name}: {_around(text)}" for name, text in self.outputs.items() if _around(text)]
        planted = {self.folder / "home" / "hf" / "token", self.project / "old.json"}
        for path in self.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in planted:
                leaks += [
                    f"{path.relative_to(self.folder)}: {around}" for text in _texts(path) if (around := _around(text))
                ]
        return leaks

    def searched(self) -> tuple[int, int]:
        """Return how many outputs and files there are to search."""
        return len(self.outputs), sum(path.is_file() for path in self.folder.rglob("*"))


def _texts(path: Path) -> Iterator[str]:
    yield path.read_bytes().decode("utf-8", "replace")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name).decode("utf-8", "replace")


def _around(text: str) -> str:
    """Return the text around the first secret, plain or in base64; empty if there is none."""
    for part in CORES:
        if (at := text.find(part)) >= 0:
            return text[max(0, at - 80) : at + 40]
    for planted in SECRETS:
        for form in (f"me:{planted}", planted):
            encoded = base64.b64encode(form.encode()).decode().rstrip("=")
            if encoded in text:
                return f"in base64: {encoded}"
    return ""


@pytest.fixture
def workplace(tmp_path: Path, refusing: int) -> Workplace:
    return Workplace(tmp_path, refusing)


def test_the_search_finds_what_is_there(workplace: Workplace) -> None:
    (workplace.project / "leak.txt").write_text(f"a {VARIABLES['HF_TOKEN'][:20]}...")
    (workplace.project / "basic.txt").write_text(base64.b64encode(f"me:{INDEX}".encode()).decode())
    workplace.outputs["a command"] = OPTION
    assert len(workplace.leaks()) == 3


@pytest.mark.parametrize("style", [["-l"], ["--full-trace", "--log-level=DEBUG"], ["-n", "2"]], ids=" ".join)
def test_a_run_that_fails(workplace: Workplace, style: list[str]) -> None:
    files = ("--sst2-json=out.json", "--sst2-report=out", "--junitxml=junit.xml", "--benchmark-json=times.json")
    chosen = ("--sst2-data", "pocket", "--methods", "leaking,quiet", "-rA")
    output = workplace.run(*chosen, *files, *style, status=1)
    assert "broken by ***" in output
    assert "printed ***" in output
    assert "warned ***" in output
    assert workplace.leaks() == []
    outputs, written = workplace.searched()
    assert outputs == 1
    assert written >= 7


def test_runs_that_save_and_resume(workplace: Workplace) -> None:
    chosen = ("--sst2-data", "pocket", "--sst2-json=out.json", "-rA")
    workplace.run(*chosen, "--methods", "quiet", "--sst2-save=main", status=0)
    workplace.run(*chosen, "--methods", "leaking,quiet", "--sst2-resume=out.json", "--sst2-compare=main", status=1)
    assert workplace.leaks() == []


def test_a_hub_that_refuses(workplace: Workplace) -> None:
    words = (
        "--models",
        "org/name",
        "--methods",
        "linear-probe",
        "--sst2-data",
        "pocket",
        "--sst2-json=out.json",
        "-rA",
    )
    output = workplace.run(*words, "--log-level=DEBUG", "-l", status=1)
    assert "which has expired or was revoked (HTTP 401)" in output or "answered HTTP 40" in output
    assert "***@127.0.0.1" in workplace.sst2("doctor", status=0)
    # No server listens at the proxy.
    workplace.run(*words, status=1, NO_PROXY="", HF_ENDPOINT="https://hub.example")
    assert workplace.leaks() == []


def test_a_token_in_an_address_that_is_given_as_an_option(workplace: Workplace) -> None:
    address = f"https://me:{OPTION}@hub.example/org/name?token={OPTION}"
    for option in ("--models", "--sst2-data", "--sst2-compare"):
        workplace.run("--methods", "quiet", "--sst2-data", "pocket", option, address, status=4)
    workplace.sst2("compare", address, address, status=2)
    workplace.sst2("report", address, "-o", "out", status=2)
    workplace.sst2("upgrade", f"name @ {address}", status=2)
    workplace.sst2(address, status=2)
    assert workplace.leaks() == []


def test_results_of_another_machine_with_secrets_known_by_their_form(workplace: Workplace) -> None:
    warning = f"https://me:{OLD}@hub.example cannot be reached; hf_{OLD}; Authorization: Bearer {OLD}"
    record = answered([True] * 30, warnings=(warning,), model="token-classifier")
    # An earlier release did not redact.
    data = json.loads(results_text(Results([record], [dataclasses.replace(FAILURE, error="PLACE")])))
    data["records"][0]["warnings"] = [warning]
    (workplace.project / "old.json").write_text(json.dumps(data).replace("PLACE", warning))
    workplace.sst2("compare", "old.json", "old.json", "--format", "json", status=0)
    workplace.sst2("merge", "old.json", "-o", "joined.json", status=0)
    workplace.sst2("history", "old.json", "-o", "out", status=0)
    workplace.sst2("report", "old.json", "-o", "out", status=0)
    assert "token-classifier" in (workplace.project / "out" / "sst2-report.html").read_text()
    assert workplace.leaks() == []


def test_an_index_that_refuses(workplace: Workplace) -> None:
    if shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") is None:
        pytest.skip("uv is not installed")
    refused = f"http://me:{UV}@127.0.0.1:1/simple"
    output = workplace.sst2("upgrade", "nothing-like-it==1.0", status=2, UV_INDEX_URL=refused)
    assert "the 'before' environment failed: " in output
    assert workplace.leaks() == []


def test_the_log_of_a_run_in_another_environment(workplace: Workplace) -> None:
    script = """
import os, sys
from pathlib import Path
from pytest_sst2.upgrade.benchmark_runs import run_logged
code = "import os; print('raised with', os.environ['HF_TOKEN'], os.environ['PIP_INDEX_URL'])"
with open("trial.log", "w", encoding="utf-8") as log:
    sys.exit(run_logged([sys.executable, "-c", code], Path.cwd(), os.environ, log))
"""
    (workplace.project / "trial.py").write_text(script)
    workplace.run(status=0, module="trial")
    log = (workplace.project / "trial.log").read_text()
    assert log.startswith("raised with *** http://***@127.0.0.1")
    assert workplace.leaks() == []
