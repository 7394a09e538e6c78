"""Complete command lines in a shell with argcomplete, which the extra ``completion`` installs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.results.baselines import FOLDER, project_folder

# Arguments whose value can be the name of a baseline.
_BASELINES = ("before", "after", "baseline", "baselines", "files", "compare")


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the request of a shell and exit; do nothing if argcomplete is not installed."""
    try:
        import argcomplete
    except ImportError:
        return
    for action in _actions(parser):
        if action.dest in _BASELINES:
            action.completer = _names_and_files  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and of its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for of_command in action.choices.values():
                yield from _actions(of_command)


def _names_and_files(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    names = [path.stem for path in (project_folder(Path.cwd()) / FOLDER).glob("*.json")]
    return [name for name in sorted(names) if name.startswith(prefix)] + list(FilesCompleter()(prefix))
