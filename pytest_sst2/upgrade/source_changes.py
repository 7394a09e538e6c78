"""Compare the sources of packages in two environments: which definitions changed, and which of them ran."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_sst2.instruments.function_trace import is_compiled
from pytest_sst2.upgrade.definitions import Definition, Key, content_digest, definitions_of, does_the_same, is_left_out
from pytest_sst2.upgrade.traced_run import Trace
from pytest_sst2.upgrade.uses import used_definitions

_MODULE_ENDING = ".py"
_PACKAGE = ".__init__"


@dataclass(frozen=True)
class ChangedDefinition:
    """A definition that changed, and that ran in one of the two environments.

    Attributes:
        file: Its file, relative to the folder of the packages.
        name: Its qualified name; empty for the code of the module outside of functions and classes.
        before: Its first line in the earlier environment; None if it is new.
        after: Its first line in the later environment; None if it was removed.
        inside: What it ran in, as in ``RanFunction``.
    """

    file: str
    name: str
    before: int | None
    after: int | None
    inside: frozenset[str]

    @property
    def place(self) -> str:
        """``package.module:Class.function``, or the module's name."""
        module = self.file.removesuffix(_MODULE_ENDING).replace("/", ".").removesuffix(_PACKAGE)
        return f"{module}:{self.name}" if self.name else module

    @property
    def lines(self) -> str:
        """``package/module.py:10 → 12``."""
        if self.before is None:
            return f"{self.file}:{self.after}, new"
        return f"{self.file}:{self.before}" + (", removed" if self.after is None else f" → {self.after}")


@dataclass(frozen=True)
class SourceChanges:
    """How the sources of the changed packages differ.

    Attributes:
        total: How many definitions changed, are new or were removed.
        ran: Those that ran.
        compiled: Compiled files that differ and were loaded.
        unread: Files that this interpreter cannot read as Python.
        data: Other files that differ and were opened.
    """

    total: int
    ran: tuple[ChangedDefinition, ...]
    compiled: tuple[str, ...]
    unread: tuple[str, ...]
    data: tuple[str, ...] = ()


def source_changes(before: Trace, after: Trace, packages: Collection[str]) -> SourceChanges:
    """Return the differences between the packages of two environments, with these names on either side."""
    files = [_files(side.site, packages) for side in (before, after)]
    total, unread = 0, []
    found: list[_Changed] = []
    compiled: list[str] = []
    data: list[str] = []
    for file in sorted(files[0] | files[1]):
        sources = [_content(side.site / file) for side in (before, after)]
        if sources[0] == sources[1]:
            continue
        if is_compiled(file):
            compiled += [file] if file in before.compiled | after.compiled else []
        elif not file.endswith(_MODULE_ENDING):
            data += [file] if file in before.opened | after.opened and ".dist-info/" not in file else []
        else:
            try:
                changed = [*_changed_in(file, sources, before, after)]
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                unread.append(file)
                continue
            total += len(changed)
            found += [one for one in changed if one.inside]
    ran = tuple(one.public for one in _without_moved(found))
    return SourceChanges(total, ran, tuple(compiled), tuple(unread), tuple(data))


def _files(site: Path, packages: Collection[str]) -> set[str]:
    """Return the files that the packages installed, relative to ``site``."""
    names = {canonicalize_name(package) for package in packages}
    found: set[str] = set()
    for distribution in metadata.distributions(path=[str(site)]):
        if canonicalize_name(distribution.metadata["Name"] or "") in names:
            found.update(str(file) for file in distribution.files or () if ".." not in file.parts)
    return found


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


@dataclass(frozen=True)
class _Changed:
    """A changed definition; ``digest`` is set if only one side has the definition and ran it."""

    public: ChangedDefinition
    digest: str

    @property
    def inside(self) -> frozenset[str]:
        return self.public.inside


def _changed_in(file: str, sources: Sequence[bytes | None], before: Trace, after: Trace) -> Iterator[_Changed]:
    """Yield the definitions of a file that differ."""
    sides = [[*_definitions(source)] for source in sources]
    old, new = ({one.key: one for one in side} for side in sides)
    ran: dict[Key, set[str]] = {}
    for trace, side in ((before, sides[0]), (after, sides[1])):
        for key, places in used_definitions(file, side, trace).items():
            ran.setdefault(key, set()).update(places)
    single = {one.key for one in (*sides[0], *sides[1]) if one.is_class and not (one.key in old and one.key in new)}
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        if one is not None and other is not None and does_the_same(one, other):
            continue
        inside = frozenset(ran.get(key, ()))
        only = one or other
        assert only is not None  # noqa: S101 - the key comes from one of the two
        if only.is_value and (only.owner, only.number, False) in single:
            continue  # a new or removed class counts once, with the values that it sets
        if only.is_import and (one is None or other is None):
            continue  # what uses the name has changed, too
        changed = ChangedDefinition(file, only.name, one.start if one else None, other.start if other else None, inside)
        is_single = one is None or other is None
        yield _Changed(changed, content_digest(only) if is_single and inside else "")


def _definitions(source: bytes | None) -> Iterator[Definition]:
    if source is not None:
        yield from (one for one in definitions_of(source.decode("utf-8-sig")) if not is_left_out(one))


def _without_moved(found: Sequence[_Changed]) -> Iterator[_Changed]:
    """Yield the definitions except those that only moved to another file or class."""
    removed = {one.digest for one in found if one.public.after is None}
    new = {one.digest for one in found if one.public.before is None}
    moved = (removed & new) - {""}
    yield from (one for one in found if one.digest not in moved)
