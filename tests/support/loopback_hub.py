"""A small Hub on 127.0.0.1 for the real huggingface_hub, with folders as repositories and faults on demand.

As on huggingface.co, files in Git LFS come from a Xet storage: ``/api/*/xet-read-token`` gives its address, which is
``/cas`` here. A file is one block (xorb) of chunks there. A client without Xet gets these files like small ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

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
LFS_SUFFIXES = (".safetensors", ".bin", ".msgpack", ".parquet")
_CHUNK_BYTES = 1 << 16


@dataclass
class Repo:
    """A repository: each reference (``main``, a tag, ``refs/pr/1``) maps to a folder, each folder is a commit.

    With ``any_revision``, main answers requests for unknown revisions, as on some mirrors. Without ``digests``, etags
    are not digests of the Hub and the listing has none, as on other mirrors.
    """

    references: dict[str, Path] = field(default_factory=dict)
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
    ``trickle`` sends the rest with one byte per second. ``drop`` closes the connection without an answer,
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
        """Return how often the content of a file was requested, from the Hub or its Xet storage."""
        places = [line.rpartition("/resolve/") for line in self.requests if line.startswith("GET ")]
        return [rest.partition("/")[2] for _, resolve, rest in places if resolve].count(name)

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

    def answer(self, target: str) -> Answer:
        """Return the Hub's answer to a request for a path with a query."""
        path, query = unquote(urlsplit(target).path), parse_qs(urlsplit(target).query)
        api, resolve = path.startswith("/api/"), "/resolve/" in path
        repo_type: RepoType = "dataset" if path.startswith(("/api/datasets", "/datasets/")) else "model"
        if path == f"/api/{repo_type}s":
            return _json([])
        if not api and not resolve:
            return _refusal("EntryNotFound")
        rest = path.removeprefix("/api").removeprefix(f"/{repo_type}s").strip("/")
        names = [name for kind, name in self._repos if kind == repo_type and f"{rest}/".startswith(f"{name}/")]
        if not names:
            return _refusal("RepoNotFound")
        repo_id = max(names, key=len)
        repo, parts = self._repos[repo_type, repo_id], rest[len(repo_id) :].strip("/").split("/")
        folder = repo.folder(parts[1] if len(parts) > 1 else "main")
        if folder is None:
            return _refusal("RevisionNotFound")
        token = f"{self.address}/api/{repo_type}s/{repo_id}/xet-read-token/{commit_id(folder)}"
        if resolve:
            return _file(folder, "/".join(parts[2:]), token, digests=repo.digests)
        if parts[0] == "xet-read-token":
            xet = {"X-Xet-Cas-Url": f"{self.address}/cas", "X-Xet-Access-Token": "short-lived"}
            return Answer(b"{}", 200, {**xet, "X-Xet-Token-Expiration": str(int(time.time()) + 3600)})
        entries = [_entry(path, path.relative_to(folder).as_posix(), digests=repo.digests) for path in _files(folder)]
        if parts[0] == "paths-info":
            return _json([entry for entry in entries if entry["path"] in query["paths"]])
        if parts[0] == "tree":
            return _json(_tree(entries, "/".join(parts[2:]), recursive="recursive=true" in target.lower()))
        siblings = [_sibling(entry) for entry in entries]
        numbers = {"downloads": 0, "likes": 0, "private": False, "gated": False, "tags": []}
        return _json({"_id": "0", "id": repo_id, "sha": commit_id(folder), "siblings": siblings, **numbers})

    def stored(self, path: str, wanted: str) -> Answer:
        """Return the answer of the Xet storage: which chunks make a file, or the block with its chunks."""
        if "/v2/" in path:
            return _refusal("EntryNotFound")  # the client then uses the first version
        xet_hash = path.split("/")[-1 if "/reconstructions/" in path else 3]
        repositories = [folder for repo in self._repos.values() for folder in repo.references.values()]
        files = [(file, folder) for folder in repositories for file in _files(folder) if file.suffix in LFS_SUFFIXES]
        matches = [(file, file.relative_to(folder)) for file, folder in files if _xet_hash(file) == xet_hash]
        if not matches:
            return _refusal("EntryNotFound")
        file, name = matches[0]
        block, count = _block(file.read_bytes())
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        if "/reconstructions/" not in path:
            start, end = int(first or 0), int(last or len(block) - 1)
            return Answer(block[start : end + 1], 206, {"Content-Range": f"bytes {start}-{end}/{len(block)}"})
        if int(first or 0) >= file.stat().st_size:
            return Answer(b"", 416)
        chunks = {"start": 0, "end": count}
        url = f"{self.address}/cas/blocks/{xet_hash}/resolve/x/{name.as_posix()}"
        terms = [{"hash": xet_hash, "unpacked_length": file.stat().st_size, "range": chunks}]
        fetch = {xet_hash: [{"range": chunks, "url": url, "url_range": {"start": 0, "end": len(block) - 1}}]}
        return _json({"offset_into_first_range": 0, "terms": terms, "fetch_info": fetch})


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

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode(errors="replace")
        self.path += f"?{body}"  # the form of a question about some paths
        self._respond()

    def _respond(self) -> None:
        fault = self.hub.take_fault(f"{self.command} {self.path}", self.headers.get("Authorization", ""))
        if fault is not None and fault.kind in ("hang", "drop"):
            if fault.kind == "hang":
                self.hub.wait_for_stop()
            self.close_connection = True
            return
        from_storage = self.path.startswith("/cas/")
        sound = (
            self.hub.stored(self.path, self.headers.get("Range", "")) if from_storage else self.hub.answer(self.path)
        )
        answer = _with_fault(fault, sound, self.path)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if fault is not None and fault.kind == "endless":
            self.send_header("Connection", "close")  # no Content-Length: the end is unknown
        else:
            more = fault.value if fault is not None and fault.kind == "length" else 0
            self.send_header("Content-Length", str(len(answer.body) + more))
        self.end_headers()
        if self.command != "HEAD":
            self._send(answer.body, fault)

    def _send(self, body: bytes, fault: Fault | None) -> None:
        """Send the body, changed by a fault."""
        kind = "" if fault is None else fault.kind
        whole = kind == "truncate" and fault is not None and len(body) <= fault.value
        if fault is None or whole or kind not in ("truncate", "hang-in-body", "trickle", "endless", "length"):
            self.wfile.write(body)
            return
        self.close_connection = True
        self.wfile.write(body if kind == "length" else body[: fault.value])
        if kind == "hang-in-body":
            self.hub.wait_for_stop()
        for number in body[fault.value :] if kind == "trickle" else b"":
            if not self.hub.wait_for_stop(1.0):
                self.wfile.write(bytes([number]))
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
        kept = {name: value for name, value in answer.headers.items() if name != "X-Linked-Size"}
        return Answer(fault.text.encode(), answer.status, {**kept, **fault.headers})
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
        entry["xetHash"] = _xet_hash(path)
    return entry


