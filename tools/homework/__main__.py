"""Measure the homework's cells as published and mended, and write docs/homework.md.

    python tools/homework --data=FOLDER [--also=ENCODER] [--more-seeds=43,44] [--keep=FOLDER] [-o docs/homework.md]

It runs pytest as a user does, one command after another: half an hour on two free cores, without the options in
brackets. With --keep the results files stay, and an interrupted run goes on where it was; remove the folder to measure
anew. Weights that cannot be had are no error: the page then says so, with the command that measures these cells.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from homework.measure import ROOT, measure
from homework.page import page
from pytest_sst2.config.option_parsers import seeds
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error


def main() -> int:
    """Measure what is not measured yet and write the page."""
    asked = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="pytest-sst2-homework-") as scratch:
            work = (asked.keep or Path(scratch)).resolve()
            work.mkdir(parents=True, exist_ok=True)
            text = page(measure(asked.data, work, asked.also, asked.more_seeds))
        write_atomically(asked.output, text)
    except Sst2Error as error:
        print(f"tools/homework: {error}", file=sys.stderr)
        return 1
    print(f"written to {asked.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=_data, default="hub", metavar="FOLDER", help="SST-2 (default: from the Hub)")
    parser.add_argument(
        "--also", type=_folder, action="append", default=[], metavar="FOLDER", help="a further sentence encoder"
    )
    parser.add_argument(
        "--more-seeds",
        type=seeds,
        default=(),
        metavar="N,N",
        help="further seeds of minilm, which 42 is one of already",
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where results and stand-ins stay")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs" / "homework.md", help="the page")
    return parser


def _data(text: str) -> str:
    return text if text == "hub" else str(_folder(text))


def _folder(text: str) -> Path:
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return folder


if __name__ == "__main__":
    sys.exit(main())
