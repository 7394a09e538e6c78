"""Check an upgrade by any command: its exit status is the symptom, as in ``git bisect run``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, HOLDS
from pytest_sst2.results.commit import commit_of
from pytest_sst2.upgrade.ab_run import AFTER, BEFORE, Notify, Sides, exclusive_run, forget_finished
from pytest_sst2.upgrade.benchmark_runs import run_logged, variables_for_others
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.package_search import PackageSearch, cause_sentence, release_sentence
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.hashing import short_digest

# As for ``git bisect run``: this commit, here this environment, cannot be tested.
_SKIP = 125


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
            Sst2Error: The command cannot be started.
        """
        file = self.kept / f"{environment.key}-{number}.status"
        if file.is_file():
            return int(file.read_text(encoding="utf-8"))
        self.kept.mkdir(parents=True, exist_ok=True)
        try:
            with self.log(environment, number).open("w", encoding="utf-8") as output:
                status = run_logged(self.command, self.folder, _variables(environment), output)
        except OSError as error:
            raise Sst2Error(
                f"{self.command[0]!r} cannot be run: {error.strerror or error}. What it needs must be in both lock "
                "files, or named with --with."
            ) from error
        write_atomically(file, str(status))
        return status

    def log(self, environment: BuiltEnvironment, number: int = 1) -> Path:
        """Return the file with the output of a run."""
        return self.kept / f"{environment.key}-{number}.log"


def _variables(environment: BuiltEnvironment) -> dict[str, str]:
    """Return the variables of a process in an environment, which finds nothing of the environment of this process."""
    programs = environment.python.parent
    here = Path(sys.executable).parent
    paths = [path for path in os.get_exec_path() if Path(path) != here]
    return {
        **variables_for_others(),
        "PATH": os.pathsep.join([str(programs), *paths]),
        "VIRTUAL_ENV": str(environment.folder),
    }


@dataclass(kw_only=True)
class CommandSearch(PackageSearch):
    """Test whether a command fails with the same exit status as in the later environment."""

    runs: CommandRuns
    status: int

    def observe(self, environment: BuiltEnvironment) -> tuple[Outcome, str]:
        """Return bad for the same exit status, good for 0; with another one the environment is untestable."""
        status = self.runs.status(environment)
        if status == self.status and status != _SKIP:
            return Outcome.BAD, ""
        if status == 0:
            return Outcome.GOOD, ""
        return Outcome.UNTESTABLE, f"exit status {status}, not {self.status}"


@dataclass(frozen=True)
class CommandCheck:
    """A check of two environments by a command.

    Attributes:
        environments: Where environments between the two are built.
        notify: Called with each step.
        bisect: Whether to look for the packages that cause a failure.
        releases: Whether to look for the first bad release, too.
        named: The packages named on the command line.
    """

    sides: Sides
    environments: Environments
    notify: Notify
    bisect: bool
    releases: bool
    named: Sequence[str]

    def run(self, command: Sequence[str], parent: Path) -> tuple[str, int]:
        """Run the command in both environments and, if it fails only later, find the cause.

        Outputs are kept in a folder below ``parent``.

        Returns:
            The finding, and the exit status: 0 if the command succeeds in both, 1 if it fails in the later environment
            only, 2 if it fails in the earlier one too.

        Raises:
            Sst2Error: The command cannot be started.
        """
        sides = self.sides
        runs = CommandRuns(tuple(command), Path.cwd(), parent / _key(command, sides))
        with exclusive_run(runs.kept):
            forget_finished(runs.kept)
            statuses = []
            for name, side in ((BEFORE, sides.before), (AFTER, sides.after)):
                statuses.append(runs.status(side))
                self.notify(f"{name}: {runs.name} ends with status {statuses[-1]} (output: {runs.log(side)})")
            before, after = statuses
            if before != 0:
                text = f"CANNOT COMPARE: {runs.name} fails in the earlier environment too (status {before})"
                return text, CANNOT_COMPARE
            if after == 0:
                return f"HOLDS: {runs.name} succeeds in both environments", HOLDS
            finding = f"FAILS: {runs.name} ends with status {after}, before with 0"
            if not self.bisect:
                return f"{finding}. To find the cause: --bisect", FAILS
            self.notify(finding)
            return "\n".join(self._cause(runs, after)), FAILS

    def _cause(self, runs: CommandRuns, status: int) -> list[str]:
        """Return the packages that cause the status, unless the command does not repeat it."""
        sides = self.sides
        again = [runs.status(side, 2) for side in (sides.before, sides.after)]
        if again != [0, status]:
            return [f"no cause: run again, {runs.name} ends with status {again[0]} before and {again[1]} after"]
        if not sides.changes:
            return ["nothing to bisect: no package changes"]
        search = CommandSearch(
            sides=sides,
            environments=self.environments,
            notify=self.notify,
            named=self.named,
            runs=runs,
            status=status,
        )
        self.notify(f"bisecting {plural(len(sides.changes), 'change')}")
        minimal = search.minimal_set()
        changes = {change.name: change for change in sides.changes}
        what = f"{runs.name} ends with status {status}"
        lines = [cause_sentence(changes, minimal, search.causes(minimal), what)]
        if self.releases:
            lines.append(release_sentence(search, minimal))
        return [*lines, f"{plural(search.steps, 'set')} of packages tested between the two environments"]


def _key(command: Sequence[str], sides: Sides) -> str:
    """Return the name of the runs. It has the commit of clean files, so that an interrupted check can go on.

    Files that changed may change what the command does, so then nothing is taken from an earlier check.
    """
    commit = commit_of(Path.cwd())
    files = commit.sha if commit is not None and commit.dirty is False else os.urandom(8).hex()
    return short_digest("\n".join((sides.before.key, sides.after.key, str(Path.cwd()), files, *command)))
