"""How a classifier is made: one module per method, ``Job`` in, ``Trained`` out.

- ``base``: ``Job``, ``Trained``, and ``train``, which seeds every random generator.
- ``fine_tune``: trains every layer; ``hf_trainer`` runs the Hugging Face Trainer with ``trainer_arguments``, and
  ``trainer_observer`` collects its losses; ``sequence_classifier`` predicts.
- ``as_is``: the head of a checkpoint that is already trained.
- ``linear_probe``, ``torch_probe``: train a linear layer on the sentence embeddings of ``features``.
- ``tfidf``, ``majority``: need no model.
- ``logistic_regression``: the scikit-learn classifier of ``linear_probe`` and ``tfidf``.
- ``truncation``: warns about sentences that are longer than the longest input.
- ``fast``: makes the methods faster with the same results.
"""

import importlib
from typing import Any

__all__ = ["Classifier", "Job", "SequenceClassifier", "Trained", "load_features", "train"]

_MODULES = {"SequenceClassifier": "sequence_classifier", "load_features": "features"}


def __getattr__(name: str) -> Any:
    """Import an exported name when it is first used: the modules load numpy and the model loaders."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'base')}"), name)
