"""Split a Python file into its functions, its classes and the values that its module and its classes set."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pytest_sst2.upgrade.behaviour import DEFINITIONS, FUNCTIONS, body_of, content

# Names of code objects that belong to the definition around them.
_INNER = ("<lambda>", "<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_LOCALS = ".<locals>"
# Names whose assignment at the top of a module does not decide what its functions do.
_IGNORED_NAMES = frozenset({"__all__", "__version__", "__author__", "__doc__"})
Key = tuple[str, int, bool]
# A statement, or a name that an import sets, and the conditions that it depends on.
_Statement = tuple[ast.stmt | ast.alias, tuple[ast.AST, ...]]


@dataclass(frozen=True)
class Definition:
    """A function, a class, a value that a module or a class sets, or the other statements of a module.

    Attributes:
        name: The qualified name as Python spells it, such as ``Model.forward``; empty for the module.
        number: How many definitions of this name stand before it in the file.
        spans: The first and the last line of each of its statements, with decorators; never empty.
        text: The source lines, to tell equal definitions without comparing them further.
        nodes: The statements. Those of a class are its header and the statements that set no name.
        tests: The conditions under which a value is set.
    """

    name: str
    number: int
    spans: tuple[tuple[int, int], ...]
    text: str
    nodes: tuple[ast.AST, ...]
    tests: tuple[ast.AST, ...] = ()

    @property
    def start(self) -> int:
        """Its first line."""
        return self.spans[0][0]

    @property
    def is_function(self) -> bool:
        """Whether it is a function."""
        return bool(self.nodes) and isinstance(self.nodes[0], FUNCTIONS)

    @property
    def is_class(self) -> bool:
        """Whether it is a class, without the values that it sets and the definitions in it."""
        return bool(self.nodes) and isinstance(self.nodes[0], ast.ClassDef)

    @property
    def is_value(self) -> bool:
        """Whether it is a value that a module or a class sets."""
        return bool(self.name) and not self.is_function and not self.is_class

    @property
    def is_import(self) -> bool:
        """Whether it is a name that only imports set."""
        return self.is_value and all(isinstance(node, ast.alias) for node in self.nodes)

    @property
    def owner(self) -> str:
        """The name of the class or function around it; empty at the top of the module."""
        return self.name.rpartition(".")[0]

    @property
    def own_name(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    @property
    def key(self) -> Key:
        """What identifies it within its file: a value may have the name of a class or a function."""
        return self.name, self.number, self.is_value

    @property
    def read_at_import(self) -> tuple[ast.AST, ...]:
        """The parts that are evaluated when the file is imported: all but the body of a function and of a class."""
        first = self.nodes[0] if self.nodes else None
        if isinstance(first, FUNCTIONS):
            return (*first.decorator_list, *first.args.defaults, *filter(None, first.args.kw_defaults))
        if isinstance(first, ast.ClassDef):
            return (*first.decorator_list, *first.bases, *first.keywords, *self.nodes[1:])
        return (*self.nodes, *self.tests)


def definitions_of(source: str) -> list[Definition]:
    """Return the definitions of a file, the module first.

    Raises:
        SyntaxError, ValueError, RecursionError: This interpreter cannot parse it.
    """
    tree = ast.parse(source)
    lines = source.split("\n")
    found = [*_values(tree, "", lines)]
    numbers: dict[str, int] = {}
    for name, node in _nested(tree, ""):
        number = numbers[name] = numbers.get(name, -1) + 1
        if isinstance(node, FUNCTIONS):
            found.append(Definition(name, number, (_span(node),), _text(lines, [_span(node)]), (node,)))
        else:
            found += _values(node, name, lines, number)
    return found


def _nested(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield the definitions inside a node with their qualified names, in the order of the source."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, DEFINITIONS):
            name = f"{prefix}{child.name}"
            yield name, child
            yield from _nested(child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}{_LOCALS}.")
        elif isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from _nested(child, prefix)


def _values(node: ast.Module | ast.ClassDef, name: str, lines: Sequence[str], number: int = 0) -> Iterator[Definition]:
    """Yield what a module or a class is without the values that it sets, then each value."""
    groups: dict[str, list[_Statement]] = {"": []}
    for statement, tests in _simple(body_of(node), ()):
        for target in _set_by(statement, groups) or {""}:
            groups.setdefault(target, []).append((statement, tests))
    for target, found in groups.items():
        header = () if target or isinstance(node, ast.Module) else (node,)
        statements = [statement for statement, _tests in found]
        spans = [_span(statement) for statement in statements]
        if not target:
            spans = [(_span(node)[0], node.body[0].lineno) if header else (1, 1), *spans]
        yield Definition(
            name=".".join(filter(None, (name, target))),
            number=number,
            spans=tuple(spans),
            text=_text(lines, spans if target or header else spans[1:]),
            nodes=(*header, *statements),
            tests=tuple(test for _statement, tests in found for test in tests),
        )


def _simple(statements: Sequence[ast.stmt], tests: tuple[ast.AST, ...]) -> Iterator[_Statement]:
    """Yield the statements inside of ``if``, ``try`` and ``with``, with the conditions that they depend on."""
    for statement in statements:
        if isinstance(statement, ast.If):
            if "TYPE_CHECKING" not in ast.dump(statement.test):
                yield from _simple(statement.body, (*tests, statement.test))
            yield from _simple(statement.orelse, (*tests, statement.test))
        elif isinstance(statement, ast.Try):
            handlers = [inner for handler in statement.handlers for inner in handler.body]
            yield from _simple([*statement.body, *handlers, *statement.orelse, *statement.finalbody], tests)
        elif isinstance(statement, ast.With):
            yield from _simple(statement.body, (*tests, *(item.context_expr for item in statement.items)))
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            named = [one for one in statement.names if one.asname or isinstance(statement, ast.ImportFrom)]
            yield from ((one, tests) for one in named if one.name != "*")
        elif not isinstance(statement, (*DEFINITIONS, ast.Pass)):
            yield statement, tests


def _set_by(statement: ast.stmt | ast.alias, known: Collection[str]) -> set[str]:
    """Return the names that a statement sets or changes; empty if there is none."""
    if isinstance(statement, ast.alias):
        return {statement.asname or statement.name}
    stored = {one.id for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    if isinstance(statement, ast.Assign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        stored |= {_base(target) for target in targets} & set(known)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        changed = _base(statement.value.func)
        stored |= {changed} & set(known)
    return stored - {""}


def _base(node: ast.expr) -> str:
    """Return the name at the start of ``name.attribute[key]``; empty if there is none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _span(node: ast.AST) -> tuple[int, int]:
    """Return the first line of a statement, that of a decorator if it has one, and its last line."""
    assert isinstance(node, ast.stmt | ast.alias)  # noqa: S101 - only these have lines here
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", ()))])
    return first, node.end_lineno or first