def _tree(entries: list[dict[str, Any]], below: str, *, recursive: bool) -> list[dict[str, Any]]:
    """Return the entries below a folder, and those of folders, each once; without ``recursive`` of one level."""
    start = f"{below}/" if below else ""
    files = [entry for entry in entries if entry["path"].startswith(start)]
    parents = dict.fromkeys(str(parent) for entry in files for parent in reversed(Path(entry["path"]).parents[:-1]))
    folders = [{"type": "directory", "path": path, "size": 0, "oid": "0"} for path in parents if path.startswith(start)]
    return [entry for entry in [*folders, *files] if recursive or "/" not in entry["path"][len(start) :]]


def _sibling(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the same entry in the format of the repository's info."""
    sibling = {"rfilename": entry["path"], "size": entry["size"]}
    if entry["oid"] != "0":
        sibling["blobId"] = entry["oid"]
    if "lfs" in entry:
        lfs = entry["lfs"]
        sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    return sibling


def _file(folder: Path, name: str, token: str, *, digests: bool) -> Answer:
    path = folder / name
    if not path.is_file():
        return _refusal("EntryNotFound")
    headers = {"X-Repo-Commit": commit_id(folder)}
    if not digests:
        headers["ETag"] = f'"{hashlib.md5(path.read_bytes()).hexdigest()}-1"'
    elif path.suffix in LFS_SUFFIXES:
        headers["X-Linked-ETag"] = headers["ETag"] = f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"'
        headers |= {"X-Linked-Size": str(path.stat().st_size), "X-Xet-Hash": _xet_hash(path)}
        headers["Link"] = f'<{token}>; rel="xet-auth"'
    else:
        headers["ETag"] = f'"{_git_id(path)}"'
    return Answer(path.read_bytes(), 200, headers)


def _git_id(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _xet_hash(path: Path) -> str:
    """Return 64 hex digits that differ from the SHA-256; no client computes the real ones of the chunks' tree."""
    return hashlib.sha256(b"xet" + path.read_bytes()).hexdigest()


def _block(content: bytes) -> tuple[bytes, int]:
    """Return the chunks of a file, uncompressed and each after its header, and their number."""
    chunks = [content[start : start + _CHUNK_BYTES] for start in range(0, len(content), _CHUNK_BYTES)]
    sizes = [struct.pack("<I", len(chunk))[:3] for chunk in chunks]
    return b"".join(b"\0" + size + b"\0" + size + chunk for size, chunk in zip(sizes, chunks, strict=True)), len(chunks)


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})


def _refusal(error_code: str) -> Answer:
    return Answer(b'{"error": "not here"}', 404, {"Content-Type": "application/json", "X-Error-Code": error_code})
