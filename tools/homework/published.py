"""What the homework notebook published: the only numbers of the page that no run of ours gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCell:
    """One row of the notebook's table.

    Attributes:
        label: How the page calls it.
        model: The alias in ``pytest_sst2.config.catalog``.
        method: The method's name here.
        accuracies: On its held-out slice, after each epoch; one value where there are none.
    """

    label: str
    model: str
    method: str
    accuracies: tuple[float, ...]


TINYBERT = PublishedCell("TinyBERT (4 layers), fine-tuned", "tinybert", "fine-tune", (0.7386, 0.7568, 0.7576))
ROBERTA = PublishedCell("RoBERTa-base, fine-tuned", "roberta", "fine-tune", (0.5518, 0.5518, 0.5518))
PROBE = PublishedCell("all-MiniLM-L6-v2 frozen + logistic regression", "minilm", "linear-probe", (0.8364,))
PUBLISHED = (TINYBERT, ROBERTA, PROBE)
