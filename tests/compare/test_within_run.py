"""Cells of one run against one another: which pairs a question has, and their verdicts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_sst2.compare.within_run import WithinRun, compare_within
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import answered, probe, with_fingerprint

NUMBER = 400
GOOD = [index % 5 != 0 for index in range(NUMBER)]
# 40 more sentences are wrong.
BAD = [right and index % 10 != 1 for index, right in enumerate(GOOD)]
MATRIX = [
    *(probe(GOOD, model=model, method=method) for method in ("linear-probe", "torch-probe") for model in "abc"),
    *(answered(GOOD, model=model, method="fine-tune") for model in "abc"),
    probe(BAD, model=None, method="tfidf"),
    probe(BAD, model=None, method="majority"),
]


def within(records: Sequence[Record], *questions: str, failures: Sequence[Failure] = ()) -> WithinRun:
    results = Results(records, failures, origin="this run")
    return compare_within(results, questions, tolerance=0.01, alpha=0.01, option="--pair")


def pairs(comparison: WithinRun) -> set[str]:
    """Return the pairs as ``a × linear-probe: b × linear-probe``, the cell to compare with first."""
    return {f"{cell_name(cell.earlier)}: {cell.name}" for cell in comparison.cells if cell.earlier}


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("a", {f"a × {m}: {x} × {m}" for m in ("linear-probe", "torch-probe", "fine-tune") for x in "bc"}),
        ("fine-tune", {f"{x} × fine-tune: {x} × {m}" for m in ("linear-probe", "torch-probe") for x in "abc"}),
        ("a=b", {f"a × {m}: b × {m}" for m in ("linear-probe", "torch-probe", "fine-tune")}),
        ("linear-probe=fine-tune", {f"{x} × linear-probe: {x} × fine-tune" for x in "abc"}),
        ("a × fine-tune=b × linear-probe", {"a × fine-tune: b × linear-probe"}),
        ("a × fine-tune=b", {"a × fine-tune: b × fine-tune"}),
        ("a × fine-tune=linear-probe", {"a × fine-tune: a × linear-probe"}),
        ("tfidf=majority", {"tfidf: majority"}),
        ("tfidf=fine-tune", {f"tfidf: {x} × fine-tune" for x in "abc"}),
        ("a=tfidf", {f"a × {m}: tfidf" for m in ("linear-probe", "torch-probe", "fine-tune")}),
    ],
)
def test_a_question_pairs_cells_that_differ_in_what_it_names(question: str, found: set[str]) -> None:
    assert pairs(within(MATRIX, question)) == found


@pytest.mark.parametrize("question", ["tfidf", "a × fine-tune"])
def test_a_cell_is_compared_with_every_other_one(question: str) -> None:
    assert len(within(MATRIX, question).cells) == len(MATRIX) - 1


def test_two_questions_ask_for_no_pair_twice() -> None:
    assert pairs(within(MATRIX, "a=b", "b=a", "a=b")) == pairs(within(MATRIX, "a=b"))


@pytest.mark.parametrize(
    ("question", "unknown"), [("d", "'d'"), ("a=d", "'d'"), ("fine-tine", "Did you mean 'fine-tune'?"), ("a=", "''")]
)
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(question: str, unknown: str) -> None:
    with pytest.raises(Sst2Error) as error:
        within(MATRIX, question)
    assert unknown in str(error.value)
    assert "a, b, c, linear-probe" in str(error.value)


def test_a_name_may_contain_an_equals_sign() -> None:
    records = [probe(GOOD, model=model) for model in ("a=1", "b=2")]
    assert pairs(within(records, "a=1=b=2")) == {"a=1 × linear-probe: b=2 × linear-probe"}
    assert pairs(within(records, "a=1")) == {"a=1 × linear-probe: b=2 × linear-probe"}


def test_a_question_that_no_pair_answers_is_a_note() -> None:
    comparison = within([probe(GOOD, model="a")], "a")
    assert comparison.cells == ()
    assert comparison.notes == ("--pair a: the results have no two cells that answer it",)
    assert comparison.exit_status(()) == 2


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (GOOD, GOOD, "identical"),
        (GOOD, BAD, "regressed"),
        (BAD, GOOD, "improved"),
        (GOOD, [right and index != 1 for index, right in enumerate(GOOD)], "undecided"),
    ],
)
def test_the_verdict_is_that_of_two_runs(before: list[bool], after: list[bool], verdict: str) -> None:
    (cell,) = within([probe(before, model="a"), probe(after, model="b")], "a").cells
    assert (cell.verdict, cell.earlier) == (verdict, ("a", "linear-probe"))


def test_only_what_is_asked_for_fails_a_comparison() -> None:
    comparison = within([probe(GOOD, model="a"), probe(BAD, model="b")], "a=b")
    assert comparison.exit_status(()) == 0
    assert comparison.exit_status(("regressed",)) == 1
    assert within([probe(BAD, model="a"), probe(GOOD, model="b")], "a=b").exit_status(("regressed",)) == 0


def test_the_trainings_of_one_seed_differ_by_chance_too() -> None:
    few = [right and index % 25 != 1 for index, right in enumerate(GOOD)]
    frozen = within([probe(GOOD, model="a"), probe(few, model="b")], "a=b").cells[0]
    tuned = within([probe(GOOD, model="a"), answered(few, model="a", method="fine-tune")], "linear-probe=fine-tune")
    assert frozen.verdict == "regressed"
    assert tuned.cells[0].verdict == "undecided"
    assert "assumed spread" in tuned.cells[0].notes[0]


def test_methods_that_train_in_another_order_are_compared() -> None:
    tuned = answered(GOOD, model="a", method="fine-tune")
    other = with_fingerprint(answered(GOOD, model="a", method="setfit"), training={"order": "1:2"})
    assert within([tuned, other], "fine-tune").cells[0].reasons == ()


def test_other_rows_are_incomparable() -> None:
    other = with_fingerprint(probe(GOOD, model="b"), evaluation={"sentences": "0000"})
    (cell,) = within([probe(GOOD, model="a"), other], "a").cells
    assert cell.verdict == "incomparable"


def test_a_pair_with_a_failed_seed_has_its_reason() -> None:
    failure = Failure("b-linear-probe-seed42", "b", "linear-probe", 42, "out of memory")
    comparison = within([probe(GOOD, model="a")], "a", failures=[failure])
    assert comparison.cells[0].reasons == ("no number for seed 42 of b × linear-probe: out of memory",)
    assert pairs(within([probe(GOOD, model="a")], "b", failures=[failure])) == {"b × linear-probe: a × linear-probe"}


def test_from_three_seeds_on_the_draw_of_training_rows_is_random() -> None:
    """Two probes whose difference changes its size with the training rows, over thousands of sentences of each seed."""

    def seeds(model: str, wrong: Sequence[int], *, drawn: bool) -> list[Record]:
        right = [[index % 100 >= number for index in range(2000)] for number in wrong]
        records = [probe(of_seed, seed=seed, model=model) for seed, of_seed in enumerate(right)]
        return [
            with_fingerprint(record, train={"sentences": str(record.seed)}) if drawn else record for record in records
        ]

    def verdict(*, drawn: bool) -> str:
        records = seeds("a", (20, 26, 14), drawn=drawn) + seeds("b", (28, 19, 22), drawn=drawn)
        return within(records, "a=b").cells[0].verdict

    assert verdict(drawn=False) == "regressed"
    assert verdict(drawn=True) == "undecided"


def test_a_seed_of_one_class_is_a_note_and_no_verdict() -> None:
    half = [index % 2 == 0 for index in range(NUMBER)]
    tuned = [answered(GOOD, seed=seed, model="a", method="fine-tune") for seed in (1, 2, 3, 4)]
    tuned.append(answered(half, seed=5, model="a", method="fine-tune"))
    worse = [probe(half, seed=seed, model="a") for seed in (1, 2, 3, 4, 5)]
    (cell,) = within([*tuned, *worse], "linear-probe=fine-tune").cells
    assert cell.verdict in ("improved", "held", "undecided")
    assert any("a × fine-tune: seed 5 of 5 predicts one class only: 0.50" in note for note in cell.notes)


def test_the_probes_of_two_embeddings_count_once() -> None:
    # 12 losses of 400: p is 0.00024 before the correction, 0.0025 for ten pairs.
    few = [right and not (index % 5 == 1 and index < 60) for index, right in enumerate(GOOD)]
    methods = [f"probe-{number}" for number in range(10)]
    records = [
        probe(right, model=model, method=method) for model, right in (("a", GOOD), ("b", few)) for method in methods
    ]
    probes = within(records, "a").cells
    assert probes[0].accuracy is not None
    assert probes[0].adjusted_p == pytest.approx(probes[0].accuracy.p_worse)
