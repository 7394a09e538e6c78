"""Changes on purpose: each ends in a verdict, and an undeclared one says what to type."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.config.declared import CHANGED_OPTION, NOTHING_DECLARED, Declared, changes
from pytest_sst2.config.options import FAIL_ON_DEFAULT
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import ENVIRONMENT, answered, with_fingerprint

RIGHT = [index % 5 != 0 for index in range(400)]
FAIL_ON = tuple(FAIL_ON_DEFAULT.split(","))


def probe(model: str | None = "clf-v1", method: str = "linear-probe", **changed: Any) -> Record:
    return answered(RIGHT, model=model, method=method, **changed)


def compared(before: Sequence[Record], after: Sequence[Record], declared: Declared = NOTHING_DECLARED) -> Comparison:
    sides = (Results(side, [], origin=name) for side, name in ((before, "v1"), (after, "v2")))
    one, other = sides
    return compare(one, other, tolerance=0.01, alpha=0.01, declared=declared)


def typed(comparison: Comparison) -> Declared:
    """Return what the user declares who types what the comparison says."""
    option, value = shlex.split(comparison.to_declare)
    assert option == CHANGED_OPTION
    return Declared.of(changes(value))


def upgraded(**packages: str) -> Callable[[Record], Record]:
    return lambda record: dataclasses.replace(
        record, environment=dataclasses.replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, **packages})
    )


def with_recipe(**values: Any) -> Callable[[Record], Record]:
    return lambda record: dataclasses.replace(record, recipe=dataclasses.replace(record.recipe, **values))


def other_training_rows(record: Record) -> Record:
    return with_fingerprint(with_recipe(train_size=900)(record), train={"sentences": "9" * 16, "order": "8" * 16})


def other_weights(record: Record) -> Record:
    assert record.weights is not None
    return dataclasses.replace(record, weights=dataclasses.replace(record.weights, sha256="12" * 32))


def renamed(name: str) -> Callable[[Record], Record]:
    return lambda record: dataclasses.replace(other_weights(record), model=name)


def other_order(record: Record) -> Record:
    return with_fingerprint(with_recipe(batch_size=64)(record), training={"order": "9999:ffff"})


KINDS: dict[str, tuple[Callable[[Record], Record], str]] = {
    "torch": (upgraded(torch="2.14.0"), ""),
    "torch build": (upgraded(torch="2.13.0+cu130"), ""),
    "transformers": (upgraded(transformers="6.0"), ""),
    "scikit-learn": (upgraded(**{"scikit-learn": "2.0"}), ""),
    "sentence-transformers": (upgraded(**{"sentence-transformers": "7.0"}), ""),
    "Python": (
        lambda record: dataclasses.replace(record, environment=dataclasses.replace(ENVIRONMENT, python="3.14.0")),
        "",
    ),
    "checkpoint at the same path": (other_weights, ""),
    "checkpoint under another name": (renamed("clf-v2"), "model"),
    "name with spaces and an equals sign": (renamed("my clf=v2"), "model"),
    "Hub revision": (renamed("org/clf@v2"), "model"),
    "train size": (other_training_rows, "recipe"),
    "epochs": (with_recipe(epochs=7), "recipe"),
    "learning rate": (with_recipe(learning_rate=1e-5), "recipe"),
    "max length": (with_recipe(max_length=64), "recipe"),
    "max length of a probe": (with_recipe(max_length=64, probe_max_length=64), "recipe"),
    "dtype": (with_recipe(dtype="bfloat16"), "recipe"),
    "batch size": (other_order, "recipe"),
    "order of similar lengths": (with_recipe(group_by_length=False), "recipe"),
    "preset": (with_recipe(name="standard", epochs=3, batch_size=16), "recipe"),
    "name and recipe": (lambda record: with_recipe(epochs=7)(renamed("clf-v2")(record)), "model,recipe"),
    "name and train size": (lambda record: other_training_rows(renamed("clf-v2")(record)), "model,recipe"),
    "method renamed": (lambda record: dataclasses.replace(record, method="my-probe"), "linear-probe=my-probe"),
    "name and method": (
        lambda record: dataclasses.replace(renamed("clf-v2")(record), method="my-probe"),
        "model,clf-v1=clf-v2,linear-probe=my-probe",
    ),
    "data folder renamed": (
        lambda record: dataclasses.replace(record, dataset=dataclasses.replace(record.dataset, name="other")),
        "",
    ),
}


@pytest.mark.parametrize(("change", "needs"), KINDS.values(), ids=list(KINDS))
def test_every_change_on_purpose_ends_in_a_verdict(change: Callable[[Record], Record], needs: str) -> None:
    before = [probe(), probe(None, "tfidf")]
    after = [change(before[0]), before[1]]
    undeclared = compared(before, after)
    declared = Declared.of(needs.split(",") if needs else ())
    assert undeclared.to_declare == (f"{CHANGED_OPTION} {shlex.quote(needs)}" if needs else "")
    comparison = compared(before, after, typed(undeclared) if needs else declared)
    assert comparison.to_declare == ""
    assert comparison.exit_status(FAIL_ON) in (0, 1)
    assert (comparison.only_before, comparison.only_after) == ((), ())
    cell = comparison.cells[0]
    assert cell.verdict != "incomparable"
    if needs:
        assert cell.causes[0].is_declared
        assert "drifted" not in cell.flags


def test_the_declared_change_is_the_first_cause_and_names_every_value() -> None:
    after = with_recipe(epochs=7, learning_rate=1e-5)(renamed("clf-v2")(probe()))
    comparison = compared([probe()], [after], Declared(model=True, recipe=True))
    (cause,) = comparison.cells[0].causes
    assert str(cause) == "model clf-v2, was clf-v1; recipe epochs 7, was 1; learning_rate 1e-05, was 0.0001"
    assert comparison.cells[0].earlier == ("clf-v1", "linear-probe")


def test_what_does_not_follow_from_another_recipe_is_still_a_cause() -> None:
    after = with_fingerprint(with_recipe(epochs=7)(probe()), encoder={"pooling": "cls"})
    causes = compared([probe()], [after], Declared(recipe=True)).cells[0].causes
    assert causes[0].is_declared
    assert any("pooling" in str(cause) for cause in causes[1:])


def test_a_renamed_checkpoint_with_the_same_weights_is_compared_along_its_chain() -> None:
    after = with_fingerprint(dataclasses.replace(probe(), model="copy"), encoder={"pooling": "cls"})
    cell = compared([probe()], [after], Declared(model=True)).cells[0]
    assert any("pooling" in str(cause) for cause in cell.causes)


def test_another_variant_of_the_same_weights_is_the_declared_cause_of_all_that_follows() -> None:
    before = probe("clf")
    after = with_fingerprint(probe("clf:int8"), encoder={"dtype": "int8", "sketch": ""})
    after = dataclasses.replace(after, settings={**after.settings, "variant": "int8"})
    (cell,) = compared([before], [after], Declared(model=True)).cells
    assert [str(cause) for cause in cell.causes] == ["variant int8, was plain"]
    (cell,) = compared([before], [other_weights(after)], Declared(model=True)).cells
    assert [str(cause) for cause in cell.causes] == ["model clf:int8, was clf"]


def test_a_declaration_that_changed_nothing_is_harmless() -> None:
    cell = compared([probe()], [probe()], Declared(model=True, recipe=True)).cells[0]
    assert (cell.verdict, cell.causes, cell.earlier) == ("identical", (), None)


class TestEvaluationRows:
    @pytest.mark.parametrize("declared", [NOTHING_DECLARED, Declared(recipe=True), Declared(model=True, recipe=True)])
    def test_other_sentences_are_never_compared_and_nothing_is_to_be_declared(self, declared: Declared) -> None:
        after = with_fingerprint(other_training_rows(probe()), evaluation={"sentences": "7" * 16})
        comparison = compared([probe()], [after], declared)
        assert (comparison.cells[0].verdict, comparison.to_declare) == ("incomparable", "")
        assert comparison.exit_status(FAIL_ON) == 2

    def test_training_rows_may_differ_only_with_the_train_size(self) -> None:
        after = with_fingerprint(with_recipe(epochs=7)(probe()), train={"sentences": "7" * 16})
        comparison = compared([probe()], [after], Declared(recipe=True))
        assert (comparison.cells[0].verdict, comparison.to_declare) == ("incomparable", "")


class TestNames:
    def cells(self, *names: str, methods: Sequence[str] = ("linear-probe", "torch-probe")) -> list[Record]:
        return [probe(name, method) for name in names for method in methods]

    def test_a_model_that_both_sides_have_is_not_paired_with_another(self) -> None:
        comparison = compared(self.cells("minilm", "clf-v1"), self.cells("minilm", "clf-v2"), Declared(model=True))
        assert [cell.earlier and cell.earlier[0] for cell in comparison.cells] == [None, None, "clf-v1", "clf-v1"]

    def test_several_other_names_need_pairs_and_the_sentence_names_them(self) -> None:
        before, after = self.cells("big-v1", "small-v1"), self.cells("small-v2", "big-v2")
        assert not compared(before, after, Declared(model=True)).cells
        undeclared = compared(before, after)
        assert undeclared.to_declare == f"{CHANGED_OPTION} model,small-v1=small-v2,big-v1=big-v2"
        comparison = compared(before, after, typed(undeclared))
        assert [cell.earlier and cell.earlier[0] for cell in comparison.cells] == [*["small-v1"] * 2, *["big-v1"] * 2]

    def test_a_pair_decides_the_rest(self) -> None:
        before, after = self.cells("a1", "b1"), self.cells("x", "y")
        comparison = compared(before, after, Declared(model=True, pairs=("a1=y",)))
        assert {cell.model: cell.earlier and cell.earlier[0] for cell in comparison.cells} == {"x": "b1", "y": "a1"}

    def test_one_method_can_tell_which_model_is_which(self) -> None:
        before = [*self.cells("a1", "b1", methods=["linear-probe"]), probe("a1", "fine-tune")]
        after = [*self.cells("y", "x", methods=["linear-probe"]), probe("x", "fine-tune")]
        comparison = compared(before, after, Declared(model=True))
        assert {cell.model: cell.earlier and cell.earlier[0] for cell in comparison.cells} == {"x": "a1", "y": "b1"}

    def test_two_models_that_were_swapped_are_paired_as_typed(self) -> None:
        both = self.cells("a", "b")
        comparison = compared(both, both, Declared(pairs=("a=b", "b=a")))
        assert {cell.model: cell.earlier and cell.earlier[0] for cell in comparison.cells} == {"a": "b", "b": "a"}

    def test_a_model_that_only_one_side_has_is_nothing_to_declare(self) -> None:
        assert compared(self.cells("a", "b"), self.cells("a")).to_declare == ""
        assert compared(self.cells("a"), self.cells("a", "b")).to_declare == ""

    @pytest.mark.parametrize(
        ("pairs", "words"),
        [
            (
                ("none=b",),
                "the earlier results have no model or method 'none'. They have a, linear-probe, torch-probe.",
            ),
            (("a=none",), "the later results have no model or method 'none'. They have b, linear-probe, torch-probe."),
            (("a=b", "linear-probe=b"), "pairs 'b' twice; name it in one pair."),
        ],
    )
    def test_a_wrong_pair_is_one_sentence(self, pairs: tuple[str, ...], words: str) -> None:
        with pytest.raises(Sst2Error, match=words):
            compared(self.cells("a"), self.cells("b"), Declared(pairs=pairs))


class TestWork:
    def test_times_are_compared_only_where_the_work_is_the_same(self) -> None:
        def notes(after: Record) -> str:
            change = compared([probe()], [after], Declared(model=True, recipe=True)).cells[0].speed_and_memory
            assert change is not None
            return " ".join(change.notes)

        assert "times and memory not compared: recipe epochs 7" in notes(with_recipe(epochs=7)(probe()))
        assert "not compared" not in notes(with_recipe(learning_rate=1e-5)(probe()))
        assert "recipe dtype bfloat16" in notes(with_recipe(dtype="bfloat16")(probe()))
        # A probe has no epochs.
        before, after = (
            with_fingerprint(record, training=None) for record in (probe(), with_recipe(epochs=7)(probe()))
        )
        change = compared([before], [after], Declared(recipe=True)).cells[0].speed_and_memory
        assert change is not None
        assert "not compared" not in " ".join(change.notes)
        # A checkpoint with the same config and tokens does the same work.
        assert "not compared" not in notes(renamed("clf-v2")(probe()))
        larger = with_fingerprint(renamed("clf-v2")(probe()), encoder={"config": {"num_hidden_layers": 12}})
        assert "times and memory not compared: model clf-v2, was clf-v1" in notes(larger)


class TestOption:
    @pytest.mark.parametrize(
        ("text", "declared"),
        [
            ("model", Declared(model=True)),
            (" recipe , model ", Declared(model=True, recipe=True)),
            ("a=b,model=c", Declared(pairs=("a=b", "model=c"))),
        ],
    )
    def test_words_and_pairs(self, text: str, declared: Declared) -> None:
        assert Declared.of(changes(text)) == declared

    @pytest.mark.parametrize("text", ["", ",", "models", "a=", "=b", "checkpoint"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(Exception, match="model, recipe"):
            changes(text)
