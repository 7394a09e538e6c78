"""Put every hostile text into every place of a results file, render it in every format, and count the failures.

    python tools/checks/injection.py

tests/report/test_injection.py tries a part. Here each text of two results files is replaced by each payload of
tests/support/hostile_texts.py. Pages have eight payloads per text, because drawing takes seconds. The exit status is 1
after any failure. About four minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.hostile_texts import PAYLOADS, planted
from tests.support.injection_checks import history_page, page, wrong_in_pages, wrong_in_texts

TOGETHER = 8
# Per turn: the terminal at two widths, Markdown, CSV, JSON, results files plain and packed.
TEXTS = 7


def main() -> int:
    """Render everything, print the figures and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without-pages", action="store_true", help="no HTML pages")
    options = parser.parse_args()
    start = time.monotonic()
    wrong: list[str] = []
    tried = renderings = 0
    for names in (True, False):
        clean = planted(None, names=names)
        for turn in range(len(PAYLOADS)):
            made = planted(turn, names=names)
            tried += len(made.plant.leaves)
            renderings += TEXTS
            wrong += _printed(f"texts of turn {turn}, names {names}", wrong_in_texts(made, clean))
    print(f"texts: {tried:,} pairs of a place and a payload, {renderings:,} renderings, {len(wrong)} wrong", flush=True)
    if not options.without_pages:
        before, tried, renderings = len(wrong), 0, 0
        for names in (True, False):
            clean = planted(None, names=names)
            pages = page(clean), history_page(clean)
            for turn in range(-(-len(PAYLOADS) // TOGETHER)):
                made = planted(turn, names=names, together=TOGETHER)
                tried += len(made.plant.leaves) * TOGETHER
                renderings += 2
                wrong += _printed(f"pages of turn {turn}, names {names}", wrong_in_pages(made, *pages))
        print(f"pages: {tried:,} pairs, {renderings} pages, {len(wrong) - before} wrong", flush=True)
    print(f"{len(PAYLOADS)} payloads, {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


def _printed(where: str, wrong: list[str]) -> list[str]:
    for failure in wrong:
        print(f"{where}: {failure}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
