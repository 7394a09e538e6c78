"""Test that the first two lines of a report say whether to merge, and if not, why."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.single_seeds import FailedSeed
from pytest_sst2.report.headline import comparison_advice, comparison_headline
from tests.support.comparisons import FASTER, HELD, IDENTICAL, INCOMPARABLE, REGRESSED, SMALL, UNDECIDED, comparison

DEFAULT = ("regressed", "incomparable")
WITHOUT_CAUSE = dataclasses.replace(UNDECIDED, model="bert", causes=())
IMPROVED = dataclasses.replace(
    HELD,
    method="linear-probe",
    verdict="improved",
    accuracy=dataclasses.replace(SMALL, delta=0.12, at_worst=0.1),
)
WORSE_WITHOUT_CAUSE = dataclasses.replace(
    WITHOUT_CAUSE, accuracy=dataclasses.replace(SMALL, delta=-0.02, at_worst=-0.05)
)


@pytest.mark.parametrize(
    ("cells", "fail_on", "headline", "advice"),
    [
        (
            [REGRESSED, HELD],
            DEFAULT,
            "FAILS: minilm × linear-probe −2.39 points (at worst −4.1): pooling cls, was mean",
            "Do not merge yet: 1 of 2 cells got worse beyond chance, by more than the 1 point that may be lost; "
            "1 of 2 cells is slower; 1 of 2 cells needs more memory.",
        ),
        (
            [UNDECIDED],
            DEFAULT,
            "UNDECIDED: albert × fine-tune −0.50 points (at worst −1.9): pooling cls, was mean",
            "Merge only if you can afford to lose 1.9 points: for albert × fine-tune the data cannot tell "
            "whether more than 1 point was lost. This would decide it: 8 seeds (about 6 min).",
        ),
        (
            [HELD, IDENTICAL],
            DEFAULT,
            "HOLDS: both cells kept the accuracy, at worst −0.60 points (minilm × torch-probe); −1.00 may be lost",
            "You may merge: no cell lost more than 1 point of accuracy.",
        ),
        (
            [IMPROVED, dataclasses.replace(IMPROVED, model="bert")],
            DEFAULT,
            "HOLDS: both cells improved, at worst +10.00 points (minilm × linear-probe)",
            "You may merge: no cell lost more than 1 point of accuracy.",
        ),
        (
            [UNDECIDED, dataclasses.replace(UNDECIDED, model="bert")],
            DEFAULT,
            "UNDECIDED: albert × fine-tune −0.50 points (at worst −1.9): pooling cls, was mean; and 1 more cell",
            "Merge only if you can afford to lose 1.9 points: for both cells the data cannot tell whether more than "
            "1 point was lost. This would decide it: 8 seeds (about 6 min).",
        ),
        (
            [IDENTICAL],
            DEFAULT,
            "HOLDS: majority answered every sentence as before",
            "You may merge: no cell lost more than 1 point of accuracy.",
        ),
        (
            [INCOMPARABLE],
            DEFAULT,
            "CANNOT COMPARE: tfidf: seed 7, was 42",
            "Nothing is known about this change: tfidf cannot be compared.",
        ),
        (
            [],
            (),
            "CANNOT COMPARE: the two have no cell in common",
            "Nothing is known about this change: the baseline and this run measured different models, methods or "
            "seeds.",
        ),
    ],
)
def test_the_two_lines_say_whether_to_merge_and_why_not(
    cells: list[CellComparison], fail_on: tuple[str, ...], headline: str, advice: str
) -> None:
    compared = comparison(*cells)
    assert (comparison_headline(compared, fail_on), comparison_advice(compared, fail_on)) == (headline, advice)


def test_a_drop_with_a_cause_stands_before_a_larger_one_without() -> None:
    headline = comparison_headline(comparison(WORSE_WITHOUT_CAUSE, UNDECIDED), DEFAULT)
    assert headline == (
        "UNDECIDED: albert × fine-tune −0.50 points (at worst −1.9): pooling cls, was mean; and 1 more cell"
    )
    headline = comparison_headline(comparison(WITHOUT_CAUSE, WORSE_WITHOUT_CAUSE), DEFAULT)
    assert headline == "UNDECIDED: bert × fine-tune −2.00 points (at worst −5.0); and 1 more cell"


def test_a_cause_that_changed_no_number_is_no_reason() -> None:
    note = dataclasses.replace(UNDECIDED, causes=(Cause("tokenizer class B, was A", "tokens", rank=Rank.NOTE),))
    assert comparison_headline(comparison(note), DEFAULT).endswith("(at worst −1.9)")


def test_a_failed_seed_is_the_first_reason() -> None:
    seed = FailedSeed(4, 0.82, 0.32, "seed 4 of 5 collapsed: 0.32, the others 0.80 to 0.83")
    compared = comparison(dataclasses.replace(REGRESSED, failed_seeds=(seed,)))
    headline = comparison_headline(compared, DEFAULT)
    assert headline.endswith(": seed 4 of 5 collapsed: 0.32, the others 0.80 to 0.83")
    assert comparison_advice(compared, DEFAULT).startswith(
        "Do not merge yet: minilm × linear-probe has a seed more than 5 points below the others; "
    )


@pytest.mark.parametrize("fail_on", [(), ("slower",)])
def test_a_regressed_cell_never_holds_whatever_sets_the_exit_status(fail_on: tuple[str, ...]) -> None:
    assert comparison_headline(comparison(REGRESSED), fail_on).startswith("FAILS: minilm × linear-probe −2.39")


@pytest.mark.parametrize(
    ("fail_on", "start"), [(("undecided",), "FAILS: albert"), (("drifted",), "FAILS: albert"), ((), "UNDECIDED: ")]
)
def test_other_words_fail_where_they_are_asked_for(fail_on: tuple[str, ...], start: str) -> None:
    assert comparison_headline(comparison(UNDECIDED), fail_on).startswith(start)


def test_what_fails_by_time_memory_or_drift_says_so_and_not_how_the_accuracy_moved() -> None:
    cell = dataclasses.replace(HELD, speed_and_memory=REGRESSED.speed_and_memory, causes=UNDECIDED.causes)
    for fail_on, reason in {
        ("slower",): "takes 1.6 × as long",
        ("more-memory", "regressed"): "needs 1.5 × the memory",
        ("slower", "drifted"): "takes 1.6 × as long and drifted: pooling cls, was mean",
    }.items():
        assert comparison_headline(comparison(cell), fail_on) == f"FAILS: minilm × torch-probe {reason}"


def test_a_cell_of_the_baseline_that_was_not_run_is_said_next_to_what_holds() -> None:
    partial = dataclasses.replace(comparison(HELD), only_before=("tfidf", "majority"))
    assert comparison_headline(partial, ()).startswith("HOLDS: ")
    assert comparison_advice(partial, ()) == (
        "You may merge if what was not compared does not matter: no compared cell lost more than 1 point of accuracy; "
        "2 cells of the baseline were not run."
    )
    assert comparison_headline(partial, ("missing",)) == (
        "FAILS: tfidf, majority were not run, and the baseline has them"
    )
    seeds = dataclasses.replace(comparison(HELD), seeds_only_before={"albert × fine-tune": (2, 3)})
    assert comparison_headline(seeds, ("missing",)) == (
        "FAILS: albert × fine-tune with seeds 2, 3 was not run, and the baseline has it"
    )


def test_a_cell_that_cannot_be_compared_is_said_where_it_does_not_fail() -> None:
    compared = comparison(HELD, INCOMPARABLE)
    assert comparison_headline(compared, ("regressed",)).startswith("HOLDS: ")
    assert comparison_advice(compared, ("regressed",)) == (
        "You may merge if what was not compared does not matter: no compared cell lost more than 1 point of accuracy; "
        "1 of 2 cells cannot be compared."
    )


@pytest.mark.parametrize("flag", ["regressed", "undecided", "incomparable", "drifted", "slower", "more-memory"])
def test_the_advice_says_why_for_every_word_that_can_fail_a_run(flag: str) -> None:
    cell = {"undecided": UNDECIDED, "incomparable": INCOMPARABLE}.get(flag, REGRESSED)
    start, _, reason = comparison_advice(comparison(cell), (flag,)).partition(": ")
    assert start in ("Do not merge yet", "Nothing is known about this change")
    assert len(reason) > 10


def test_a_time_that_was_to_fail_and_is_undecided_is_said() -> None:
    (time,) = FASTER.phases
    undecided = dataclasses.replace(FASTER, phases=(dataclasses.replace(time, speed="undecided"),))
    compared = comparison(dataclasses.replace(HELD, speed_and_memory=undecided))
    assert comparison_advice(compared, (*DEFAULT, "slower")) == (
        "You may merge if time may grow: no cell lost more than 1 point of accuracy; for minilm × "
        "torch-probe the data cannot tell whether it is slower."
    )
    compared = dataclasses.replace(compared, timing_command="pytest-sst2 upgrade --from main --time 10%")
    assert comparison_advice(compared, (*DEFAULT, "slower")).endswith(
        "it is slower. This times both again: pytest-sst2 upgrade --from main --time 10%."
    )
    assert comparison_advice(compared, DEFAULT) == "You may merge: no cell lost more than 1 point of accuracy."


def test_what_holds_but_became_slower_may_be_merged_only_by_those_who_do_not_mind() -> None:
    cell = dataclasses.replace(HELD, speed_and_memory=REGRESSED.speed_and_memory)
    assert comparison_advice(comparison(cell), DEFAULT) == (
        "You may merge if time and memory may grow: no cell lost more than 1 point of accuracy; minilm × torch-probe "
        "is slower; minilm × torch-probe needs more memory."
    )


def test_if_no_cell_can_be_compared_none_is_said_to_be() -> None:
    both = comparison(INCOMPARABLE, dataclasses.replace(INCOMPARABLE, method="majority"))
    assert comparison_advice(both, DEFAULT) == (
        "Nothing is known about this change: neither of the 2 cells can be compared."
    )


def test_what_would_decide_is_about_the_cell_that_the_headline_names() -> None:
    ways = ("8 seeds", "a tolerance above 5.0 points")
    cells = [
        dataclasses.replace(cell, would_decide=way)
        for cell, way in zip((WITHOUT_CAUSE, WORSE_WITHOUT_CAUSE), ways, strict=True)
    ]
    cells[1] = dataclasses.replace(cells[1], method="torch-probe")
    assert comparison_headline(comparison(*cells), DEFAULT).startswith("UNDECIDED: bert × torch-probe")
    assert comparison_advice(comparison(*cells), DEFAULT).endswith(
        " This would decide bert × torch-probe (the findings have the others): a tolerance above 5.0 points."
    )


@pytest.mark.parametrize(
    ("ways", "decided"),
    [
        (("8 seeds",), "bert-0 × fine-tune"),
        (("8 seeds", "8 seeds"), "the undecided cells"),
        (("8 seeds", "8 seeds", ""), "2 of the 3 undecided cells"),
    ],
)
def test_what_would_decide_names_its_cells_after_a_clause_about_another_cell(
    ways: tuple[str, ...], decided: str
) -> None:
    cells = [dataclasses.replace(UNDECIDED, model=f"bert-{at}", would_decide=way) for at, way in enumerate(ways)]
    assert comparison_advice(comparison(REGRESSED, *cells), DEFAULT).endswith(f" This would decide {decided}: 8 seeds.")


def test_a_long_cause_ends_at_a_clause() -> None:
    tensors = ", ".join(f"encoder.layer.{number}.attention.self.query.weight" for number in range(9))
    long = Cause(f"another checkpoint (sha256 1, was 2): weights differ in 9 of 55 tensors ({tensors})", "weights")
    headline = comparison_headline(comparison(dataclasses.replace(UNDECIDED, causes=(long,))), DEFAULT)
    assert headline.endswith(": another checkpoint (sha256 1, was 2): weights differ in 9 of 55 tensors …")
