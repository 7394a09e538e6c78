"""The tables and the page of the measurements."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from tabulate import tabulate

from pytest_sst2.instruments.environment import collect_environment
from tools.perf.head_to_head.measure import HEADERS

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


@dataclass
class Report:
    """The results of all pairs.

    Attributes:
        rows: The table of ratios.
        accuracies: Per way to train: name, mean accuracy of the peer and of ours, interval, p.
        facts: Sentences.
        failures: Results that differ from the peer's.
        growth: For each method, training rows, their tokens, and seconds.
    """

    rows: list[list[str]] = field(default_factory=list)
    accuracies: list[list[str]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    growth: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the report as Markdown."""
        parts = [self._context(), _table(self.rows, HEADERS)]
        if self.accuracies:
            headers = ("work", "peer's accuracy", "ours", "95 % interval of the difference", "p")
            parts.append(_table(self.accuracies, headers))
        parts.append("\n".join(f"- {fact}" for fact in self.facts))
        if self.growth:
            parts.append(self._growth_table())
        parts += [f"**FAILED**: {failure}" for failure in self.failures]
        return "\n\n".join(part for part in parts if part)

    def write(self, folder: Path) -> None:
        """Write the figures between the marks of ``performance.md``."""
        page = folder / "performance.md"
        old = page.read_text(encoding="utf-8")
        new = re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n{self.text()}\n{END}", old)
        page.write_text(new, encoding="utf-8")

    @staticmethod
    def _context() -> str:
        here = collect_environment("cpu")
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers"))
        return (
            f"{here.cpu_model}, {here.cpu_cores} cores, {here.threads} threads; {platform.system()}, Python "
            f"{here.python}, {versions}, sentence-transformers {metadata.version('sentence-transformers')}."
        )

    def _growth_table(self) -> str:
        rows = [
            [name, f"{size:,}", f"{tokens:,}", f"{seconds:.1f}", f"{1e6 * seconds / tokens:.0f}"]
            for name, points in self.growth.items()
            for size, tokens, seconds in points
        ]
        return _table(rows, ("method", "training rows", "tokens", "seconds", "µs a token"))


def _table(rows: list[list[str]], headers: tuple[str, ...]) -> str:
    text: str = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True) if rows else ""
    return text