def _text(lines: Sequence[str], spans: Sequence[tuple[int, int]]) -> str:
    return "\n".join(line for first, last in spans for line in lines[first - 1 : last])


def is_left_out(definition: Definition) -> bool:
    """Return whether a definition decides nothing about what functions compute: ``__all__``, ``__version__``."""
    return definition.name in _IGNORED_NAMES


def does_the_same(one: Definition, other: Definition) -> bool:
    """Return whether two definitions differ at most in words, annotations, layout, local names and inner definitions.

    Words are comments, docstrings, log messages and the messages of errors. An import of the same name from another
    module counts as little.
    """
    if one.text == other.text and len(one.tests) == len(other.tests) == 0:
        return True
    return _content(one) == _content(other)


def content_digest(definition: Definition) -> str:
    """Return a digest of the own name of a definition and of what it does, wherever it stands."""
    return hashlib.sha256(repr((definition.own_name, _content(definition))).encode()).hexdigest()


def _content(definition: Definition) -> tuple[object, ...]:
    return content(definition.nodes), () if definition.is_import else content(definition.tests)


def definition_at(definitions: Sequence[Definition], name: str, line: int) -> Definition | None:
    """Return the definition of the code with a qualified name and a first line; None if there is none."""
    is_inner = False
    while name.rpartition(".")[2] in _INNER:
        name, is_inner = name.rpartition(".")[0].removesuffix(_LOCALS), True
    at_line = [one for one in definitions if any(first <= line <= last for first, last in one.spans)]
    fitting = [one for one in at_line if one.name == name]
    if is_inner:
        fitting += [one for one in at_line if one.is_value and one.owner == name]
    return fitting[-1] if fitting else None
