"""Plot the power of the gate and its false alarms, next to those of two other rules.

    python tools/docs/power_curve.py [-o docs/power.svg]

Simulates pairs of runs with 80 % accuracy, 4 % of answers changed by noise, and a true drop, and prints the verdicts.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_sst2.compare.significance import holm, mcnemar_p
from pytest_sst2.compare.verdict import verdict_of
from pytest_sst2.config.options import ALPHA, TOLERANCE

SIZES = (872, 5000)
DROPS = np.arange(0, 5.01, 0.25) / 100
RUNS = 5000
ACCURACY = 0.8
DISCORDANCE = 0.04
SEED = 20

# Colours of Okabe and Ito; every rule also has its own line style.
STYLES = {
    "this gate: exact McNemar, p ≤ 0.01, drop > 0.5 points": ("#0072B2", "-", "o"),
    "two-proportion z test, p ≤ 0.01": ("#D55E00", "--", "s"),
    "any drop: after < before": ("#555555", ":", "^"),
}


@cache
def _gate(losses: int, gains: int, total: int) -> bool:
    adjusted = holm([mcnemar_p(losses, gains)])[0]
    return verdict_of((gains - losses) / total, adjusted, alpha=ALPHA, tolerance=TOLERANCE) == "regressed"


def detection_rates(total: int, drop: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the share of simulated pairs of runs that each rule calls a regression, in the order of ``STYLES``.

    Args:
        total: Number of examples.
        drop: The true drop of accuracy, as a share (0 to 1).
        rng: Random generator of the simulation.
    """
    noise = DISCORDANCE / 2
    right_twice = ACCURACY - noise - drop
    shares = [right_twice, noise + drop, noise, 1 - right_twice - drop - 2 * noise]
    stayed, losses, gains, _ = rng.multinomial(total, shares, size=RUNS).T
    before, after = (stayed + losses) / total, (stayed + gains) / total
    pooled = (before + after) / 2
    z = (after - before) / np.sqrt(2 * pooled * (1 - pooled) / total)
    gate = [_gate(lost, gained, total) for lost, gained in zip(losses.tolist(), gains.tolist(), strict=True)]
    return float(np.mean(gate)), float(np.mean(z < stats.norm.ppf(ALPHA / 2))), float(np.mean(after < before))


def draw(rates: dict[int, np.ndarray], output: Path) -> None:
    """Write the curves as SVG; the same rates give the same file.

    Args:
        rates: Maps a number of examples to an array of shape (drops, rules) with shares.
        output: The SVG file.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit("The plot needs matplotlib: python -m pip install matplotlib") from error
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pytest-sst2", "font.size": 11})
    matplotlib.rcParams["font.sans-serif"] = ["DejaVu Sans"]
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    figure, panels = plt.subplots(1, len(rates), figsize=(9.2, 4.6), sharey=True)
    for panel, (total, of_rules) in zip(panels, rates.items(), strict=True):
        for (label, (colour, line, marker)), of_drops in zip(STYLES.items(), of_rules.T, strict=True):
            panel.plot(
                DROPS * 100, of_drops, line, color=colour, marker=marker, markevery=4, markersize=5, lw=2, label=label
            )
        panel.set_title(f"{total:,} examples", fontsize=12)
        panel.set_xlabel("true drop (points of accuracy)")
        panel.set_xlim(-0.1, 5.1)
        panel.set_ylim(-0.02, 1.03)
        panel.grid(color="#dddddd", linewidth=0.7)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("runs called a regression")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=1, frameon=False)
    figure.tight_layout(rect=(0, 0.19, 1, 1))
    figure.savefig(output, format="svg", metadata={"Date": None, "Title": "How often a drop of accuracy is noticed"})


def main() -> int:
    """Simulate, print the table and write the plot."""
    parser = argparse.ArgumentParser(description="Plot how often a true drop of accuracy is detected.")
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/power.svg"), help="default: %(default)s")
    output = parser.parse_args().output
    rng = np.random.default_rng(SEED)
    rates = {total: np.array([detection_rates(total, drop, rng) for drop in DROPS]) for total in SIZES}
    print(f"Share of {RUNS:,} simulated runs called a regression, in percent; at drop 0 these are false alarms.")
    print("      " + "    ".join(f"{f'n = {total:,}':>30}" for total in SIZES))
    print("  drop" + "    ".join([f"{'gate':>10}{'z test':>10}{'any drop':>10}"] * len(SIZES)))
    for index in range(0, len(DROPS), 2):
        columns = ("".join(f"{rate * 100:10.1f}" for rate in rates[total][index]) for total in SIZES)
        print(f"{DROPS[index] * 100:6.1f}" + "    ".join(columns))
    draw(rates, output)
    print(f"{output}: {output.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
