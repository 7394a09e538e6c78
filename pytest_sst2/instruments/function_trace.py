"""A pytest plugin that notes which functions of the installed packages run.

It slows Python down, so only ``pytest-sst2 upgrade`` loads it, with ``-p``, in a pass of its own whose times and
numbers are not used. Each process writes its notes as JSON into the folder that ``PYTEST_SST2_TRACE`` names.
"""

from __future__ import annotations

import contextlib
import inspect
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

from pytest_sst2.instruments.trace_uses import names_in, names_read_by, used_classes

FOLDER_VARIABLE = "PYTEST_SST2_TRACE"
# What a function ran in, other than a module of a model: nothing in particular, or the import of a file.
ELSEWHERE, IMPORT = "", "import"
_MODULE = "<module>"
_COMPILED = (".so", ".pyd", ".dylib", ".dll")


class FunctionTrace:
    """The functions that ran, by the class of the innermost module of a model whose forward pass they ran in."""

    def __init__(self) -> None:
        # Hashing a code object is slow, so it is kept under its id. Keeping it keeps the id from being used again.
        self._ran: dict[str, dict[int, CodeType]] = {ELSEWHERE: {}}
        self._now = self._elsewhere = self._ran[ELSEWHERE]
        self._outer: list[dict[int, CodeType]] = []
        self._models: dict[str, str] = {}
        self._seen_roots: set[type] = set()
        self._made: dict[type, set[str]] = {}
        self._opened: set[str] = set()
        self._is_on = False
        self._patch = pytest.MonkeyPatch()

    def start(self) -> None:
        """Trace this thread and those that it starts from now on."""
        self._is_on = True
        sys.addaudithook(self._note_event)
        threading.setprofile(self._note_of_thread)
        sys.setprofile(self._note)
        # pytest-benchmark would switch a profiler off while it runs a cell.
        self._patch.setattr(sys, "setprofile", lambda _function: None)

    def watch_models(self) -> None:
        """Note from now on what runs in which module of a model."""
        with contextlib.suppress(ImportError):
            from torch.nn.modules import module

            module.register_module_forward_pre_hook(self._enter_module)
            module.register_module_forward_hook(self._leave_module, always_call=True)

    def stop(self) -> None:
        """Stop tracing. The hooks stay, because the process ends."""
        self._is_on = False
        self._patch.undo()
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            self._now[id(code)] = code
            if code.co_name == _MODULE:
                self._enter(IMPORT)
            elif code.co_name == "__init__" and code.co_argcount and self._now is not self._ran.get(IMPORT):
                self._made.setdefault(type(frame.f_locals.get(code.co_varnames[0])), {ELSEWHERE})
        elif event == "return" and frame.f_code.co_name == _MODULE:
            self._leave()

    def _note_of_thread(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            self._elsewhere[id(frame.f_code)] = frame.f_code

    def _note_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._is_on and event == "open" and isinstance(arguments[0], str):
            self._opened.add(arguments[0])

    def _enter(self, where: str) -> None:
        self._outer.append(self._now)
        self._now = self._ran.setdefault(where, {})

    def _leave(self) -> None:
        if self._outer:
            self._now = self._outer.pop()

    def _enter_module(self, module: Any, _args: Any) -> None:
        kind = type(module)
        self._made.setdefault(kind, set()).add(_class_name(kind))
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
        bodies: dict[str, set[str]] = {}
        for where, codes in self._ran.items():
            for code in codes.values():
                if code.co_filename.startswith(site):
                    file = _relative(code.co_filename, site)
                    places.setdefault((file, code.co_qualname, code.co_firstlineno), set()).add(where)
                    if not code.co_flags & inspect.CO_OPTIMIZED:
                        bodies.setdefault(file, set()).update(names_read_by(code))
        later = {id(code): code for where, codes in self._ran.items() if where != IMPORT for code in codes.values()}
        names = names_in(code for code in later.values() if code.co_flags & inspect.CO_OPTIMIZED)
        methods = [(file, name) for (file, name, _line), inside in places.items() if inside != {IMPORT}]
        files = [getattr(module, "__file__", None) or "" for module in [*sys.modules.values()]]
        loaded = {*files, *_mapped_files()}
        return {
            "site": folder,
            "functions": [[*key, sorted(inside)] for key, inside in sorted(places.items())],
            "files": sorted(_relative(file, site) for file in files if file.startswith(site)),
            "compiled": sorted(_relative(file, site) for file in loaded if file.startswith(site) and is_compiled(file)),
            "opened": sorted(_relative(file, site) for file in self._opened if file.startswith(site)),
            "modules": self._models,
            "names": sorted(names),
            "bodies": {file: sorted(read) for file, read in bodies.items()},
            "classes": [
                [*key, sorted(inside)] for key, inside in sorted(used_classes(site, names, methods, self._made).items())
            ],
        }


def _relative(file: str, site: str) -> str:
    return file.removeprefix(site).replace(os.sep, "/")


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


_TRACE = FunctionTrace()


def pytest_addoption() -> None:
    """Start to trace when pytest loads this plugin: before it loads a ``conftest.py``, which may import packages."""
    _TRACE.start()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop() -> Generator[None, object, object]:
    """Trace the tests of this process, and write what ran even if a test fails."""
    _TRACE.watch_models()
    try:
        return (yield)
    finally:
        _TRACE.stop()
        folder = Path(os.environ[FOLDER_VARIABLE])
        (folder / f"trace-{os.getpid()}.json").write_text(
            json.dumps(_TRACE.notes(sysconfig.get_paths()["purelib"])), encoding="utf-8"
        )
