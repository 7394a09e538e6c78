"""Check an upgrade by any command: its exit status is the symptom, as in ``git bisect run``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, HOLDS
from pytest_sst2.results.commit import commit_of
from pytest_sst2.upgrade.ab_run import AFTER, BEFORE, Sides, exclusive_run, forget_finished
from pytest_sst2.upgrade.benchmark_runs import run_logged
from pytest_sst2.upgrade.cause_search import CauseSearch
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.observer import Observation
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest

# As for ``git bisect run``: this commit, here this environment, cannot be tested.
_SKIP = 125


class CommandStartError(Sst2Error):
    """A command cannot be started in an environment; the message says why."""


@dataclass(frozen=True)
class CommandRuns:
    """Runs of one command in environments.

    Attributes:
        command: The command and its arguments.
        folder: The working folder.
        kept: Where outputs and exit statuses are kept. Statuses that are there are not measured again.
    """

    command: tuple[str, ...]
    folder: Path
    kept: Path

    @property
    def name(self) -> str:
        """The command as typed."""
        return f"`{shlex.join(self.command)}`"

    def status(self, environment: BuiltEnvironment, number: int = 1) -> int:
        """Return the exit status of a run; a run that a signal ended has a negative one.

        Raises:
            CommandStartError: The command cannot be started.
        """
        file = self.kept / f"{environment.key}-{number}.status"
        if file.is_file():
            return int(file.read_text(encoding="utf-8"))
        self.kept.mkdir(parents=True, exist_ok=True)
        folder = environment.working_folder(self.folder)
        try:
            with self.log(environment, number).open("w", encoding="utf-8") as output:
                status = run_logged(self.command, folder, environment.shell_variables(), output)
        except OSError as error:
            raise CommandStartError(
                f"{self.command[0]!r} cannot be run: {error.strerror or error}. What it needs must be in both "
                f"{'commits' if environment.checkout else 'lock files, or named with --with'}."
            ) from error
        write_atomically(file, str(status))
        return status

    def log(self, environment: BuiltEnvironment, number: int = 1) -> Path:
        """Return the file with the output of a run."""
        return self.kept / f"{environment.key}-{number}.log"


@dataclass(frozen=True)
class CommandObserver:
    """Tells whether a command fails in environments with the same exit status as in the later one."""

    runs: CommandRuns
    status: int

    @property
    def symptom(self) -> str:
        """The command and its exit status."""
        return f"{self.runs.name} ends with status {self.status}"

    @property
    def remedy(self) -> str:
        """Nothing, because no status is undecided."""
        return ""

    def observe(self, environment: BuiltEnvironment, *, repeated: bool = False) -> Observation:
        """Return bad for the same exit status, good for 0; with another one the environment is untestable."""
        try:
            status = self.runs.status(environment, 2 if repeated else 1)
        except CommandStartError as error:
            return Observation(Outcome.UNTESTABLE, f"cannot run: {error}")
        if status == self.status:
            return Observation(Outcome.BAD)
        if status == 0:
            return Observation(Outcome.GOOD)
        return Observation(Outcome.UNTESTABLE, f"exit status {status}, not {self.status}")


def check_command(command: Sequence[str], search: CauseSearch, bisect: bool, parent: Path) -> tuple[str, int]:
    """Run a command in both environments and, with ``bisect``, find the cause if it fails only later.

    Outputs are kept in a folder below ``parent``.

    Returns:
        The finding, and the exit status: 0 if the command succeeds in both, 1 if it fails in the later environment
        only, 2 if it fails in the earlier one too, or says of an environment that it cannot be tested (125).

    Raises:
        Sst2Error: The command cannot be started, or the same check is running.
    """
    sides = search.sides
    runs = CommandRuns(tuple(command), Path.cwd(), parent / _key(command, sides))
    with exclusive_run(runs.kept):
        forget_finished(runs.kept)
        statuses = []
        for name, side in ((BEFORE, sides.before), (AFTER, sides.after)):
            statuses.append(runs.status(side))
            search.notify(f"{name}: {runs.name} ends with status {statuses[-1]} (output: {runs.log(side)})")
        before, after = statuses
        if _SKIP in statuses:
            return f"CANNOT COMPARE: status {_SKIP} of {runs.name} says that it cannot test this", CANNOT_COMPARE
        if before != 0:
            text = f"CANNOT COMPARE: {runs.name} fails in the earlier environment too (status {before})"
            return text, CANNOT_COMPARE
        if after == 0:
            return f"HOLDS: {runs.name} succeeds in both environments", HOLDS
        finding = f"FAILS: {runs.name} ends with status {after}, before with 0"
        if not bisect:
            return f"{finding}. To find the cause: --bisect", FAILS
        search.notify(finding)
        return "\n".join(search.lines(CommandObserver(runs, after))), FAILS


def _key(command: Sequence[str], sides: Sides) -> str:
    """Return the name of the runs. It has the commit of clean files, so that an interrupted check can go on.

    Files that changed may change what the command does, so then nothing is taken from an earlier check.
    """
    files = ""  # the keys of both environments name their commits
    if sides.before.checkout is None:
        commit = commit_of(Path.cwd())
        files = commit.sha if commit is not None and commit.dirty is False else os.urandom(8).hex()
    return short_digest("\n".join((sides.before.key, sides.after.key, str(Path.cwd()), files, *command)))
