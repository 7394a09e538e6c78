"""The parts of Python code that decide what it computes, as nested tuples that can be compared."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# Fields that do not decide what code computes.
_IGNORED_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})
# Functions that see the names of local variables.
_SEE_LOCALS = frozenset({"locals", "vars", "eval", "exec", "dir"})
_LOG_METHODS = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log"}
    | {"debug_once", "info_once", "warning_once", "warning_advice"}
)
_LOGGERS = frozenset({"logger", "logging", "log", "warnings"})


def content(nodes: Sequence[ast.AST]) -> tuple[object, ...]:
    """Return what statements compute: without annotations, docstrings, messages and the names of local variables.

    What is defined inside a function or a class counts by its name only.
    """
    return tuple(_definition(node) if isinstance(node, DEFINITIONS) else _tree(node, {}) for node in nodes)


def body_of(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Return the statements of a definition without its docstring, ``pass``, log messages and the definitions in it."""
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    start = 1 if isinstance(value, ast.Constant) and isinstance(value.value, str) else 0
    return [one for one in node.body[start:] if not isinstance(one, DEFINITIONS) and not _is_without_effect(one)]


def _definition(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> tuple[object, ...]:
    outside = [_tree(part, {}) for part in node.decorator_list]
    if isinstance(node, ast.ClassDef):
        return (type(node).__name__, *outside, *(_tree(part, {}) for part in (*node.bases, *node.keywords)))
    numbers = {name: number for number, name in enumerate(_local_names(node))}
    body = (_tree(part, numbers) for part in body_of(node))
    return (type(node).__name__, *outside, _tree(node.args, {}), *body)


def _tree(value: object, local: Mapping[str, int]) -> object:
    """Return a part of a syntax tree; local variables are numbered."""
    if isinstance(value, DEFINITIONS):
        return ("definition", value.name)
    if isinstance(value, ast.alias):
        return ("import", value.name)
    if isinstance(value, ast.Name) and value.id in local:
        return ("local", local[value.id])
    if isinstance(value, ast.Raise) and isinstance(value.exc, ast.Call):
        parts = [part for part in value.exc.args if not _is_text(part)]
        return ("raise", *(_tree(part, local) for part in (value.exc.func, parts, value.exc.keywords, value.cause)))
    if isinstance(value, ast.Assert):
        return ("assert", _tree(value.test, local))
    if isinstance(value, ast.AST):
        fields = ((name, part) for name, part in ast.iter_fields(value) if name not in _IGNORED_FIELDS)
        if isinstance(value, ast.ExceptHandler) and value.name in local:
            fields = ((name, local[value.name or ""] if name == "name" else part) for name, part in fields)
        return (type(value).__name__, *((name, _tree(part, local)) for name, part in fields))
    if isinstance(value, list):
        return tuple(
            _tree(part, local) for part in value if not (isinstance(part, ast.stmt) and _is_without_effect(part))
        )
    # Equal constants of different types, such as 1 and 1.0, compute differently.
    return value if value is None or isinstance(value, str) else (type(value).__name__, repr(value))


def _is_without_effect(statement: ast.stmt) -> bool:
    """Return whether a statement is ``pass``, a text, an annotation of a local name, or writes to a log."""
    if not isinstance(statement, ast.Expr):
        return isinstance(statement, ast.Pass)
    value = statement.value
    if isinstance(value, ast.Constant):
        return True
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Attribute)
        and value.func.attr in _LOG_METHODS
        and isinstance(value.func.value, ast.Name)
        and value.func.value.id.strip("_").lower() in _LOGGERS
    )


def _is_text(node: ast.expr) -> bool:
    """Return whether an expression is a text, put together from texts, or formatted."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _is_text(node.left) or (isinstance(node.op, ast.Add) and _is_text(node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join"):
        return _is_text(node.func.value)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _local_names(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the variables of a function whose names only the function sees, in the order of the source."""
    everything = [*_inside(node)]
    fixed = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
    for one in everything:
        if isinstance(one, ast.Global | ast.Nonlocal):
            fixed.update(one.names)
        elif isinstance(one, (*DEFINITIONS, ast.Lambda)):
            fixed.update(mentions([one]))
        elif isinstance(one, _COMPREHENSIONS):
            targets = (inner for generator in one.generators for inner in ast.walk(generator.target))
            fixed.update(inner.id for inner in targets if isinstance(inner, ast.Name))
        elif isinstance(one, ast.Import | ast.ImportFrom):
            fixed.update((alias.asname or alias.name).partition(".")[0] for alias in one.names)
        elif isinstance(one, ast.MatchAs | ast.MatchStar):
            fixed.add(one.name or "")
    named = [one.id for one in everything if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
    named += [one.name for one in everything if isinstance(one, ast.ExceptHandler) and one.name]
    if any(isinstance(one, ast.Name) and one.id in _SEE_LOCALS for one in everything):
        return []
    return [name for name in Counter(named) if name not in fixed]


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is inside a node in the order of the source; definitions and lambdas without what is in them."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, (*DEFINITIONS, ast.Lambda)):
            yield from _inside(child)


def mentions(nodes: Sequence[ast.AST]) -> set[str]:
    """Return the names, attributes, keywords and identifiers in texts that code mentions."""
    found: set[str] = set()
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Name):
                found.add(one.id)
            elif isinstance(one, ast.Attribute):
                found.add(one.attr)
            elif isinstance(one, ast.keyword) and one.arg:
                found.add(one.arg)
            elif isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.isidentifier():
                found.add(one.value)
    return found
