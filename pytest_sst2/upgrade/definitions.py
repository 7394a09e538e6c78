"""Split a Python file into functions and the bodies of classes and modules, and compare what they do."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Names of code objects that belong to the function around them.
_INNER = ("<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_LOCALS = ".<locals>"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)
# Fields that do not decide what a function does, and the names whose assignment at the top of a module does not.
_IGNORED_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "kind", "ctx"})
_IGNORED_NAMES = frozenset({"__all__", "__version__", "__author__", "__doc__"})
_MODULE = ""


@dataclass(frozen=True)
class Definition:
    """A function, or the body of a class or a module without the functions and classes in it.

    Attributes:
        name: The qualified name as Python spells it, such as ``Model.forward``; empty for the module.
        number: How many definitions of this name stand before it in the file.
        start: Its first line, that of a decorator if it has one.
        end: Its last line.
        text: The source lines, to tell equal definitions without parsing them further.
        node: The syntax tree.
    """

    name: str
    number: int
    start: int
    end: int
    text: str
    node: ast.AST

    @property
    def is_function(self) -> bool:
        """Whether it is a function, not the body of a class or a module."""
        return isinstance(self.node, _FUNCTIONS)

    @property
    def key(self) -> tuple[str, int]:
        """What identifies it within its file."""
        return self.name, self.number


def definitions_of(source: str) -> list[Definition]:
    """Return the definitions of a file, the module first.

    Raises:
        SyntaxError, ValueError, RecursionError: This interpreter cannot parse it.
    """
    tree = ast.parse(source)
    lines = source.split("\n")
    found = [Definition(_MODULE, 0, 1, len(lines), source, tree)]
    numbers: dict[str, int] = {}
    for name, node in _nested(tree, ""):
        start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        end = node.end_lineno or start
        number = numbers[name] = numbers.get(name, -1) + 1
        found.append(Definition(name, number, start, end, "\n".join(lines[start - 1 : end]), node))
    return found


def _nested(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield the definitions inside a node with their qualified names, in the order of the source."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _DEFINITIONS):
            name = f"{prefix}{child.name}"
            yield name, child
            yield from _nested(child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}{_LOCALS}.")
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _nested(child, prefix)


def does_the_same(one: Definition, other: Definition) -> bool:
    """Return whether two definitions differ at most in comments, docstrings, annotations, layout and inner definitions.

    Imports of a module and its ``__all__`` and ``__version__`` count as little.
    """
    return one.text == other.text or _content(one.node) == _content(other.node)


def content_digest(definition: Definition) -> str:
    """Return a digest of the own name of a definition and of what it does, wherever it stands."""
    return hashlib.sha256(repr((definition.name.rpartition(".")[2], _content(definition.node))).encode()).hexdigest()


def _content(node: ast.AST) -> tuple[object, ...]:
    """Return the parts of a definition that decide its behaviour, as nested tuples."""
    if isinstance(node, ast.Module):
        return tuple(_tree(child) for child in _body(node) if not _is_ignored(child))
    assert isinstance(node, _DEFINITIONS)  # noqa: S101 - all that definitions_of returns
    inputs = (node.args,) if isinstance(node, _FUNCTIONS) else (*node.bases, *node.keywords)
    parts = (*node.decorator_list, *inputs, *_body(node))
    return (type(node).__name__, *(_tree(part) for part in parts))


def _body(node: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Return the statements of a definition without its docstring, ``pass`` and the definitions in it."""
    first = node.body[0] if node.body else None
    value = first.value if isinstance(first, ast.Expr) else None
    start = 1 if isinstance(value, ast.Constant) and isinstance(value.value, str) else 0
    return [statement for statement in node.body[start:] if not isinstance(statement, (*_DEFINITIONS, ast.Pass))]


def _is_ignored(statement: ast.stmt) -> bool:
    """Return whether a statement at the top of a module decides nothing about what its functions do."""
    if isinstance(statement, ast.Assign):
        return all(isinstance(target, ast.Name) and target.id in _IGNORED_NAMES for target in statement.targets)
    if isinstance(statement, ast.If):
        return "TYPE_CHECKING" in ast.dump(statement.test)
    return isinstance(statement, ast.Import | ast.ImportFrom)


def _tree(value: object) -> object:
    """Return a part of a syntax tree as nested tuples, without positions, annotations and what is defined inside."""
    if isinstance(value, _DEFINITIONS):
        return ("definition", value.name)
    if isinstance(value, ast.AST):
        fields = ((name, part) for name, part in ast.iter_fields(value) if name not in _IGNORED_FIELDS)
        return (type(value).__name__, *((name, _tree(part)) for name, part in fields))
    if isinstance(value, list):
        return tuple(_tree(part) for part in value)
    # Equal constants of different types, such as 1 and 1.0, compute differently.
    return value if value is None or isinstance(value, str) else (type(value).__name__, repr(value))


def definition_at(definitions: Sequence[Definition], name: str, line: int) -> Definition | None:
    """Return the definition of the code with a qualified name and a first line; None if there is none."""
    while name.rpartition(".")[2] in _INNER:
        name = name.rpartition(".")[0].removesuffix(_LOCALS)
    fitting = [one for one in definitions if one.name == name and one.start <= line <= one.end]
    return fitting[-1] if fitting else None
