"""Digest of the code of a user's method: its function and what the function names, without the rest of the file."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pytest_sst2.results.record import UNREADABLE_CODE
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import sha256_digest
from pytest_sst2.utils.safe_read import read_text

_PLAIN = (str, int, float, bool, bytes, type(None))


def code_digest(function: Callable[..., Any]) -> str:
    """Return the SHA-256 of the code of a method's function, 64 hexadecimal digits.

    The code is the top-level statement that contains the function, and the top-level statements of the same folder that
    define the names it uses, and so on. Comments, docstrings and layout do not count. Arguments of partials, variables
    of closures and attributes count if they are plain values. Names that are looked up as text, as with ``getattr``,
    are not found.

    It is empty for functions of this package, whose version is in the environment, and ``UNREADABLE_CODE`` if there is
    no source file, as with compiled code.
    """
    values = list(_plain_values(function))
    function = innermost(function)
    if function.__module__.startswith("pytest_sst2."):
        return ""
    values += _plain_values(getattr(function, "__self__", function))
    try:
        code = function if inspect.isroutine(function) else type(function)
        module = sys.modules[code.__module__]
        _, line = inspect.getsourcelines(code)
        return sha256_digest("\n".join([*values, *_Closure(_source_file(module).parent).of_line(module, line)]))
    except (TypeError, OSError, KeyError, SyntaxError, Sst2Error):
        return UNREADABLE_CODE


def innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside partials and decorators."""
    while isinstance(function, functools.partial):
        function = function.func
    unwrapped: Callable[..., Any] = inspect.unwrap(function)
    return unwrapped


def _plain_values(holder: Any) -> Iterator[str]:
    """Yield the plain arguments of partials, variables of a closure, or attributes of an object, as text."""
    while isinstance(holder, functools.partial):
        for name, value in (*enumerate(holder.args), *sorted(holder.keywords.items())):
            yield f"{name}={value!r}" if isinstance(value, _PLAIN) else str(name)
        holder = holder.func
    if inspect.isfunction(holder):
        values = inspect.getclosurevars(holder).nonlocals
    else:
        values = {} if isinstance(holder, ModuleType | type) else getattr(holder, "__dict__", {})
    for name, value in sorted(values.items()):
        if isinstance(value, _PLAIN):
            yield f"{name}={value!r}"


def _source_file(module: ModuleType) -> Path:
    return Path(inspect.getsourcefile(module) or "")


class _Closure:
    """The statements that a statement needs, in the order in which they are found, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._statements: dict[tuple[str, int], str] = {}
        self._trees: dict[str, list[ast.stmt]] = {}

    def of_line(self, module: ModuleType, line: int) -> list[str]:
        """Return the top-level statement at a line of a module, and those it needs, without comments."""
        for statement in self._tree(module):
            first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", ()))])
            if first <= line <= (statement.end_lineno or first):
                self._add(module, statement)
        return list(self._statements.values())

    def _tree(self, module: ModuleType) -> list[ast.stmt]:
        if module.__name__ not in self._trees:
            self._trees[module.__name__] = ast.parse(read_text(_source_file(module))).body
        return self._trees[module.__name__]

    def _add(self, module: ModuleType, statement: ast.stmt) -> None:
        place = (module.__name__, statement.lineno)
        if place in self._statements:
            return
        self._statements[place] = ast.unparse(_without_docstrings(statement))
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        for other in self._tree(module):
            if names & _defined_names(other):
                self._add(module, other)
        for name in sorted(names):
            self._add_imported(vars(module).get(name))

    def _add_imported(self, value: Any) -> None:
        """Add what was imported from a file in the folder of the method: a function, a class, or a whole module."""
        module = value if isinstance(value, ModuleType) else sys.modules.get(getattr(value, "__module__", None) or "")
        if module is None or not getattr(module, "__file__", None):
            return
        if not _source_file(module).is_relative_to(self._folder):
            return
        name = getattr(value, "__name__", "")
        for statement in self._tree(module):
            if value is module or name in _defined_names(statement):
                self._add(module, statement)


def _defined_names(statement: ast.stmt) -> set[str]:
    """Return the names that a top-level statement defines, including those of imports."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    return {name for node in ast.walk(statement) if (name := _changed_name(node)) is not None}


def _changed_name(node: ast.AST) -> str | None:
    """Return the name that is assigned, or the one whose item or attribute is assigned or whose method is called."""
    is_stored = isinstance(getattr(node, "ctx", None), ast.Store)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node, is_stored = node.func, True
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if is_stored and isinstance(node, ast.Name) else None


def _without_docstrings(statement: ast.stmt) -> ast.stmt:
    """Return the statement parsed again, so that the original stays, without the docstrings in it."""
    (copy,) = ast.parse(ast.unparse(statement)).body
    for node in ast.walk(copy):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return copy
