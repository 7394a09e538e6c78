"""A pytest plugin that notes which functions of the installed packages run.

It slows Python down, so only ``pytest-sst2 upgrade`` loads it, with ``-p``, in a pass of its own whose times and
numbers are not used. Each process writes its notes as JSON into the folder that ``PYTEST_SST2_TRACE`` names.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import threading
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

FOLDER_VARIABLE = "PYTEST_SST2_TRACE"
# What a function ran in, other than a module of a model: nothing in particular, or the import of a file.
_ELSEWHERE, _IMPORT = "", "import"
_MODULE = "<module>"
_COMPILED = (".so", ".pyd", ".dylib", ".dll")


class FunctionTrace:
    """The functions that ran, by the class of the innermost module of a model whose forward pass they ran in."""

    def __init__(self) -> None:
        # Hashing a code object is slow, so it is kept under its id. Keeping it keeps the id from being used again.
        self._ran: dict[str, dict[int, CodeType]] = {_ELSEWHERE: {}}
        self._now = self._elsewhere = self._ran[_ELSEWHERE]
        self._outer: list[dict[int, CodeType]] = []
        self._models: dict[str, str] = {}
        self._seen_roots: set[type] = set()
        self._patch = pytest.MonkeyPatch()

    def start(self) -> None:
        """Trace this thread and those that it starts from now on."""
        with contextlib.suppress(ImportError):
            from torch.nn.modules import module

            module.register_module_forward_pre_hook(self._enter_module)
            module.register_module_forward_hook(self._leave_module, always_call=True)
        threading.setprofile(self._note_of_thread)
        sys.setprofile(self._note)
        # pytest-benchmark would switch a profiler off while it runs a cell.
        self._patch.setattr(sys, "setprofile", lambda _function: None)

    def stop(self) -> None:
        """Stop tracing. The hooks stay, because the process ends."""
        self._patch.undo()
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            self._now[id(code)] = code
            if code.co_name == _MODULE:
                self._enter(_IMPORT)
        elif event == "return" and frame.f_code.co_name == _MODULE:
            self._leave()

    def _note_of_thread(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self._elsewhere[id(frame.f_code)] = frame.f_code

    def _enter(self, where: str) -> None:
        self._outer.append(self._now)
        self._now = self._ran.setdefault(where, {})

    def _leave(self) -> None:
        if self._outer:
            self._now = self._outer.pop()

    def _enter_module(self, module: Any, _args: Any) -> None:
        kind = type(module)
        if not self._outer and kind not in self._seen_roots:
            self._seen_roots.add(kind)
            self._models.update({name: _class_name(type(part)) for name, part in module.named_modules() if name})
        self._enter(_class_name(kind))

    def _leave_module(self, _module: Any, _args: Any, _output: Any) -> None:
        self._leave()

    def notes(self, folder: str) -> dict[str, Any]:
        """Return the functions that ran of the packages in a folder, as JSON values. Files are relative to it."""
        site = f"{folder}{os.sep}"
        places: dict[tuple[str, str, int], set[str]] = {}
        for where, codes in self._ran.items():
            for code in codes.values():
                if code.co_filename.startswith(site):
                    key = (code.co_filename.removeprefix(site), code.co_qualname, code.co_firstlineno)
                    places.setdefault(key, set()).add(where)
        files = [getattr(module, "__file__", None) or "" for module in [*sys.modules.values()]]
        loaded = {*files, *_mapped_files()}
        return {
            "site": folder,
            "functions": [[*key, sorted(inside)] for key, inside in sorted(places.items())],
            "files": sorted(file.removeprefix(site) for file in files if file.startswith(site)),
            "compiled": sorted(
                file.removeprefix(site) for file in loaded if file.startswith(site) and is_compiled(file)
            ),
            "modules": self._models,
        }


def _class_name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def is_compiled(file: str) -> bool:
    """Return whether a file is a library, also one with a version behind its ending (``libgomp.so.1``)."""
    return file.endswith(_COMPILED) or ".so." in Path(file).name


def _mapped_files() -> set[str]:
    """Return the files that are mapped into this process; empty where the system does not list them."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {line.split(maxsplit=5)[5] for line in lines if "/" in line}


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Trace the tests of this process, and write what ran even if a test fails."""
    trace = FunctionTrace()
    trace.start()
    try:
        return (yield)
    finally:
        trace.stop()
        folder = Path(os.environ[FOLDER_VARIABLE])
        (folder / f"trace-{os.getpid()}.json").write_text(
            json.dumps(trace.notes(sysconfig.get_paths()["purelib"])), encoding="utf-8"
        )
