"""Injected regressions: the effects of a library upgrade or a careless change on a cell, each defined once.

A fault patches the libraries or our loaders around a run, or changes the model's folder, the data, the classifier or
the timing. ``tests/end_to_end/test_injected_faults.py`` injects them on a tiny encoder,
``tools/docs/injected_faults.py`` on a real one.
"""

import importlib

from tests.faults.harness import FAULTS, Fault, World

# Each module adds its faults to the list, in the order from sentences to predictions.
for _group in ("encoders", "tokenizers", "embeddings", "classifiers", "fine_tuning", "rows_and_answers", "costs"):
    importlib.import_module(f"tests.faults.{_group}")

__all__ = ["FAULTS", "Fault", "World"]
