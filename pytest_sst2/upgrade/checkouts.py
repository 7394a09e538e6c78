"""Check out commits of the user's repository, each in a folder of its own that is removed at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_sst2.upgrade.repository import HOOK_VARIABLES, Repository, run_git
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.locks import lock_file

WORKTREES = "worktrees"
# These would lead git in a checkout to the repository of a hook.
_GIT_VARIABLES = (*HOOK_VARIABLES, "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
# Hooks of the repository do not run, and submodules are not fetched.
_SETTINGS = ("-c", f"core.hooksPath={os.devnull}", "-c", "submodule.recurse=false")


class CheckoutError(Sst2Error):
    """A commit cannot be checked out; the message says why."""


@dataclass(frozen=True)
class Checkout:
    """The files of a commit.

    Attributes:
        sha: The commit.
        top: Its topmost folder.
        folder: The working folder in it.
        paths: Where Python looks for its modules first.
        repository: The topmost folder of the repository, where Python must not look for them.
    """

    sha: str
    top: Path
    folder: Path
    paths: tuple[Path, ...]
    repository: Path

    def variables(self, inherited: dict[str, str]) -> dict[str, str]:
        """Return the variables of a process that imports the modules of the commit, and reads no other repository."""
        typed = [Path(path) for path in inherited.get("PYTHONPATH", "").split(os.pathsep) if path]
        inside = {path: self.top / path.relative_to(self.repository) for path in typed if self._is_in_repository(path)}
        paths = map(str, (*self.paths, *(inside.get(path, path) for path in typed)))
        others = {name: value for name, value in inherited.items() if name not in _GIT_VARIABLES}
        return {**others, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}

    def _is_in_repository(self, path: Path) -> bool:
        return path.is_relative_to(self.repository) and not path.is_relative_to(self.top)


@dataclass(frozen=True)
class Checkouts:
    """Checks out commits below a folder.

    Attributes:
        projects: Folders whose modules may be imported, relative to the top of the repository, in addition to the top
            and the working folder.
    """

    repository: Repository
    folder: Path
    projects: Sequence[Path] = ()
    _done: dict[str, Checkout] = field(default_factory=dict)

    def of(self, sha: str) -> Checkout:
        """Return the files of a commit.

        Raises:
            CheckoutError: git cannot check it out, or it lacks the working folder.
        """
        if sha not in self._done:
            self._done[sha] = self._check_out(sha)
        return self._done[sha]

    def _check_out(self, sha: str) -> Checkout:
        top, inside = self.folder / sha[:12], self.repository.inside
        done = self.repository.git(*_SETTINGS, "worktree", "add", "--force", "--detach", str(top), sha)
        if done.status != 0:
            reason = (done.error.splitlines() or ["no reason given"])[-1].removeprefix("fatal: ")
            raise CheckoutError(f"git cannot check out {sha[:12]}: {reason}.")
        if not (top / inside).is_dir():
            raise CheckoutError(f"the folder {str(inside)!r} is not in {self.repository.name(sha)}.")
        projects = [top / project for project in dict.fromkeys((inside, Path(), *self.projects))]
        paths = [path for project in projects for path in (project / "src", project) if path.is_dir()]
        return Checkout(sha, top, top / inside, tuple(paths), self.repository.top)


@contextlib.contextmanager
def checkouts_below(parent: Path, repository: Repository, projects: Sequence[Path] = ()) -> Iterator[Checkouts]:
    """Check out commits in the body, below ``parent``; afterwards remove them and what killed commands left."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob("*.lock"):
        with contextlib.suppress(Sst2Error), lock_file(left, busy="in use"):
            remove_worktrees(left.with_suffix(""))
            left.unlink(missing_ok=True)
    folder = parent / secrets.token_hex(4)
    lock = folder.with_suffix(".lock")
    with lock_file(lock):
        try:
            yield Checkouts(repository, folder, projects)
        finally:
            remove_worktrees(folder)
            lock.unlink(missing_ok=True)


def remove_worktrees(folder: Path) -> None:
    """Remove all worktrees in a folder, also from the lists of their repositories, and the folder."""
    for worktree in folder.glob("*/"):
        with contextlib.suppress(Sst2Error):
            run_git(worktree, "worktree", "remove", "--force", "--force", str(worktree))
    shutil.rmtree(folder, ignore_errors=True)
