"""Parse the command line of ``pytest-sst2``, run the command, and print its result or its error."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from pytest_sst2.cli import (
    cache,
    check,
    compare,
    doctor,
    history,
    lock,
    merge,
    methods,
    models,
    plan,
    recipes,
    report,
    upgrade,
)
from pytest_sst2.cli.completion import complete
from pytest_sst2.cli.output import print_text
from pytest_sst2.config.options import join_minus_values
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line
from pytest_sst2.utils.suggest import closest, did_you_mean
from pytest_sst2.utils.unexpected import UNEXPECTED, unexpected
from pytest_sst2.version import __version__

# Each module is named after its command.
_COMMANDS = (models, methods, recipes, compare, plan, report, merge, history, upgrade, lock, check, doctor, cache)
_ERROR = 2
# How argparse begins its message about an unknown command.
_UNKNOWN = "argument COMMAND: invalid choice: '"
_GONE = "the working folder no longer exists. Change to a folder that exists."
# As in a shell: 128 and the number of SIGINT.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if sys.stdout is None:  # the shell closed it, as `>&-` does; the exit status still counts
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for the rest of the process
    options = _parse(arguments)
    status = 0
    if _folder_is_gone():  # libraries end the process there
        return _failed(_GONE, _ERROR)
    # The encoding of a pipe may lack a character of the output.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        text, status = options.run(options)
    except Sst2Error as error:
        return _failed(str(error), _ERROR)
    except KeyboardInterrupt:
        return _failed("interrupted.", _INTERRUPTED)
    except Exception as error:
        command = options.run.__module__.rpartition(".")[2]
        return _failed(unexpected(f"the command {command}", error), UNEXPECTED)
    try:
        print_text(text)
    except BrokenPipeError:  # the reader, such as `head`, closed the pipe
        _discard_stdout()
    except OSError as error:
        _discard_stdout()
        return _failed(f"the output cannot be written: {error.strerror or error}.", _ERROR)
    return int(status)


def _failed(sentence: str, status: int) -> int:
    """Print an error, and return the exit status."""
    with contextlib.suppress(OSError, ValueError):  # stderr may be closed or full, too
        print(f"pytest-sst2: {sentence}", file=sys.stderr)
    return status


def _folder_is_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _discard_stdout() -> None:
    """Let the interpreter flush what is left of the output to nowhere when it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """A parser whose error messages contain no secrets."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong with the command line, with the nearest command for a misspelt one, and exit."""
        name = message.removeprefix(_UNKNOWN).partition("'")[0] if message.startswith(_UNKNOWN) else ""
        guess = did_you_mean(closest(name, map(_name, _COMMANDS))) if name else ""
        super().error(f"{one_line(message)}{guess and f'.{guess}'}")


def _name(command: ModuleType) -> str:
    return command.__name__.rpartition(".")[2]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pytest-sst2",
        description="Compare saved runs of `pytest benchmarks`, check upgrades, and list models, methods and recipes.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-sst2 {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in _COMMANDS:
        name, text = _name(module), module.HELP
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.set_defaults(run=module.run)
        if hasattr(module, "add_arguments"):
            module.add_arguments(command)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line.

    Requirements of ``upgrade`` may be placed before, between and after its options, and a command after ``--``.
    Without a command it prints all commands, and exits with the status of a usage error.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks for completions
        complete(parser)
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    if not words:
        parser.print_help(sys.stderr)
        sys.exit(_ERROR)
    words, command = _without_command(words)
    join_minus_values(words)
    options, rest = parser.parse_known_args(words)
    if command:
        options.command = command
    if rest and hasattr(options, "requirements") and not any(word.startswith("-") for word in rest):
        options.requirements += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _without_command(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before ``--``, and those after it: a command that ``upgrade`` runs."""
    if words[0] != "upgrade" or "--" not in words:
        return words, []
    place = words.index("--")
    return words[:place], words[place + 1 :]


if __name__ == "__main__":
    sys.exit(main())
