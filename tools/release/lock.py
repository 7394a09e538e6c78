"""Write requirements.lock: every package of the tested set, by version and SHA-256, for `pip install --require-hashes`.

Run from the repository's root: python tools/release/lock.py. The versions are those of constraints.txt, and of
what uv finds newest for the rest. torch and what comes with its build for a device are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_sst2.utils.atomic_write import write_atomically

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("bundled", "report", "test", "ray", "browser", "docs", "lint")
OF_TORCHS_BUILD = re.compile(r"torch|triton|cuda-.*|nvidia-.*")
HEAD = """\
# The tested set with the SHA-256 of every file, but for torch, whose build differs by platform. docs/security.md says
# how to install with it. Made by tools/release/lock.py from constraints.txt and pyproject.toml.
"""


def main() -> None:
    """Resolve the tested set and write the lock; uv's own sentence is shown where that fails."""
    with tempfile.TemporaryDirectory() as scratch:
        resolved = Path(scratch) / "resolved.txt"
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--constraints", str(ROOT / "constraints.txt")]
        command += [f"--extra={extra}" for extra in EXTRAS]
        command += ["--output-file", str(resolved), str(ROOT / "pyproject.toml")]
        done = subprocess.run(command)  # noqa: S603  # no shell, and every word is ours
        if done.returncode:
            sys.exit(done.returncode)
        entries = [each for each in _entries(resolved.read_text(encoding="utf-8")) if not _is_torchs(each)]
    write_atomically(LOCK, HEAD + "".join(entries))


def _entries(text: str) -> Iterator[str]:
    """Give each package with its hashes: what begins in the first column, and the indented lines below it."""
    return iter(re.findall(r"^\w.*\n(?:[ ]+.*\n)*", text, re.MULTILINE))


def _is_torchs(entry: str) -> bool:
    return OF_TORCHS_BUILD.fullmatch(canonicalize_name(entry.partition("==")[0])) is not None


if __name__ == "__main__":
    main()
