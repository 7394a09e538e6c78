"""Head-to-head measurements of docs/performance.md: fair turns, right ratios, and a failure if results differ."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    from tools.perf import peers

    monkeypatch.setattr("tools.perf.head_to_head.measure.matrix_rate", lambda: 100.0)
    return peers


def pair(
    peers: ModuleType, seconds: list[float], our_seconds: list[float], **results: object
) -> tuple[object, list[str]]:
    from tools.perf.head_to_head.measure import Candidate, HeadToHead, Outcome

    turns: list[str] = []

    def runs(name: str, seconds: list[float], result: object) -> object:
        def run(number: int) -> object:
            turns.append(f"{name}{number}")
            return Outcome(seconds[number], gflop=50.0, result=result)

        return Candidate(name, run, 2.0)

    return HeadToHead(
        "work", runs("peer", seconds, results.get("theirs")), (runs("float32", our_seconds, results.get("ours")),)
    ), turns


def test_candidates_take_turns_with_every_second_round_in_reverse(peers: ModuleType) -> None:
    from tools.perf.head_to_head.measure import measure

    made, turns = pair(peers, [4, 4, 4], [1, 1, 1])
    measure(made, 3, lambda _: None)
    assert turns == ["peer0", "float320", "float321", "peer1", "peer2", "float322"]


def test_a_row_has_the_ratios_of_each_round_and_the_share_of_the_limit(peers: ModuleType) -> None:
    from tools.perf.head_to_head.measure import measure, table_rows

    made, _ = pair(peers, [4.0, 9.0, 3.0], [2.0, 2.0, 3.0])
    (row,) = table_rows(made, measure(made, 3, lambda _: None))
    # 50 GFLOP in 2 seconds at 100 GFLOP/s.
    assert row == ["work: float32", "peer", "4.00", "2.00", "1.00 / 2.00 / 4.50", "≥ 2", "25 %"]


@pytest.mark.parametrize(("shift", "failures"), [(1e-6, 0), (1e-3, 1)])
def test_embeddings_that_differ_fail_the_script(peers: ModuleType, shift: float, failures: int) -> None:
    from tools.perf.head_to_head.report import Report

    rows = np.eye(4)
    made, _ = pair(peers, [1.0], [1.0], theirs=rows, ours=rows + shift)
    report = Report()
    peers._run(made, 1, report)
    assert len(report.failures) == failures


def test_accuracies_are_compared_by_the_gates_own_test(peers: ModuleType) -> None:
    from tools.perf.head_to_head.report import Report

    right = np.arange(20) % 4 != 0
    made, _ = pair(peers, [1.0] * 3, [1.0] * 3, theirs=right, ours=right)
    report = Report()
    peers._run(made, 3, report)
    assert report.accuracies == [["work: float32", "0.7500", "0.7500", "-21.3 to +21.3 points", "1.000"]]
