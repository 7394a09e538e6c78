"""Latency: how long a classifier takes for one sentence alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from pytest_sst2.methods.base import Classifier
from pytest_sst2.results.record import Latency

# Single sentences are timed until there are enough of them and enough time has gone.
LATENCY_SAMPLES = (20, 50)
_ENOUGH_SECONDS = 0.3
_WARM_UP = 3


def measure_latency(predict: Classifier, sentences: Sequence[str], synchronize: Callable[[], None]) -> Latency:
    """Return the median and the 95th percentile, in seconds, over up to 50 sentences, each given alone.

    The first three are given once before, untimed.

    Args:
        predict: The classifier.
        sentences: What it is given, at least one.
        synchronize: Waits until the device has done its work.
    """
    least, most = LATENCY_SAMPLES
    for sentence in sentences[:_WARM_UP]:
        predict([sentence])
    seconds: list[float] = []
    for sentence in sentences[:most]:
        if len(seconds) >= least and sum(seconds) > _ENOUGH_SECONDS:
            break
        synchronize()
        start = time.perf_counter()
        predict([sentence])
        synchronize()
        seconds.append(time.perf_counter() - start)
    p50, p95 = np.percentile(seconds, [50, 95])
    return Latency(round(float(p50), 6), round(float(p95), 6), len(seconds))
