"""``as-is``: the classification head of a checkpoint that is already trained."""

from __future__ import annotations

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.sequence_classifier import load_classifier
from pytest_sst2.methods.truncation import truncation_warnings, unknown_token_warnings


def train(job: Job) -> Trained:
    """Train nothing: return the checkpoint with its own two-class head.

    Class 1 is the positive one, unless the checkpoint names its classes in reverse order; they are swapped then.

    Raises:
        Sst2Error: The checkpoint has no head, or not all of it, or one for another number of classes.
    """
    classifier = load_classifier(job, needs_head=True)
    settings = {"trained": False, "max_length": classifier.max_length, "head": type(classifier.model).__name__}
    settings |= job.loader.variant_settings(job.encoder)
    warnings = truncation_warnings(classifier.tokenizer, classifier.max_length, None, job.evaluation)
    warnings += unknown_token_warnings(classifier.tokenizer, job.evaluation)
    return Trained(classifier, settings, warnings=(*warnings, *job.loader.head_warnings(job.encoder)))
