"""Check the share of branches that the tests take. ``coverage report`` only checks lines and branches together.

coverage json -o coverage.json && python tools/checks/branches.py coverage.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

REQUIRED_PERCENT = 92.0


def main(report: Path) -> int:
    """Print the share of branches taken and the modules that miss most; return 1 if the share is too small."""
    report_data = json.loads(report.read_text(encoding="utf-8"))
    totals = report_data["totals"]
    missed = {name: module["summary"]["missing_branches"] for name, module in report_data["files"].items()}
    for name in sorted(filter(missed.get, missed), key=lambda name: -missed[name])[:10]:
        print(f"{missed[name]:4} branches missed in {name}")
    percent = 100 * totals["covered_branches"] / totals["num_branches"]
    print(f"{totals['covered_branches']:,} of {totals['num_branches']:,} branches taken: {percent:.1f} %")
    if percent < REQUIRED_PERCENT:
        print(f"At least {REQUIRED_PERCENT} % are required.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
