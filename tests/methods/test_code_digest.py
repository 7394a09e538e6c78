"""The digest of a user's method changes with the code that it runs, and with nothing else."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import function_of
from pytest_sst2.methods.code_digest import code_digest
from pytest_sst2.results.record import UNREADABLE_CODE

CODE = '''
import functools
import numpy as np
import user_helpers
from user_helpers import scale

RATE = 0.5
OPTIONS = {}
OPTIONS["depth"] = 2

def unrelated(job):
    return 1

def preprocess(text):
    return text.lower()

class Classifier:
    """Predict."""

    def __call__(self, sentences):
        return [scale(RATE) for text in map(preprocess, sentences)]

def train(job):
    """Train."""
    assert OPTIONS  # of the model
    return Classifier()

METHODS = [unrelated, train]
'''
HELPERS = """
def scale(value):
    return factor() * value

def factor():
    return 2

def other():
    return 3
"""

Digest = Callable[..., str]


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """Return the digest of ``train`` in a fresh import of a module and its helpers."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def digest_of(code: str, helpers: str = HELPERS) -> str:
        for module, text in (("user_methods", code), ("user_helpers", helpers)):
            (tmp_path / f"{module}.py").write_text(text)
            monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return code_digest(importlib.import_module("user_methods").train)

    return digest_of


def test_methods_of_this_package_have_none() -> None:
    assert {code_digest(function_of(method)) for method in METHODS} == {""}


def test_compiled_code_has_no_source() -> None:
    assert code_digest(len) == UNREADABLE_CODE


def test_it_is_a_sha256_that_is_the_same_again(digest: Digest) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest(CODE))
    assert digest(CODE) == digest(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return Classifier()", "    job.seed\n    return Classifier()"),
        ("text.lower()", "text.upper()"),
        ("RATE = 0.5", "RATE = 0.6"),
        ('["depth"] = 2', '["depth"] = 3'),
        ("map(preprocess", "map(str"),
        ("def train", "@functools.cache\ndef train"),
    ],
)
def test_a_change_of_what_the_method_uses_changes_it(digest: Digest, old: str, new: str) -> None:
    assert old in CODE
    assert digest(CODE) != digest(CODE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    return 1", "    return 2"),
        ("# of the model", "# of another model"),
        ("Predict.", "Return probabilities."),
        ("def train", "\n\n\ndef train"),
        ("METHODS = [unrelated, train]", "METHODS = [train]"),
    ],
)
def test_a_change_elsewhere_in_the_file_does_not(digest: Digest, old: str, new: str) -> None:
    assert old in CODE
    assert digest(CODE) == digest(CODE.replace(old, new))


def test_an_imported_function_of_the_same_folder_counts_with_what_it_uses(digest: Digest) -> None:
    first = digest(CODE)
    assert first != digest(CODE, HELPERS.replace("return 2", "return 4"))
    assert first == digest(CODE, HELPERS.replace("return 3", "return 4"))


def test_a_module_that_is_used_as_a_whole_counts_as_a_whole(digest: Digest) -> None:
    code = CODE.replace("scale(RATE)", "user_helpers.scale(RATE)")
    assert digest(code) != digest(code, HELPERS.replace("return 3", "return 4"))


@pytest.mark.parametrize(
    "code",
    [
        "import functools\ntrain = functools.partial(lambda job, k: k, k=1)\n",
        "class Train:\n    def __init__(self, k): self.k = k\n    def __call__(self, job): pass\ntrain = Train(k=1)\n",
        "class Train:\n    def __init__(self, k): self.k = k\n    def run(self, job): pass\ntrain = Train(k=1).run\n",
        "def make(k):\n    def inner(job): return k\n    return inner\ntrain = make(k=1)\n",
    ],
    ids=["partial", "object", "method", "closure"],
)
def test_the_values_that_a_method_was_made_with_count(digest: Digest, code: str) -> None:
    assert re.fullmatch("[0-9a-f]{64}", digest(code))
    assert digest(code) != digest(code.replace("k=1", "k=2"))


def test_a_partial_of_a_partial_counts_both() -> None:
    def digest_of(outer: int, inner: int) -> str:
        return code_digest(functools.partial(functools.partial(_train, inner=inner), outer=outer))

    assert len({digest_of(1, 1), digest_of(1, 2), digest_of(2, 1)}) == 3


def _train(job: object, *, inner: int, outer: int) -> None: ...
