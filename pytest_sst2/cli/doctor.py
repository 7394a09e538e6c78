"""``pytest-sst2 doctor``: show what is installed and reachable, and what runs here."""

from __future__ import annotations

import argparse
import itertools

from pytest_sst2.cli.output import join_lines

HELP = "show what is installed and reachable, which models and recipes run here, and how to fix the rest"
_SIGNS = {"ok": "✓", "missing": "–", "broken": "✗"}


def run(_options: argparse.Namespace) -> tuple[str, int]:
    """Return all findings with their remedies, and the exit status: 0 if benchmarks run here."""
    from pytest_sst2.cli.doctor_checks import examine, verdict

    findings = examine()
    conclusion, status = verdict(findings)
    lines: list[str] = []
    for section, in_section in itertools.groupby(findings, key=lambda finding: finding.section):
        lines.append(section)
        # A remedy of several findings in a row is printed once, below them.
        for remedy, group in itertools.groupby(in_section, key=lambda finding: finding.remedy):
            lines += [f"  {_SIGNS[finding.state]} {finding.name}: {finding.detail}" for finding in group]
            lines += [f"    → {remedy}"] if remedy else []
        lines.append("")
    return join_lines([*lines, conclusion]), status
