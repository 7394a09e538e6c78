"""Define every fault of a Hub once, for the tests and for tools/checks/hub_faults.py."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_sst2.data.sources import HUB_ID
from tests.support.loopback_hub import FaultKind, LoopbackHub, RepoType

MODEL_ID = "org/words"
LOG_IN_PAGE = "<!doctype html><html><body>Welcome to our network, please log in</body></html>"
HTML = {"Content-Type": "text/html"}


@dataclass(frozen=True)
class Place:
    """A repository, and the requests for it at each stage of a download."""

    repo_type: RepoType
    repo_id: str

    @property
    def listing(self) -> str:
        return f"GET /api/{self.repo_type}s/{self.repo_id}"

    @property
    def tree(self) -> str:
        return f"{self.listing}/tree"

    @property
    def files(self) -> str:
        return f"{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo_id}/resolve/"

    @property
    def headers(self) -> str:
        return f"HEAD /{self.files}"

    @property
    def bodies(self) -> str:
        return f"GET /{self.files}"

    @property
    def xet_token(self) -> str:
        return f"{self.listing}/xet-read-token"

    @property
    def xet(self) -> str:
        return "/cas/"

    @property
    def xet_blocks(self) -> str:
        return "/cas/blocks/"


MODEL = Place("model", MODEL_ID)
DATA = Place("dataset", HUB_ID)


@dataclass(frozen=True)
class HubFault:
    """One way in which a Hub fails.

    Attributes:
        name: Name in the table that tools/checks/hub_faults.py prints.
        inject: Injects the fault into the server, for one repository.
        expected: Regular expressions that the user's error must match.
        watched: Whether only a separate process meets it: the watch over the process ends it, not huggingface_hub
            itself, or it needs Xet, which the client in the process of the tests does not use.
        token: Whether the user is logged in.
        endpoint: The address to use instead of the server's.
    """

    name: str
    inject: Callable[[LoopbackHub, Place], None]
    expected: tuple[str, ...]
    watched: bool = False
    token: bool = False
    endpoint: Callable[[LoopbackHub], str] = lambda server: server.address

    def __str__(self) -> str:
        return self.name.replace(",", "").replace(":", "").replace(" ", "-")

    @property
    def is_of_xet(self) -> bool:
        """Whether the fault is in the Xet storage; the others meet a data set only without Xet."""
        return self.name.startswith("Xet")

    def missing(self, text: str) -> list[str]:
        """Return the expected patterns that a text does not match."""
        return [pattern for pattern in self.expected if not re.search(pattern, text)]


def refused_port(_: LoopbackHub) -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}"


def answers(stage: str, status: int, **headers: str) -> Callable[[LoopbackHub, Place], None]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return does(stage, "status", status, headers=named)


def does(stage: str, kind: FaultKind, value: int = 0, **more: Any) -> Callable[[LoopbackHub, Place], None]:
    return lambda server, place: server.fault(getattr(place, stage), kind, value, **more)


def page_in_place_of(stage: str) -> Callable[[LoopbackHub, Place], None]:
    def inject(server: LoopbackHub, place: Place) -> None:
        server.fault(getattr(place, stage), "status", 200, text=LOG_IN_PAGE, headers=HTML)

    return inject


def nothing(server: LoopbackHub, place: Place) -> None:
    pass


DATE = "Wed, 21 Oct 2065 07:28:00 GMT"
NOT_A_HUB = ("not a Hub's answer",)
# Timeouts of huggingface_hub itself would detect some of these later.
TIMED_OUT = ("timed out", "no more data of")
DAMAGED = ("sent a damaged file", "which was removed", "run again")

FAULTS = (
    HubFault("refused port", nothing, ("cannot be reached", "refused"), watched=True, endpoint=refused_port),
    HubFault(
        "dead name", nothing, ("cannot be reached",), watched=True, endpoint=lambda _: "http://no-such-host.invalid"
    ),
    HubFault(
        "no sign of life",
        lambda server, _: server.fault("", "hang"),
        ("cannot be reached", "no answer within"),
        watched=True,
    ),
    HubFault("401", answers("listing", 401), ("HTTP 401", "hf auth login", "HF_TOKEN")),
    HubFault("401 for files", answers("headers", 401), ("HTTP 401", "hf auth login", "HF_TOKEN")),
    HubFault("expired token", answers("listing", 401), ("rejects HF_TOKEN", "expired", "create a new one"), token=True),
    HubFault(
        "expired token, public repository",
        lambda server, place: server.fault(place.repo_id, "status", 401, if_token=True),
        ("rejects HF_TOKEN", "unset HF_TOKEN if"),
        token=True,
    ),
    HubFault("403", answers("listing", 403), ("HTTP 403", "HF_TOKEN")),
    HubFault("403, gated", answers("listing", 403, X_Error_Code="GatedRepo"), ("is gated", "terms", "HF_TOKEN")),
    HubFault("403 for files, gated", answers("headers", 403, X_Error_Code="GatedRepo"), ("is gated", "terms")),
    HubFault("404", answers("listing", 404, X_Error_Code="RepoNotFound"), ("has no", "private", "HF_TOKEN")),
    HubFault(
        "404 for a listed file", answers("headers", 404, X_Error_Code="EntryNotFound"), ("HTTP 404", "try again later")
    ),
    HubFault("429", answers("listing", 429), ("HTTP 429", "too many requests", "HF_TOKEN")),
    HubFault("429 for files", answers("headers", 429), ("HTTP 429", "too many requests", "HF_TOKEN")),
    HubFault(
        "429, Retry-After: 3600",
        answers("listing", 429, Retry_After="3600"),
        ("HTTP 429", "pause of 3600 s"),
        watched=True,
    ),
    HubFault(
        "429 for files, Retry-After: 3600",
        answers("headers", 429, Retry_After="3600"),
        ("HTTP 429", "pause of 3601 s"),
        watched=True,
    ),
    HubFault("429, Retry-After: a date", answers("listing", 429, Retry_After=DATE), ("HTTP 429", "too many")),
    HubFault(
        "429 for files, Retry-After: a date",
        answers("bodies", 429, Retry_After=DATE),
        ("HTTP 429", "too many"),
    ),
    HubFault("500", answers("listing", 500), ("HTTP 500", "try again later")),
    HubFault("502 for files", answers("headers", 502), ("HTTP 502", "try again later")),
    HubFault("503", answers("listing", 503), ("HTTP 503", "try again later")),
    HubFault("503 for bodies", answers("bodies", 503), ("HTTP 503", "try again later")),
    HubFault("listing hangs", does("listing", "hang"), ("could not be downloaded", "timed out")),
    HubFault("tree hangs", does("tree", "hang"), TIMED_OUT, watched=True),
    HubFault("headers of files hang", does("headers", "hang"), TIMED_OUT, watched=True),
    HubFault("bodies hang", does("bodies", "hang"), TIMED_OUT, watched=True),
    HubFault("bodies hang in the middle", does("bodies", "hang-in-body", 100), TIMED_OUT, watched=True),
    HubFault("listing trickles, a byte a second", does("listing", "trickle", 10), TIMED_OUT, watched=True),
    HubFault("bodies trickle, a byte a second", does("bodies", "trickle", 100), TIMED_OUT, watched=True),
    HubFault(
        "connections are dropped",
        does("listing", "drop"),
        ("could not be downloaded", "disconnected|closed"),
    ),
    HubFault("connections are dropped, for bodies", does("bodies", "drop"), ("could not be downloaded",)),
    HubFault("bodies are cut short", does("bodies", "truncate", 100), ("could not be downloaded",)),
    HubFault("one flipped bit", does("bodies", "flip"), DAMAGED),
    HubFault("a body longer than it is said to be", does("bodies", "length", -7), ("could not be downloaded", "size")),
    HubFault(
        "a body shorter than it is said to be", does("bodies", "length", 7), ("timed out|could not be downloaded",)
    ),
    HubFault("a size other than the listed", does("files", "answer", text="not this"), DAMAGED),
    HubFault("redirects in a circle", does("listing", "redirect"), ("redirects every request", "without end")),
    HubFault("redirects of files in a circle", does("files", "redirect"), ("redirects every request", "without end")),
    HubFault(
        "redirect to a host that is not there",
        lambda server, place: server.fault(place.files, "redirect", text="http://no-such-host.invalid"),
        ("could not be downloaded",),
    ),
    HubFault("a log-in page in place of the listing", page_in_place_of("listing"), NOT_A_HUB),
    HubFault("a log-in page in place of files", page_in_place_of("files"), NOT_A_HUB),
    HubFault("JSON that is no listing", does("listing", "answer", text='["words"]'), NOT_A_HUB),
    HubFault("JSON cut off", does("listing", "answer", text='{"_id": "0", "id": '), NOT_A_HUB),
    HubFault("a commit that is a path", does("listing", "answer", text='{"id": "0", "sha": "../../x"}'), NOT_A_HUB),
    HubFault("a listing without end", does("listing", "endless", text="x"), ("sends more data than",), watched=True),
    HubFault("a body without end", does("bodies", "endless"), ("sends more data than",), watched=True),
    HubFault("Xet: 401 for its token", answers("xet_token", 401), ("HTTP 401", "hf auth login"), watched=True),
    HubFault("Xet: the storage hangs", does("xet", "hang"), TIMED_OUT, watched=True),
    HubFault("Xet: 503", answers("xet", 503), TIMED_OUT, watched=True),
    HubFault("Xet: blocks hang in the middle", does("xet_blocks", "hang-in-body", 100), TIMED_OUT, watched=True),
    HubFault("Xet: one flipped bit", does("xet_blocks", "flip"), DAMAGED, watched=True),
    HubFault("Xet: no such file", answers("xet", 404), ("could not be downloaded",), watched=True),
)
