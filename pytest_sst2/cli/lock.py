"""``pytest-sst2 lock``: describe a model in a small file to commit."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error

HELP = "describe a model's tokens, weights, modules and embeddings in a small file to commit"
# A file of more sentences is refused anyway.
_LARGEST_BYTES = 2**23


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", metavar="MODEL", help="alias, Hub id or folder")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file to write (default: MODEL's name with .lock)"
    )
    text = "text file with 2 to 256 sentences of your own, one per line; the lock keeps them"
    parser.add_argument("--sentences", type=Path, metavar="FILE", help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing lock")
    add_loading_arguments(parser)


def add_loading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how a model is loaded."""
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="cpu", help="device of the model (default: cpu)")
    parser.add_argument("--trust-remote-code", action="store_true", help="run Python code from the model's repository")


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Write the lock.

    Raises:
        Sst2Error: The sentences or the model cannot be loaded, or the file exists or cannot be written.
    """
    from pytest_sst2.model_lock.lock_file import check_own_sentences, write_lock
    from pytest_sst2.utils.atomic_write import check_writable
    from pytest_sst2.utils.safe_read import read_text

    path: Path = options.output or Path(
        f"{re.sub(r'[^A-Za-z0-9._-]+', '-', options.model).strip('-.') or 'model'}.lock"
    )
    if path.exists() and not options.overwrite:
        raise Sst2Error(
            f"{str(path)!r} exists. Compare the model with it: pytest-sst2 check {path}. To replace it: --overwrite."
        )
    check_writable(path, "-o")
    sentences: list[str] = []
    if options.sentences is not None:
        lines = read_text(options.sentences, _LARGEST_BYTES).splitlines()
        sentences = [line for line in lines if line.strip()]
        if not sentences:
            raise Sst2Error(f"{options.sentences} has no sentence.")

    check_own_sentences(sentences)

    from pytest_sst2.model_lock.load import load_encoder
    from pytest_sst2.model_lock.observe import lock_of

    encoder, weights = load_encoder(options.model, device=options.device, trust_remote_code=options.trust_remote_code)
    lock, _ = lock_of(encoder, options.model, weights=weights, sentences=sentences)
    write_lock(lock, path, overwrite=options.overwrite)
    size = f"{path.stat().st_size / 1000:.0f} kB"
    return f"locked {options.model} in {path} ({size}). Commit it, and after an upgrade: pytest-sst2 check {path}", 0
