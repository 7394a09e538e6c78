"""Helpers shared by the tests: tiny models, record factories, a loopback Hub, injected texts."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples"
