"""A small Hub on 127.0.0.1 for the real huggingface_hub, with folders as repositories and faults on demand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import pytest

import pytest_sst2
from pytest_sst2.hub import client as hub_client
from pytest_sst2.hub.client import Listing, Question

RepoType = Literal["model", "dataset"]
FaultKind = Literal[
    "status",
    "answer",
    "redirect",
    "hang",
    "hang-in-body",
    "trickle",
    "drop",
    "truncate",
    "endless",
    "flip",
    "length",
]
# Files in Git LFS: their etag and their listing contain the SHA-256 of the content.
LFS_SUFFIXES = (".safetensors", ".parquet")


@dataclass
class Repo:
    """A repository: each reference (``main``, a tag, ``refs/pr/1``) maps to a folder, each folder is a commit.

    With ``any_revision``, main answers requests for unknown revisions, as on some mirrors. Without ``digests``, etags
    are not digests of the Hub and the listing has none, as on other mirrors.
    """

    references: dict[str, Path] = field(default_factory=dict)
    pull_requests: list[dict[str, object]] = field(default_factory=list)
    any_revision: bool = False
    digests: bool = True

    def folder(self, revision: str) -> Path | None:
        by_commit = {commit_id(folder): folder for folder in self.references.values()}
        folder = self.references.get(revision) or by_commit.get(revision)
        return self.references["main"] if folder is None and self.any_revision else folder


@dataclass
class Fault:
    """A fault of the next ``times`` requests (-1: all) whose path contains ``match``.

    With ``if_token`` it applies only to requests with a token.

    ``status`` answers with HTTP ``value``, ``answer`` with the body ``text``. ``redirect`` redirects to the address
    ``text`` (empty: to the same URL). ``hang`` never answers, ``hang-in-body`` stops after ``value`` bytes of the body,
    ``trickle`` continues from there with one byte per second. ``drop`` closes the connection without an answer,
    ``truncate`` after ``value`` bytes of the body. ``endless`` repeats the body without end, ``flip`` flips one bit of
    it, ``length`` declares ``value`` bytes more than it sends.
    """

    match: str
    kind: FaultKind
    value: int = 0
    times: int = -1
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    if_token: bool = False


@dataclass
class Answer:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class LoopbackHub:
    """The server.

    Attributes:
        requests: All requests, for example ``"GET /api/models/org/name"``.
        tokens: The ``Authorization`` header of each request.
        first_question: Time of the first request after the reachability check, by ``time.perf_counter``.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.tokens: list[str] = []
        self.first_question: float | None = None
        self.faults: list[Fault] = []
        self._repos: dict[tuple[RepoType, str], Repo] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start listening. After a stop the port stays the same."""
        self._stopping.clear()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening and close all connections, including idle ones."""
        if self._server is not None:
            self._stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
            with self._lock:
                for connection in self._connections:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def add(
        self,
        repo_id: str,
        folder: Path,
        *,
        revision: str = "main",
        repo_type: RepoType = "model",
        any_revision: bool = False,
        digests: bool = True,
    ) -> str:
        """Serve ``folder`` as ``repo_id`` at ``revision`` and return its commit id."""
        repo = self._repos.setdefault((repo_type, repo_id), Repo())
        repo.references[revision] = folder
        repo.any_revision, repo.digests = any_revision, digests
        return commit_id(folder)

    def add_pull_request(
        self, repo_id: str, number: int, folder: Path, *, author: str = "SFconvertbot", status: str = "open"
    ) -> str:
        """Serve ``folder`` as a pull request, by default the Hub's own conversion, and return its commit id."""
        commit = self.add(repo_id, folder, revision=f"refs/pr/{number}")
        discussion = {
            "num": number,
            "title": "Adding `safetensors` variant of this model",
            "author": {"name": author},
            "createdAt": "2023-05-01T00:00:00.000Z",
            "status": status,
            "isPullRequest": True,
            "repo": {"name": repo_id, "type": "model"},
        }
        self._repos["model", repo_id].pull_requests.append(discussion)
        return commit

    def fault(
        self,
        match: str,
        kind: FaultKind,
        value: int = 0,
        *,
        times: int = -1,
        text: str = "",
        headers: dict[str, str] | None = None,
        if_token: bool = False,
    ) -> None:
        self.faults.append(Fault(match, kind, value, times, text, headers or {}, if_token))

    def forget(self) -> None:
        """Clear the recorded requests and the faults."""
        self.requests.clear()
        self.tokens.clear()
        self.faults.clear()

    def bodies_sent(self, name: str) -> int:
        """Return how often the content of a file was requested."""
        names = [line.partition("/resolve/")[2].partition("/")[2] for line in self.requests if line.startswith("GET ")]
        return names.count(name)

    def take_fault(self, line: str, token: str) -> Fault | None:
        """Record a request and return the fault that applies to it, or None."""
        with self._lock:
            if not line.startswith("HEAD /api/"):
                self.first_question = self.first_question or time.perf_counter()
            self.requests.append(line)
            self.tokens.append(token)
            for fault in self.faults:
                if fault.match in line and fault.times != 0 and (token or not fault.if_token):
                    fault.times -= 1
                    return fault
        return None

    @contextlib.contextmanager
    def connected(self, connection: socket.socket) -> Iterator[None]:
        """Close ``connection`` when the server stops, unless it is closed before."""
        with self._lock:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def wait_for_stop(self, seconds: float | None = None) -> bool:
        """Wait until the server stops or a timeout expires; return whether it stops."""
        return self._stopping.wait(seconds)

    def answer(self, path: str) -> Answer:
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) == 2:
            return _json([])
        if parts[0] == "api":
            repo_type: RepoType = "dataset" if parts[1] == "datasets" else "model"
            return self._api(repo_type, "/".join(parts[2:4]), parts[4:])
        if "resolve" in parts:
            at = parts.index("resolve")
            repo_type = "dataset" if parts[0] == "datasets" else "model"
            return self._file(repo_type, "/".join(parts[at - 2 : at]), parts[at + 1], "/".join(parts[at + 2 :]))
        return _refusal("EntryNotFound")

    def _api(self, repo_type: RepoType, repo_id: str, rest: list[str]) -> Answer:
        repo = self._repos.get((repo_type, repo_id))
        if repo is None:
            return _refusal("RepoNotFound")
        if rest[:1] == ["discussions"]:
            pulls = repo.pull_requests
            return _json({"count": len(pulls), "start": 0, "discussions": pulls})
        folder = repo.folder(rest[1] if len(rest) > 1 else "main")
        if folder is None:
            return _refusal("RevisionNotFound")
        entries = [_entry(path, path.relative_to(folder).as_posix(), digests=repo.digests) for path in _files(folder)]
        if rest[:1] == ["tree"]:
            return _json(entries)
        siblings = [_sibling(entry) if repo.digests else {"rfilename": entry["path"]} for entry in entries]
        numbers = {"downloads": 0, "likes": 0, "private": False, "gated": False, "tags": []}
        return _json({"_id": "0", "id": repo_id, "sha": commit_id(folder), "siblings": siblings, **numbers})

    def _file(self, repo_type: RepoType, repo_id: str, revision: str, name: str) -> Answer:
        repo = self._repos.get((repo_type, repo_id))
        if repo is None:
            return _refusal("RepoNotFound")
        folder = repo.folder(revision)
        if folder is None:
            return _refusal("RevisionNotFound")
        if not (folder / name).is_file():
            return _refusal("EntryNotFound")
        headers = {"ETag": f'"{_etag(folder / name, digests=repo.digests)}"', "X-Repo-Commit": commit_id(folder)}
        return Answer((folder / name).read_bytes(), 200, headers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: LoopbackHub

    def handle(self) -> None:
        with self.hub.connected(self.connection), contextlib.suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def _respond(self) -> None:
        fault = self.hub.take_fault(f"{self.command} {self.path}", self.headers.get("Authorization", ""))
        if fault is not None and fault.kind in ("hang", "drop"):
            if fault.kind == "hang":
                self.hub.wait_for_stop()
            self.close_connection = True
            return
        answer = _with_fault(fault, self.hub.answer(urlsplit(self.path).path), self.path)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if fault is not None and fault.kind == "endless":
            self.send_header("Connection", "close")  # no Content-Length: the end is unknown
        else:
            more = fault.value if fault is not None and fault.kind == "length" else 0
            self.send_header("Content-Length", str(len(answer.body) + more))
        self.end_headers()
        if self.command == "GET":
            self._send(answer.body, fault)

    def _send(self, body: bytes, fault: Fault | None) -> None:
        """Send the body, changed by a fault."""
        kind = "" if fault is None else fault.kind
        if fault is None or kind not in ("truncate", "hang-in-body", "trickle", "endless", "length"):
            self.wfile.write(body)
            return
        self.close_connection = True
        self.wfile.write(body if kind == "length" else body[: fault.value])
        if kind == "hang-in-body":
            self.hub.wait_for_stop()
        while kind == "trickle" and not self.hub.wait_for_stop(1.0):
            self.wfile.write(b" ")
        block = (body or b" ") * (1 + (1 << 20) // max(1, len(body)))
        while kind == "endless" and not self.hub.wait_for_stop(0.0):
            self.wfile.write(block)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # many processes send requests at once
    daemon_threads = True


def _with_fault(fault: Fault | None, answer: Answer, path: str) -> Answer:
    """Return the answer as changed by a fault."""
    if fault is None:
        return answer
    if fault.kind == "status":
        return Answer(fault.text.encode(), fault.value, fault.headers)
    if fault.kind == "redirect":
        kept = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
        linked = {"X-Linked-Etag": kept["ETag"], "X-Linked-Size": str(len(answer.body))} if "ETag" in kept else {}
        return Answer(b"", 302, {**kept, **linked, "Location": (fault.text + path) if fault.text else path})
    if fault.kind == "answer":
        return Answer(fault.text.encode(), answer.status, {**answer.headers, **fault.headers})
    if fault.kind == "flip" and answer.body:
        middle = len(answer.body) // 2
        flipped = answer.body[:middle] + bytes([answer.body[middle] ^ 1]) + answer.body[middle + 1 :]
        return Answer(flipped, answer.status, answer.headers)
    return answer


@contextlib.contextmanager
def running_hub() -> Iterator[LoopbackHub]:
    """Yield a running server, and stop it and all hanging requests afterwards."""
    server = LoopbackHub()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def hub_of_this_process(cache: Path) -> Iterator[LoopbackHub]:
    """Yield a running server that huggingface_hub in this process uses as the Hub, with an empty cache."""
    from huggingface_hub import constants

    from pytest_sst2.hub import process as hub_process
    from pytest_sst2.hub import snapshot as hub

    with running_hub() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.delenv("HF_TOKEN", raising=False)
        patch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(hub_process, "ask", ask_in_this_process)
        forget_sessions()
        hub._unreachable_reason.cache_clear()
        hub._patience.cache_clear()
        yield server
    forget_sessions()
    hub._unreachable_reason.cache_clear()
    hub._patience.cache_clear()


def ask_in_this_process(question: Question, *_: object) -> Listing:
    """Download in this process, to save the second that a new process takes to start."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        return hub_client.download(question, lambda kind, value: None)
    finally:
        enable_progress_bars()


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
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def commit_id(folder: Path) -> str:
    """Return 40 hex digits that depend on the names and contents of a folder's files."""
    digest = hashlib.sha1()
    for path in _files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{_git_id(path)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(path: Path, name: str, *, digests: bool) -> dict[str, Any]:
    """Return a file's entry in the Hub's tree; in Git LFS it has the pointer's id and the content's SHA-256."""
    size = path.stat().st_size
    entry: dict[str, Any] = {"type": "file", "path": name, "size": size, "oid": _git_id(path) if digests else "0"}
    if digests and path.suffix in LFS_SUFFIXES:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
        entry["oid"] = hashlib.sha1(f"blob {len(pointer)}\0".encode() + pointer).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": size, "pointerSize": len(pointer)}
    return entry


def _sibling(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the same entry in the format of the repository's info."""
    sibling = {"rfilename": entry["path"], "size": entry["size"], "blobId": entry["oid"]}
    if "lfs" in entry:
        lfs = entry["lfs"]
        sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    return sibling


def _etag(path: Path, *, digests: bool) -> str:
    if not digests:
        return f"{hashlib.md5(path.read_bytes()).hexdigest()}-1"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix in LFS_SUFFIXES else _git_id(path)


def _git_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})


def _refusal(error_code: str) -> Answer:
    return Answer(b'{"error": "not here"}', 404, {"Content-Type": "application/json", "X-Error-Code": error_code})


def forget_sessions() -> None:
    """Close the sessions of huggingface_hub, in releases before and since 1.0."""
    import huggingface_hub

    if hasattr(huggingface_hub, "close_session"):
        huggingface_hub.close_session()
    else:
        from huggingface_hub.utils import reset_sessions

        reset_sessions()
