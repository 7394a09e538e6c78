"""``pytest-sst2 doctor``: show what is installed and reachable, and what runs here."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import asdict

from pytest_sst2.cli.output import add_format_option, join_lines
from pytest_sst2.utils.sanitize import json_text

HELP = "show what is installed and reachable, which models and recipes run here, and how to fix the rest"
_SIGNS = {"ok": "✓", "missing": "–", "broken": "✗"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return all findings with their remedies, and the exit status: 0 if benchmarks run here."""
    from pytest_sst2.cli.doctor_checks import examine, verdict

    findings = examine()
    conclusion, status = verdict(findings)
    if options.format == "json":
        return json_text({"conclusion": conclusion, "findings": list(map(asdict, findings))}), status
    lines: list[str] = []
    for section, in_section in itertools.groupby(findings, key=lambda finding: finding.section):
        lines.append(section)
        # A remedy of several findings in a row is printed once, below them.
        for remedy, group in itertools.groupby(in_section, key=lambda finding: finding.remedy):
            lines += [f"  {_SIGNS[finding.state]} {finding.name}: {finding.detail}" for finding in group]
            lines += [f"    → {remedy}"] if remedy else []
        lines.append("")
    return join_lines([*lines, conclusion]), status
