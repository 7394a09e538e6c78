"""The tables, plots and page of the measurements."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pytest_sst2.instruments.environment import collect_environment
from tools.perf.head_to_head.measure import HEADERS

BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
# Okabe and Ito's colours, each with a marker of its own.
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#555555", "v"))


@dataclass
class Report:
    """The results of all pairs.

    Attributes:
        rows: The table of ratios.
        accuracies: Per way to train: name, mean accuracy of the peer and of ours, interval, p.
        facts: Sentences.
        failures: Results that differ from the peer's.
        cells: Records of every cell, as plain values.
        growth: For each method, training rows, their tokens, and seconds.
    """

    rows: list[list[str]] = field(default_factory=list)
    accuracies: list[list[str]] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)
    growth: dict[str, list[tuple[int, int, float]]] = field(default_factory=dict)

    def text(self) -> str:
        """Return the report as Markdown."""
        parts = [self._context(), _table(self.rows, HEADERS)]
        if self.accuracies:
            headers = ("work", "peer's accuracy", "ours", "95 % interval of the difference", "p")
            parts.append(_table(self.accuracies, headers))
        parts.append("\n".join(f"- {fact}" for fact in self.facts))
        if self.growth:
            parts.append("![cost against training rows](cost.svg)\n\n" + self._growth_table())
        if self.cells:
            parts.append("![accuracy against time](accuracy-and-time.svg)")
        parts += [f"**FAILED**: {failure}" for failure in self.failures]
        return "\n\n".join(part for part in parts if part)

    def write(self, folder: Path) -> None:
        """Write the figures between the marks of ``performance.md``, and the plots next to it."""
        page = folder / "performance.md"
        old = page.read_text(encoding="utf-8")
        new = re.sub(f"(?s){BEGIN}.*{END}", lambda _: f"{BEGIN}\n{self.text()}\n{END}", old)
        page.write_text(new, encoding="utf-8")
        self._plot_growth(folder / "cost.svg")
        self._plot_cells(folder / "accuracy-and-time.svg")

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

    def _plot_growth(self, path: Path) -> None:
        figure, axes = _figure("training tokens", "seconds")
        for (name, points), (color, marker) in zip(self.growth.items(), _STYLES, strict=False):
            axes.plot(
                [each[1] for each in points], [each[2] for each in points], color=color, marker=marker, label=name
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.legend(frameon=False)
        _save(figure, path)

    def _plot_cells(self, path: Path) -> None:
        figure, axes = _figure("seconds to train and predict, without loading", "accuracy")
        for record, (color, marker) in zip(self.cells, _STYLES, strict=False):
            phases = record["rounds"][0]["phases"]
            seconds = sum(phase["seconds"] for phase in phases if phase["name"] != "load")
            low, high = record["accuracy_interval"]
            accuracy = record["accuracy"]
            axes.errorbar(
                max(seconds, 1e-3),
                accuracy,
                yerr=[[accuracy - low], [high - accuracy]],
                color=color,
                marker=marker,
                capsize=3,
                linestyle="none",
                label=record["method"],
            )
        axes.set_xscale("log")
        axes.legend(frameon=False, loc="lower right")
        _save(figure, path)


def _table(rows: list[list[str]], headers: tuple[str, ...]) -> str:
    text: str = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True) if rows else ""
    return text


def _figure(across: str, up: str) -> tuple[Any, Any]:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
