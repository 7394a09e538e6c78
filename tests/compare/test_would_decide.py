"""Test what would decide an undecided cell: numbers, times, and that it is true."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.several_seeds import compare_pairing
from pytest_sst2.compare.would_decide import Noise, probability, would_decide
from pytest_sst2.results.record import Phase, Record, Round
from tests.support.record_factory import answered, make_record, probe

SST2 = dataclasses.replace(make_record().dataset, name="sst2", train_size=2000)


def advice(before: list[Record], after: list[Record], *, both: bool = False) -> str:
    pairing = Pairing(tuple(before), tuple(after), paired=True)
    return would_decide(pairing, compare_pairing(pairing, 0.01), tolerance=0.01, alpha=0.01, cells=1, both=both)


def right(total: int, *wrong: int) -> list[bool]:
    return [index not in wrong for index in range(total)]


def pair(make: Any, **changes: Any) -> tuple[list[Record], list[Record]]:
    """Return 872 sentences of SST-2 with nine losses and nine gains."""
    phases = (Phase("encode", 60.0, 2872), Phase("predict", 8.72, 872))
    values = {"dataset": SST2, "rounds": (Round(70.0, phases, 0.004, 1, 1),), **changes}
    return [make(right(872, *range(9)), **values)], [make(right(872, *range(9, 18)), **values)]


def test_a_probe_is_decided_by_more_sentences_with_their_time() -> None:
    # 60 s for 2,872 sentences and 8.72 s for 872: with 4,128 more they take 146.2 and 50 s.
    before, after = pair(probe)
    assert advice(before, after) == "--sst2-eval heldout on both sides (5,000 sentences, about 3 min each)"
    # Cells of one run are measured by one run: twice 196 s.
    assert advice(before, after, both=True) == "--sst2-eval heldout (5,000 sentences, about 7 min)"


@pytest.mark.parametrize(
    ("make", "changes", "tried"),
    [
        (probe, {"name": "pocket"}, "these 872 sentences"),
        (probe, {"name": "reviews"}, "these 872 sentences"),
        (answered, {"name": "pocket"}, "48 seeds on these 872 sentences"),
        # All rows are trained on, so none can be held out.
        (probe, {"train_size": 67_349}, "these 872 sentences"),
    ],
)
def test_what_the_data_does_not_have_is_not_advised(make: Any, changes: dict[str, Any], tried: str) -> None:
    before, after = pair(make, dataset=dataclasses.replace(SST2, **changes))
    text = advice(before, after)
    assert text.endswith(f" ({tried} are too few for 1 point)")
    # The tolerance is rounded up, so that it decides.
    tolerance = float(re.fullmatch(r"a tolerance above ([\d.]+) points .*", text)[1]) / 100
    at_worst = compare_pairing(Pairing(tuple(before), tuple(after), paired=True), 0.01).at_worst
    assert tolerance - 0.001 < -at_worst <= tolerance


def test_a_training_is_decided_by_seeds_and_sentences() -> None:
    before, after = pair(answered)
    assert re.fullmatch(
        r"\d+ seeds with --sst2-eval heldout on both sides \(about .* (min|h) each\)", advice(before, after)
    )


@pytest.mark.parametrize("drop", [0.0, 0.03])
def test_nine_in_ten_are_decided_after_following_it(drop: float) -> None:
    rng = np.random.default_rng(1)
    flips = 0.03 + drop
    noise = Noise(flips, None, np.sqrt(flips / 872))
    sentences = next(
        size
        for size in (5000, 10_000, 20_000, 40_000)
        if probability(noise, -drop, 0.01, 0.01, 1, seeds=1, sentences=size) >= 0.9
    )
    loss, gain = (flips + drop) / 2, (flips - drop) / 2
    counts = rng.multinomial(sentences, [loss, gain, 1 - flips], size=2000)
    delta, sd = (counts[:, 1] - counts[:, 0]) / sentences, np.sqrt(flips / sentences)
    decided = (delta - 2.33 * sd > -0.01) | ((delta + 2.33 * sd < 0) & (delta < -0.01))
    assert decided.mean() >= 0.9
