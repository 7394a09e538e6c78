"""Latency of a classifier for single sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pytest_sst2.instruments.run_delay import delay_since, run_delay
from pytest_sst2.methods.base import Classifier
from pytest_sst2.results.record import Latency
from pytest_sst2.utils.clock import CLOCK

# Least and largest number of timed sentences. Timing stops between them once enough seconds were measured.
LATENCY_SAMPLES = (20, 50)
_ENOUGH_SECONDS = 0.3
_WARM_UP = 3


def measure_latency(predict: Classifier, sentences: Sequence[str], synchronize: Callable[[], None]) -> Latency:
    """Return median and 95th percentile of the latency, in seconds, over up to 50 sentences, each predicted alone.

    The first three sentences are predicted once before, untimed.

    Args:
        predict: The classifier.
        sentences: At least one.
        synchronize: Waits until the device has finished its work.
    """
    least, most = LATENCY_SAMPLES
    for sentence in sentences[:_WARM_UP]:
        predict([sentence])
    seconds: list[float] = []
    delay_before = run_delay()
    for sentence in sentences[:most]:
        if len(seconds) >= least and sum(seconds) > _ENOUGH_SECONDS:
            break
        synchronize()
        start = CLOCK.seconds()
        predict([sentence])
        synchronize()
        seconds.append(CLOCK.seconds() - start)
    delay = delay_since(delay_before)
    p50, p95 = np.percentile(seconds, [50, 95])
    delay = None if delay is None else round(delay / len(seconds), 6)
    return Latency(round(float(p50), 6), round(float(p95), 6), len(seconds), delay)
