"""Pins from the lock files of uv, pylock.toml (PEP 751), Poetry, PDM and Pipenv, and from requirements files.

A lock file lists packages for every platform. Only those that its markers ask for here are pinned.
"""

from __future__ import annotations

import itertools
import json
import platform
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from pytest_sst2.upgrade.pins import LockFile, is_installer, lock_of_lines
from pytest_sst2.utils.errors import Sst2Error

_Table = Mapping[str, Any]
# Keys of a source that is a folder, a repository or a single file.
_NOT_AN_INDEX = frozenset(("git", "vcs", "url", "path", "directory", "archive", "editable", "virtual", "file"))


@dataclass(frozen=True)
class _Package:
    name: str
    version: str
    is_on_index: bool
    table: _Table


def lock_of_text(text: str, name: str) -> LockFile:
    """Return the pins of a lock file; errors call it ``name``.

    Raises:
        Sst2Error: The text is of no known format, or pins nothing here.
    """
    data = _parsed(text)
    if data is None:
        return lock_of_lines(text, name)
    read = _reader_of(data)
    if read is None:
        raise Sst2Error(
            f"{name!r} is no lock file of uv, Poetry, PDM, Pipenv or PEP 751 (pylock.toml). Export one: "
            "`uv export --format requirements-txt`."
        )
    try:
        packages = [*read(data)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Sst2Error(f"{name!r} is damaged, or of a version that is not known: {error!r}.") from error
    chosen = [package for package in packages if not is_installer(package.name)]
    pins: dict[str, str] = {}
    for package in chosen:
        if package.is_on_index and pins.setdefault(package.name, package.version) != package.version:
            raise Sst2Error(
                f"{name!r} pins {package.name} twice for this environment: {pins[package.name]} and "
                f"{package.version}. Export one choice as requirements, such as with `uv export` or `poetry export`."
            )
    if not pins:
        raise Sst2Error(f"{name!r} pins no package for this environment.")
    return LockFile(pins, tuple(sorted({package.name for package in chosen if not package.is_on_index})))


def _parsed(text: str) -> _Table | None:
    """Return the tables of a TOML or JSON file; None for lines of requirements."""
    for parse, error in ((tomllib.loads, tomllib.TOMLDecodeError), (json.loads, ValueError)):
        try:
            data = parse(text)
        except (error, RecursionError):
            continue
        if isinstance(data, dict) and data:
            return data
    return None


def _reader_of(data: _Table) -> Callable[[_Table], Iterator[_Package]] | None:
    if isinstance(data.get("packages"), list) and "lock-version" in data:
        return _of_pylock
    if isinstance(data.get("package"), list):
        metadata = data.get("metadata")
        if isinstance(metadata, dict) and not metadata.keys().isdisjoint(("lock-version", "lock_version")):
            return _of_poetry
        return _of_uv if isinstance(data.get("version"), int) else None
    return _of_pipenv if isinstance(data.get("default"), dict) and "_meta" in data else None


def _package(table: _Table, source: Any = None) -> _Package:
    keys = {*table, *(source if isinstance(source, dict) else ())}
    if isinstance(source, dict) and "type" in source:  # Poetry
        keys.add(str(source["type"]))
    is_on_index = keys.isdisjoint(_NOT_AN_INDEX) and "version" in table
    return _Package(canonicalize_name(table["name"]), str(table.get("version", "")), is_on_index, table)


def _applies(marker: Any, extras: frozenset[str] = frozenset()) -> bool:
    """Return whether a marker asks for a package here; without one it is asked for everywhere."""
    if not marker:
        return True
    names = sorted(extras) or [""]
    try:
        return any(Marker(str(marker)).evaluate({"extra": name}) for name in names)
    except UndefinedEnvironmentName:  # extras and groups of PEP 751, of which none is chosen
        return False
    except (InvalidMarker, UndefinedComparison) as error:
        raise ValueError(f"marker {marker!r}: {error}") from error


def _of_pylock(data: _Table) -> Iterator[_Package]:
    """Yield the packages of a pylock.toml (packaging.python.org/en/latest/specifications/pylock-toml)."""
    groups = {"extras": frozenset(), "dependency_groups": frozenset(data.get("default-groups", ()))}
    for table in data["packages"]:
        marker = table.get("marker")
        if marker and not _applies_in_lock(str(marker), groups):
            continue
        yield _package(table)


def _applies_in_lock(marker: str, groups: Mapping[str, frozenset[str]]) -> bool:
    try:
        return Marker(marker).evaluate(groups, context="lock_file")  # type: ignore[arg-type,call-arg,unused-ignore]
    except TypeError:  # packaging before 25.0
        return _applies(marker)
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise ValueError(f"marker {marker!r}: {error}") from error


def _of_poetry(data: _Table) -> Iterator[_Package]:
    """Yield the packages of a poetry.lock or pdm.lock: those of the main or default group, or of any if none is named.

    Before Poetry 2 and in PDM's older files, packages have no groups. One without a marker of its own is then left out
    if every package that needs it does so for other platforms only.
    """
    tables = data["package"]
    needed = set() if any("groups" in table for table in tables) else _needed_elsewhere_only(tables)
    for table in tables:
        groups = table.get("groups", ())
        if table.get("optional") or (groups and {"main", "default"}.isdisjoint(groups)):
            continue
        marker = table.get("markers", table.get("marker"))
        if isinstance(marker, dict):  # one for each group
            marker = marker.get("main", marker.get("default"))
        is_needed = _applies(marker) and canonicalize_name(table["name"]) not in needed
        if is_needed and _runs_here(table.get("python-versions", table.get("requires_python"))):
            yield _package(table, table.get("source"))


def _runs_here(versions: Any) -> bool:
    """Return whether a package supports this interpreter, by the versions of Python that it declares."""
    try:
        return not versions or SpecifierSet(str(versions)).contains(platform.python_version(), prereleases=True)
    except InvalidSpecifier:  # "*", for example
        return True


def _needed_elsewhere_only(tables: Sequence[_Table]) -> set[str]:
    """Return the names of packages that other packages need, but none of them here."""
    here: dict[str, bool] = {}
    for table in tables:
        # An optional one is in the file because a chosen extra of this package needs it.
        extras = frozenset(table.get("extras", ()))
        for name, markers in _dependencies(table.get("dependencies", {})):
            here[name] = here.get(name, False) or any(_applies(marker, extras) for marker in markers)
    return {name for name, applies in here.items() if not applies}


def _dependencies(dependencies: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the name of each dependency with the markers of its choices: a table in poetry.lock, a list in pdm.lock."""
    if not isinstance(dependencies, dict):
        for requirement in map(Requirement, dependencies):
            yield canonicalize_name(requirement.name), [requirement.marker]
        return
    for name, wanted in dependencies.items():
        choices = wanted if isinstance(wanted, list) else [wanted]
        markers = [choice.get("markers") if isinstance(choice, dict) else None for choice in choices]
        yield canonicalize_name(name), markers


def _of_pipenv(data: _Table) -> Iterator[_Package]:
    """Yield the packages of the default group of a Pipfile.lock."""
    for name, table in data["default"].items():
        if _applies(table.get("markers")):
            # Of a package that cannot be installed where the file was written, Pipenv has no version but "*".
            version = str(table.get("version", "")).removeprefix("==").removeprefix("*")
            plain = {key: value for key, value in table.items() if key not in ("version", "file")}
            yield _package({**plain, "name": name, **({"version": version} if version else {})})


def _of_uv(data: _Table) -> Iterator[_Package]:
    """Yield the packages of a uv.lock that its projects or its script need here, without extras and groups of those."""
    by_name: dict[str, list[_Table]] = {}
    for table in data["package"]:
        by_name.setdefault(canonicalize_name(table["name"]), []).append(table)
    roots = [table for table in data["package"] if not {"virtual", "editable"}.isdisjoint(table.get("source", {}))]
    if not roots and (of_script := data.get("manifest", {}).get("requirements")):
        roots = [{"dependencies": of_script}]
    if not roots:
        yield from (_package(table, table.get("source")) for table in data["package"] if _is_fork_here(table))
        return
    yield from _needed_by(roots, by_name)


def _needed_by(roots: Sequence[_Table], by_name: Mapping[str, Sequence[_Table]]) -> Iterator[_Package]:
    waiting: list[tuple[_Table, frozenset[str]]] = [(root, frozenset()) for root in roots]
    done: set[tuple[int, frozenset[str]]] = set()
    yielded = {id(root) for root in roots}
    while waiting:
        table, extras = waiting.pop()
        if (id(table), extras) in done:
            continue
        done.add((id(table), extras))
        if id(table) not in yielded:
            yielded.add(id(table))
            yield _package(table, table.get("source"))
        optional = table.get("optional-dependencies", {})
        needs = (table.get("dependencies", ()), *(optional.get(extra, ()) for extra in sorted(extras)))
        waiting.extend(
            (_choice(need, by_name), frozenset(need.get("extra", ())))
            for need in itertools.chain.from_iterable(needs)
            if _applies(need.get("marker"), extras)
        )


def _choice(need: _Table, by_name: Mapping[str, Sequence[_Table]]) -> _Table:
    """Return the package that a dependency means: of several versions the named one, or the one for this platform."""
    choices = by_name[canonicalize_name(need["name"])]
    if "version" in need:
        choices = [table for table in choices if table.get("version") == need["version"]] or choices
    return next(filter(_is_fork_here, choices), choices[0])


def _is_fork_here(table: _Table) -> bool:
    markers = table.get("resolution-markers", ())
    return not markers or any(_applies(marker) for marker in markers)
