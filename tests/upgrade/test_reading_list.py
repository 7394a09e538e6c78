"""The reading list: tiny packages in two folders, whose changed functions run in a model of two modules."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import pytest

from pytest_sst2.instruments.function_trace import FunctionTrace
from pytest_sst2.upgrade.reading_list import ReadingList, by_likely_place, class_of
from pytest_sst2.upgrade.source_changes import source_changes
from pytest_sst2.upgrade.traced_run import RanFunction, Trace, merged_notes

NAME = "sst2_fake_library"
FILES = {
    "__init__.py": "",
    "arithmetic.py": """
from torch.nn import functional

def scaled(x):
    return x * HALF

def dropped(x):
    return functional.dropout(x)

def loaded():
    return 1

HALF = 0.5
UNUSED = 1

class Unused:
    size = 1
""",
    "model.py": """
from torch import nn
from .arithmetic import scaled, loaded

class Attention(nn.Module):
    def forward(self, x):
        return scaled(x)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention()
        self.size = loaded()

    def forward(self, x):
        return self.attention(x) + 1
""",
}
LATER = {
    "arithmetic.py": FILES["arithmetic.py"]
    .replace("HALF = 0.5", "HALF = 0.25")
    .replace("UNUSED = 1", "UNUSED = 2")
    .replace("size = 1", "size = 2")
    .replace("dropout(x)", "dropout(x, 0.2)")
    .replace("return 1", "return 2"),
    "model.py": FILES["model.py"].replace("+ 1", "+ 1.0").replace("import nn\n", "import nn  # PyTorch\n"),
    "new.py": "def unused():\n    pass\n",
}


def traced(site: Path, files: dict[str, str], compiled: bytes) -> Trace:
    """Install the package into a folder, run its model once, and return what ran."""
    package = site / NAME
    package.mkdir(parents=True)
    for name, text in files.items():
        (package / name).write_text(text)
    (package / "core.so").write_bytes(compiled)
    info = site / f"{NAME}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
    (info / "RECORD").write_text("".join(f"{NAME}/{name},,\n" for name in (*files, "core.so")))
    torch = pytest.importorskip("torch")
    trace = FunctionTrace()
    trace.start()
    trace.watch_models()
    try:
        model = importlib.import_module(f"{NAME}.model").Model()
        sys.setprofile(None)  # as pytest-benchmark does while it runs a cell
        model(torch.ones(1))
    finally:
        trace.stop()
    notes = merged_notes([json.loads(json.dumps(trace.notes(str(site))))])
    return dataclasses.replace(notes, compiled=frozenset({f"{NAME}/core.so"}))


@pytest.fixture
def sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Trace]:
    traces = []
    for name, files, compiled in (("before", FILES, b"1"), ("after", {**FILES, **LATER}, b"2")):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / name)
            traces.append(traced(tmp_path / name, files, compiled))
        for module in [module for module in sys.modules if module.partition(".")[0] == NAME]:
            del sys.modules[module]
    return traces


def test_what_changed_and_ran_is_listed_with_the_named_module_first(sides: list[Trace], tmp_path: Path) -> None:
    changes = source_changes(*sides, [NAME.replace("_", "-")])
    assert changes.total == 8
    kind = class_of("0.attention", sides[1].modules)
    assert kind == f"{NAME}.model:Attention"
    ordered = by_likely_place(changes, [kind])
    found = ReadingList("tiny × probe", (NAME,), "0.attention", kind, ordered)
    assert found.lines() == [
        f"8 definitions changed in {NAME}; 3 of them ran in tiny × probe, 0 more only in imports, those to read first:",
        f"  {NAME}.arithmetic:HALF ({NAME}/arithmetic.py:13 → 13, in 0.attention)",
        f"  {NAME}.model:Model.forward ({NAME}/model.py:15 → 15)",
        f"  {NAME}.arithmetic:loaded ({NAME}/arithmetic.py:10 → 10)",
        f"compiled code changed: {NAME}/core.so",
    ]
    assert found.lines(1)[2] == "  … and 2 more"
    found.write(tmp_path)
    whole = json.loads((tmp_path / "sst2-reading-list.json").read_text())
    assert [one["place"] for one in whole["changes"]["ran"]] == [one.place for one in ordered.ran]


def test_a_function_that_only_moved_is_left_out(tmp_path: Path) -> None:
    body = "def scaled(x):\n    return x * 0.5\n"
    ran = {"one.py": 1, "other.py": 1}
    traces = []
    for name, files in (("before", {"one.py": body, "other.py": ""}), ("after", {"one.py": "", "other.py": body})):
        site = tmp_path / name
        (site / f"{NAME}.dist-info").mkdir(parents=True)
        (site / f"{NAME}.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0\n")
        (site / f"{NAME}.dist-info/RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file, text in files.items():
            (site / file).write_text(text)
        functions = {file: [RanFunction("scaled", ran[file], frozenset({""}))] for file, text in files.items() if text}
        traces.append(Trace(site, functions, frozenset(), frozenset(), {}))
    changes = source_changes(*traces, [NAME])
    assert changes.total == 2
    assert not changes.ran
