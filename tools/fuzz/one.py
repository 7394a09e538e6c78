"""Fuzz one reader in this process: ``python -m tools.fuzz.one TARGET FOLDER [libFuzzer's options]``.

Apart from ``__main__``, which starts it, since libFuzzer ends its process, and a crash in native code does so too.
"""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path

import atheris

# Python that decides what is read; what is instrumented must not be imported before.
with atheris.instrument_imports(include=["pytest_sst2", "tomllib", "tools.fuzz"]):
    from tools.fuzz.contract import Target, obey
    from tools.fuzz.targets import target_named


def main() -> None:
    """Fuzz the reader named first, from its seeds and from what the folder named next has kept."""
    warnings.simplefilter("ignore")
    name, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    target = target_named(name)
    corpus, seeds = folder / "corpus", folder / "seeds"
    for each in (corpus, seeds):
        each.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (seeds / str(number)).write_bytes(data)
    words = folder / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    options = [f"-max_len={target.longest}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    options += [f"-dict={words}"] if target.words else []
    if target.build is not bytes:  # a script of a few bytes is no smaller than one of many
        options.append("-len_control=0")
    atheris.Setup(
        [sys.argv[0], *options, *sys.argv[3:], str(corpus), str(seeds)], functools.partial(_read, target, folder)
    )
    atheris.Fuzz()


def _read(target: Target, folder: Path, data: bytes) -> None:
    built = target.build(data)
    try:
        obey(target, built)
    except BaseException:
        # The file itself, which stays what it is when the sound files that it was made of are written otherwise.
        (folder / "broken").write_bytes(built)
        raise


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02X}" for byte in word)


if __name__ == "__main__":
    main()
