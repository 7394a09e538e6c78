"""Run ``pip install`` with the newest releases of all but torch, because a newer one downloads gigabytes of CUDA."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run pip with the arguments given and return its exit status."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as scratch:
        constraint = Path(scratch) / "torch.txt"
        constraint.write_text("\n".join(line for line in lines if line.startswith("torch==")) + "\n", encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--upgrade",
            "--upgrade-strategy=eager",
            "-c",
            str(constraint),
        ]
        return subprocess.run([*command, *sys.argv[1:]], check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
