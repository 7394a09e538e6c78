"""What counts as a change of a definition."""

from __future__ import annotations

import pytest

from pytest_sst2.upgrade.definitions import definition_at, definitions_of, does_the_same

SOURCE = '''
"""A module."""
import os
from .functions import gelu as activation

SCALE = 1

class Layer(Base):
    """A layer."""

    eps: float = 1e-12

    @decorated(1)
    def forward(self, x: int, factor=2) -> int:
        """Multiply."""
        if not x:
            raise ValueError(f"nothing in {x}")
        size = len(x)
        assert size, "nothing"
        logger.info("%d rows", size)
        def inner(y):
            return y
        return [inner(z) * factor for z in x]  # a product
'''


def changed(old: str, new: str, count: int = -1) -> list[str]:
    """Return the names of the definitions that change when a text of the source is replaced."""
    assert old in SOURCE
    later = {one.key: one for one in definitions_of(SOURCE.replace(old, new, count))}
    return [one.name for one in definitions_of(SOURCE) if not does_the_same(one, later[one.key])]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Multiply."""', '"""Return the product."""'),
        ('"""A layer."""', ""),
        ("x: int", "x: list[int]"),
        (") -> int", ")"),
        ("eps: float", "eps: int"),
        ("  # a product", ""),
        ("import os", "import sys"),
        ("from .functions", "from .layers.functions"),
        ("nothing in {x}", "empty: {x!r}"),
        (', "nothing"', ""),
        ('        logger.info("%d rows", size)\n', ""),
        ("size", "number"),
        ("SCALE = 1", "\n\nSCALE = 1\n__version__ = '2'"),
        ("[inner(z) * factor for z in x]", "[\n            inner(z) * factor for z in x\n        ]"),
    ],
)
def test_words_layout_and_annotations_are_no_change(old: str, new: str) -> None:
    assert changed(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("SCALE = 1", "SCALE = 1.0", "SCALE"),
        ("1e-12", "1e-5", "Layer.eps"),
        ("Layer(Base)", "Layer(Other)", "Layer"),
        ("gelu as", "relu as", "activation"),
        ("raise ValueError", "raise TypeError", "Layer.forward"),
        ("size = len(x)", "size = len(SCALE)", "Layer.forward"),
        ("factor=2", "factor=3", "Layer.forward"),
        ("decorated(1)", "decorated(2)", "Layer.forward"),
        ("* factor", "+ factor", "Layer.forward"),
        ("return y", "return -y", "Layer.forward.<locals>.inner"),
    ],
)
def test_what_computes_differently_is_a_change_of_the_innermost_definition(old: str, new: str, name: str) -> None:
    assert changed(old, new) == [name]


def test_code_is_found_by_its_name_and_line() -> None:
    found = definitions_of("def f():\n    return 1\n\n\ndef f():\n    return [lambda: 2 for _ in ()]\n")
    assert [definition_at(found, "f", line) for line in (1, 5)] == found[1:]
    assert definition_at(found, "f.<locals>.<listcomp>.<lambda>", 6) == found[2]
    assert definition_at(found, "g", 1) is None
