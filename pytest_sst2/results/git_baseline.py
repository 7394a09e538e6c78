"""Read a file from a commit, such as the baseline ``origin/main:.sst2/main.json``.

A pull request can change the files that it brings, but not those of the branch it is compared with.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, shorten
from pytest_sst2.utils.git import Answer, GitUnavailableError, git
from pytest_sst2.utils.safe_read import LARGEST_BYTES, text_of_bytes

_SECONDS = 30.0  # a partial clone may have to download the file
# A name for a commit may have a date in braces, with colons: main@{2026-08-01 12:00}.
_REF_AND_PATH = re.compile(r"((?:[^:{]|\{[^}]*\})+):(.+)", re.DOTALL)


@dataclass(frozen=True)
class GitFile:
    """A file of a commit.

    Attributes:
        name: ``REF:PATH`` as typed.
        path: From the top of the repository.
        sha: The commit.
        note: A sentence about another file at that path in the working tree; empty if it is missing or the same.
    """

    name: str
    path: str
    sha: str
    text: str
    note: str


def ref_and_path(name: str) -> tuple[str, str] | None:
    """Return the two parts of ``REF:PATH``; None for the path of a file, such as ``./a:b`` or ``C:/a``."""
    match = _REF_AND_PATH.fullmatch(name)
    if match is None or name.startswith(("/", "./", "../", "~", "-", "\\")):
        return None
    ref, path = match.groups()
    is_drive = len(ref) == 1 and ref.isalpha() and (os.name == "nt" or path.startswith(("/", "\\")))
    return None if is_drive else (ref, path)


def read_git_file(folder: Path, name: str) -> GitFile:
    """Return the file ``REF:PATH`` of the repository of ``folder``.

    PATH starts at the top of the repository, as git has it; ``./PATH``, or a PATH that is not there, starts at
    ``folder``.

    Raises:
        Sst2Error: git or the repository is missing, the commit is unknown, or the file is missing or not a text.
    """
    ref, path = ref_and_path(name) or ("", name)
    try:
        return _read(folder, name, ref, path)
    except GitUnavailableError as error:
        raise Sst2Error(f"{quoted(name)} cannot be read from git: {error}. {_as_file(name)}") from error


def _read(folder: Path, name: str, ref: str, path: str) -> GitFile:
    resolved = _ask(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if resolved.status != 0:
        raise Sst2Error(f"{quoted(name)} cannot be read from git: {_no_commit(folder, ref)} {_as_file(name)}")
    sha = resolved.text
    top = Path(os.fsdecode(_ask(folder, "rev-parse", "--show-toplevel").output.rstrip(b"\r\n")))
    for candidate in dict.fromkeys((path, f"./{path.removeprefix('./')}")):
        kind = _ask(folder, "cat-file", "-t", f"{sha}:{candidate}").text
        if kind:
            break
    else:
        baselines = _others(folder, sha) if path.endswith(".json") else ""
        raise Sst2Error(f"{quoted(name)}: commit {sha[:9]} has no such file.{baselines}")
    if kind != "blob":
        raise Sst2Error(f"{quoted(name)}: commit {sha[:9]} has {_KINDS.get(kind, kind)} of that name, not a file.")
    content = _content(folder, f"{sha}:{candidate}", name)
    whole = _from_top(folder, candidate)
    return GitFile(name, whole, sha, text_of_bytes(content, name), _note(top / whole, content, whole, ref))


_KINDS = {"tree": "a folder", "commit": "a submodule"}


def _ask(folder: Path, *arguments: str) -> Answer:
    return git(folder, *arguments, timeout=_SECONDS)


def _content(folder: Path, blob: str, name: str) -> bytes:
    """Return the bytes of a file, through the filters that a checkout applies, such as that of Git LFS."""
    size = _ask(folder, "cat-file", "-s", blob).text
    if size.isdecimal() and int(size) > LARGEST_BYTES:
        raise Sst2Error(f"{quoted(name)} has {int(size):,} bytes, and at most {LARGEST_BYTES:,} are allowed.")
    for arguments in (("cat-file", "--filters", blob), ("cat-file", "blob", blob)):
        answer = _ask(folder, *arguments)
        if answer.status == 0:
            return answer.output
    raise Sst2Error(f"{quoted(name)} cannot be read from git: {answer.error}.")


def _from_top(folder: Path, path: str) -> str:
    """Return a path of git from the top of the repository."""
    if not path.startswith(("./", "../")):
        return path
    prefix = _ask(folder, "rev-parse", "--show-prefix").text
    return os.path.normpath(f"{prefix}{path}").replace(os.sep, "/")


def _note(file: Path, content: bytes, path: str, ref: str) -> str:
    """Return a sentence if the working tree has another file there; line ends do not count."""
    try:
        ours = file.read_bytes() if file.is_file() else content
    except OSError:
        return ""
    if ours.replace(b"\r\n", b"\n") == content.replace(b"\r\n", b"\n"):
        return ""
    return f"{path} differs between {ref} and the working tree; {ref}'s is used"


def _no_commit(folder: Path, ref: str) -> str:
    """Return why a name is not that of a commit, and what to do."""
    inside = _ask(folder, "rev-parse", "--is-shallow-repository")
    if "dubious ownership" in inside.error:
        return (
            f"git refuses the repository, because another user owns it. Allow it: git config --global --add "
            f"safe.directory {folder}."
        )
    if inside.status != 0:
        return f"{str(folder)!r} is not in a git repository."
    is_shallow = inside.text == "true"
    remote, _, branch = ref.partition("/")
    if branch and remote in _ask(folder, "remote").text.split():
        # Without the second name a clone of one branch would not keep the result under the name that was asked for.
        fetch = f"git fetch{' --depth=1' if is_shallow else ''} {remote} {branch}:refs/remotes/{ref}"
    else:
        fetch = f"git fetch {'--unshallow' if is_shallow else '--all'} --tags"
    why = ", because the clone is shallow" if is_shallow else ""
    return f"it has no commit {quoted(ref)}{why}. Fetch it: {fetch}."


def _others(folder: Path, sha: str) -> str:
    listed = _ask(folder, "ls-tree", "-r", "--name-only", "--full-tree", sha).text.splitlines()
    baselines = [path for path in listed if re.search(r"(^|/)\.sst2/[^/]+\.json$", path)]
    return f" Its baselines are {shorten(baselines)}." if baselines else " It has no baselines in .sst2/."


def _as_file(name: str) -> str:
    return f"If it is a file, write ./{name}."
