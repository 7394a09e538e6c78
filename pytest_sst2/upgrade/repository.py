"""Read the commits of the user's git repository that are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pytest_sst2.upgrade.first_bad_commit import History
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten
from pytest_sst2.utils.git import Answer, GitUnavailableError, git
from pytest_sst2.utils.sanitize import one_line
from pytest_sst2.utils.suggest import closest, did_you_mean

# Seconds. Listing the commits of a large repository takes seconds, checking out its files minutes.
_TIMEOUT = 600.0
# A git hook sets these, and they would lead git in another folder to the index of this one.
HOOK_VARIABLES = ("GIT_INDEX_FILE", "GIT_PREFIX")
_MOST_NAMED = 3


@dataclass(frozen=True)
class Repository:
    """A working tree.

    Attributes:
        top: Its topmost folder.
        inside: The working folder, relative to it.
    """

    top: Path
    inside: Path
    _names: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def git(self, *arguments: str) -> Answer:
        """Run git in the working tree.

        Raises:
            Sst2Error: There is no answer.
        """
        return run_git(self.top, *arguments)

    def commit(self, ref: str, option: str) -> str:
        """Return the id of the commit that a branch, a tag or any other name of git stands for.

        Raises:
            Sst2Error: There is no such commit.
        """
        found = self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}") if not ref.startswith("-") else None
        if found is not None and found.text:
            return found.text
        if self.is_shallow:
            remedy = " The clone is shallow; for its other commits run: git fetch --unshallow"
        else:
            names = self.git("for-each-ref", "--format=%(refname:short)").text.splitlines()
            remedy = did_you_mean(closest(ref, names)) or " Run `git fetch` if it is in another clone."
        raise Sst2Error(f"{option} {ref!r} is no commit of {str(self.top)!r}.{remedy}")

    @property
    def is_shallow(self) -> bool:
        """Whether the clone lacks older commits."""
        return self.git("rev-parse", "--is-shallow-repository").text == "true"

    def name(self, sha: str) -> str:
        """Return the abbreviated id of a commit and its subject in quotes."""
        if sha not in self._names:
            self._names[sha] = self._read_name(sha)
        return self._names[sha]

    def _read_name(self, sha: str) -> str:
        short, _, subject = self.git("log", "-1", "--no-show-signature", "--format=%h%x00%s", sha).text.partition("\0")
        return f'{short or sha[:9]} "{one_line(subject)}"'

    def history(self, good: str, bad: str) -> History:
        """Return the commits that lead to ``bad`` and not to ``good``, with their parents, parents first.

        Raises:
            Sst2Error: The two have no common ancestor here.
        """
        if not self.git("merge-base", good, bad).text:
            remedy = " The clone is shallow. Run: git fetch --unshallow" if self.is_shallow else ""
            raise Sst2Error(f"{self.name(good)} and {self.name(bad)} have no common ancestor to search from.{remedy}")
        listed = self.git("rev-list", "--topo-order", "--reverse", "--parents", bad, f"^{good}")
        lines = [line.split() for line in listed.text.splitlines()]
        return {commit: parents for commit, *parents in lines}

    def has(self, sha: str, path: str) -> bool:
        """Return whether a commit has a path, which is relative to the working folder."""
        return self.git("cat-file", "-e", f"{sha}:{(self.inside / path).as_posix()}").status == 0

    def notes(self, sha: str) -> list[str]:
        """Return the parts of the working tree and of a commit that are not measured."""
        notes = []
        status = self.git("status", "--porcelain", "-z").output.decode(errors="replace").split("\0")
        if changed := [entry[3:] for entry in status if entry[2:3] == " "]:
            files = f"{plural(len(changed), 'file')}: {shorten(changed, _MOST_NAMED)}"
            notes.append(f"note: uncommitted changes and untracked files are not measured ({files}).")
        listed = self.git("ls-tree", "-r", "-z", sha).output.decode(errors="replace").split("\0")
        if modules := [entry.partition("\t")[2] for entry in listed if entry.startswith("160000 ")]:
            notes.append(f"note: submodules are not checked out: {shorten(modules, _MOST_NAMED)}.")
        return notes


def run_git(folder: Path, *arguments: str) -> Answer:
    """Run git in a folder.

    Raises:
        Sst2Error: There is no answer.
    """
    try:
        return git(folder, *arguments, timeout=_TIMEOUT, without=HOOK_VARIABLES)
    except GitUnavailableError as error:
        raise Sst2Error(f"commits cannot be compared: {error}.") from error


def open_repository(folder: Path) -> Repository:
    """Return the repository of a folder.

    Raises:
        Sst2Error: The folder is in no working tree, or git refuses to read it.
    """
    answer = run_git(folder, "rev-parse", "--show-toplevel", "--show-prefix")
    top, _, prefix = answer.text.partition("\n")
    if not top:
        reason = (answer.error.splitlines() or ["it is not in the working tree of a git repository"])[0]
        raise Sst2Error(
            f"--from-ref compares commits, but git finds none in {str(folder)!r}: {reason.removeprefix('fatal: ')}."
        )
    return Repository(Path(top), Path(prefix))
