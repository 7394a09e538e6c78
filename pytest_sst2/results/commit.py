"""The commit of the user's repository that a run was made at."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.utils.formatting import shorten
from pytest_sst2.utils.git import GitUnavailableError, git

# Seconds. A status takes milliseconds, and seconds in a repository of a million files.
_TIMEOUT = 1.0
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Commit:
    """A commit, and the state of the files at the start of the run.

    Attributes:
        sha: The commit's full id.
        dirty: Whether a tracked file had uncommitted changes; baselines do not count. None if unknown.
    """

    sha: str
    dirty: bool | None = None

    def __str__(self) -> str:
        return f"{self.sha[:9]}{' with uncommitted changes' if self.dirty else ''}"


def commit_of(folder: Path) -> Commit | None:
    """Return the commit that is checked out in a folder, within two seconds.

    None without git, outside a repository, before the first commit, if the folder is not in the commit, or if git
    refuses or does not answer. Nothing else of the repository is read, such as its remotes.
    """
    try:
        # The second name is the folder's own tree: a folder that the repository ignores has none.
        named = git(folder, "rev-parse", "HEAD^{commit}", "HEAD:./", timeout=_TIMEOUT)
        sha = named.output.decode(errors="replace").partition("\n")[0].strip()
        if not _SHA.fullmatch(sha):
            return None
        if named.status != 0:
            inside = git(folder, "rev-parse", "--is-inside-work-tree", timeout=_TIMEOUT)
            return Commit(sha) if inside.text == "false" else None
    except GitUnavailableError:
        return None
    return Commit(sha, _is_dirty(folder))


def commits_label(commits: Iterable[Commit | None]) -> str:
    """Return the distinct commits of some records, shortened; empty if none is known."""
    return shorten(list(dict.fromkeys(str(commit) for commit in commits if commit is not None)), 3)


def _is_dirty(folder: Path) -> bool | None:
    try:
        status = git(
            *(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude,top,glob)**/.sst2/**"),
            timeout=_TIMEOUT,
        )
    except GitUnavailableError:
        return None
    return bool(status.output.strip()) if status.status == 0 else None
