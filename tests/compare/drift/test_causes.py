"""Test what makes two records incomparable, and that each difference is one named cause."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_sst2.compare.drift.causes import incomparable_reasons
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.packing import packed_bits, packed_floats
from pytest_sst2.results.record import Placement, Record
from tests.support.record_factory import make_record, of_schema_1, token_digests, with_fingerprint
from tests.support.sentences_of_causes import drift_sentences

BASE = make_record()


def with_dataset(**changes: Any) -> Record:
    return dataclasses.replace(BASE, dataset=dataclasses.replace(BASE.dataset, **changes))


def with_recipe(**changes: Any) -> Record:
    return dataclasses.replace(BASE, recipe=dataclasses.replace(BASE.recipe, **changes))


def cause(after: Record, before: Record = BASE) -> str:
    """Return the only cause."""
    (only,) = drift_sentences(before, after)
    return only


class TestIncomparable:
    def test_equal_records_are_comparable_without_drift(self) -> None:
        assert incomparable_reasons(BASE, make_record()) == ()
        assert drift_sentences(BASE, make_record()) == ()

    def test_other_data_is_the_only_reason(self) -> None:
        after = dataclasses.replace(with_dataset(name="sst2", split="heldout"), recipe=build_recipe("full"), seed=7)
        after = with_fingerprint(after, evaluation={"sentences": "9" * 16})
        assert incomparable_reasons(BASE, after) == (
            "data sst2, was reviews",
            "evaluation sentences: not the same ones (4 rows, 4 distinct, on both sides)",
        )

    def test_changed_rows_come_before_the_name_that_they_cost(self) -> None:
        after = with_fingerprint(with_dataset(name="folder"), train={"sentences": "9" * 16})
        assert incomparable_reasons(BASE, after) == (
            "training sentences: not the same ones (5 rows, 4 distinct, on both sides)",
            "data folder, was reviews",
        )
        after = with_fingerprint(with_dataset(name="folder reviews"), train={"sentences": "9" * 16})
        assert len(incomparable_reasons(BASE, after)) == 1

    def test_another_name_of_the_same_rows_is_no_reason(self) -> None:
        assert incomparable_reasons(BASE, with_dataset(name="sst2")) == ()

    def test_another_split(self) -> None:
        assert incomparable_reasons(BASE, with_dataset(split="heldout")) == (
            "evaluation split heldout, was validation",
        )

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"train_size": None}, "recipe train_size all, was 500"),
            ({"eval_size": 100}, "recipe eval_size 100, was all"),
            ({"epochs": 3}, "recipe epochs 3, was 1"),
            ({"batch_size": 8}, "recipe batch_size 8, was 16"),
            ({"learning_rate": 5e-5}, "recipe learning_rate 5e-05, was 0.0001"),
            ({"max_length": 5}, "recipe max_length 5, was 128"),
            ({"probe_max_length": 5}, "recipe probe_max_length 5, was all"),
            ({"group_by_length": False}, "recipe group_by_length False, was True"),
            ({"dtype": "bfloat16"}, "recipe dtype bfloat16, was float32"),
        ],
    )
    def test_another_recipe_names_each_value(self, changes: dict[str, Any], words: str) -> None:
        assert incomparable_reasons(BASE, with_recipe(**changes)) == (words,)

    def test_the_name_and_the_seeds_of_a_recipe_are_ignored(self) -> None:
        assert incomparable_reasons(BASE, with_recipe(name="standard", seeds=(42,))) == ()

    def test_another_seed_draws_its_own_rows(self) -> None:
        assert incomparable_reasons(BASE, dataclasses.replace(BASE, seed=7)) == ("seed 7, was 42",)

    @pytest.mark.parametrize(("which", "word"), [("train", "training"), ("evaluation", "evaluation")])
    def test_rows_may_differ_in_sentences_labels_or_order(self, which: str, word: str) -> None:
        rows = getattr(BASE.fingerprint, which)
        flipped = packed_bits([0, *([0, 1, 1] if which == "train" else [0, 0, 1])])
        for changes, expected in (
            ({"sentences": "ffff", "count": 9, "distinct": 8}, f"{word} sentences: 9 rows, 8 distinct, were "),
            (
                {"sentences": "ffff"},
                f"{word} sentences: not the same ones ({rows.count} rows, 4 distinct, on both sides)",
            ),
            ({"labels": flipped}, f"{word} labels: 1 of {rows.count} sentences have the other label"),
            ({"order": "ffff"}, f"{word} order: the same rows in another order"),
        ):
            (reason,) = incomparable_reasons(BASE, with_fingerprint(**{which: changes}))
            assert expected in reason
            assert reason.startswith(word)

    def test_sentences_take_precedence_over_labels_and_order(self) -> None:
        (reason,) = incomparable_reasons(
            BASE, with_fingerprint(train={"sentences": "ffff", "labels": packed_bits([0] * 5), "order": "ffff"})
        )
        assert reason == "training sentences: not the same ones (5 rows, 4 distinct, on both sides)"

    def test_another_revision_of_the_data_comes_after_the_rows_that_differ(self) -> None:
        other = with_fingerprint(train={"sentences": "ffff"})
        moved = dataclasses.replace(other, dataset=dataclasses.replace(BASE.dataset, revision="sha256:ffffffffffff"))
        rows = "training sentences: not the same ones (5 rows, 4 distinct, on both sides)"
        revision = "the data set has other rows (revision sha256:ffffffffffff, was sha256:0123456789ab)"
        assert incomparable_reasons(BASE, moved) == (rows, revision)
        # The Hub's commit and a folder's digest differ for the same rows, and the rows in use may be the same.
        from_hub = dataclasses.replace(moved, dataset=dataclasses.replace(moved.dataset, source="hub"))
        assert incomparable_reasons(BASE, from_hub) == (rows,)
        assert incomparable_reasons(BASE, dataclasses.replace(BASE, dataset=moved.dataset)) == ()

    def test_the_optimiser_gets_the_same_rows_in_another_order(self) -> None:
        after = with_fingerprint(training={"order": "9999:ffff"})
        assert incomparable_reasons(BASE, after) == (
            "training order: the optimiser was given the same rows in another order",
        )
        # With other tokens the rows are other rows, not another order.
        assert incomparable_reasons(BASE, with_fingerprint(after, tokens={"ids": token_digests(3)})) == ()
        # Rows with other content are no other order either.
        assert incomparable_reasons(BASE, with_fingerprint(training={"order": "9999:8888"})) == ()
        # A method without a recorded order is not compared.
        assert incomparable_reasons(BASE, with_fingerprint(training={"order": None})) == ()
        assert incomparable_reasons(BASE, with_fingerprint(training=None)) == ()


class TestFirstSchema:
    OLD = of_schema_1(BASE)

    @pytest.mark.parametrize(("before", "after"), [(OLD, BASE), (BASE, OLD)])
    def test_it_is_compared_by_the_digest_of_its_rows_without_drift(self, before: Record, after: Record) -> None:
        assert incomparable_reasons(before, after) == ()
        assert drift_sentences(before, after) == ()
        moved = dataclasses.replace(after, dataset=dataclasses.replace(after.dataset, digest="ff" * 32))
        (reason,) = incomparable_reasons(before, moved)
        assert reason.startswith("training or evaluation rows (their digests differ")

    def test_two_files_of_schema_1_have_no_labels(self) -> None:
        (reason,) = incomparable_reasons(self.OLD, self.OLD)
        assert reason.startswith("labels: neither file has them")


class TestDraws:
    def test_seed_and_training_rows_may_differ(self) -> None:
        after = with_fingerprint(dataclasses.replace(BASE, seed=7), train={"sentences": "ffff"})
        assert incomparable_reasons(BASE, after, same_seeds=False) == ()

    def test_only_held_out_evaluation_rows_may_differ(self) -> None:
        after = with_fingerprint(evaluation={"sentences": "ffff"})
        (reason,) = incomparable_reasons(BASE, after, same_seeds=False)
        assert reason.startswith("evaluation sentences: ")
        held = [dataclasses.replace(record, dataset=with_dataset(split="heldout").dataset) for record in (BASE, after)]
        assert incomparable_reasons(*held, same_seeds=False) == ()

    def test_recipes_may_not_differ(self) -> None:
        assert incomparable_reasons(BASE, with_recipe(epochs=3), same_seeds=False) == ("recipe epochs 3, was 1",)

    def test_schema_1_does_not_distinguish_the_rows(self) -> None:
        (reason,) = incomparable_reasons(of_schema_1(BASE), BASE, same_seeds=False)
        assert reason.startswith("training and evaluation rows (a file of schema 1")

    def test_differences_that_depend_on_the_seed_are_no_drift(self) -> None:
        after = with_fingerprint(
            dataclasses.replace(BASE, seed=7),
            encoder={"parts": {**BASE.fingerprint.encoder.parts, "classifier": "c9", "pooler": "99"}},
            training={"order": "9999:8888", "first_loss": 7.0, "first_gradient_norm": 25.0, "first_batch": "1:2"},
            logits=packed_floats([4 - index / 8 for index in range(64)]),
        )
        assert drift_sentences(BASE, after) == ()

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ({"seed": 42, "data_seed": 42, "C": 1.0}, {"seed": 7, "data_seed": 7, "C": 1.0}),
            ({"random_state": 42}, {"random_state": 7}),
            ({"vocabulary": 2000}, {"vocabulary": 2001}),
            ({"positive_share": 0.5}, {"positive_share": 0.51}),
        ],
    )
    def test_settings_that_depend_on_the_seed_are_no_drift(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        before, after = dataclasses.replace(BASE, settings=old), dataclasses.replace(BASE, settings=new, seed=7)
        assert drift_sentences(before, after, seeded={*old} - {"C"}) == ()
        assert drift_sentences(before, after) != ()

    def test_differences_that_do_not_depend_on_the_seed_are_drift(self) -> None:
        other = dataclasses.replace(BASE, seed=7)
        assert "token ids differ" in cause(with_fingerprint(other, tokens={"ids": token_digests(3)}))
        assert "encoder loaded in bfloat16" in cause(with_fingerprint(other, encoder={"dtype": "bfloat16"}))
        parts = {**BASE.fingerprint.encoder.parts, "layer 1": "99"}
        assert "weights as loaded differ in 1 of 5" in cause(with_fingerprint(other, encoder={"parts": parts}))
        settings = dataclasses.replace(other, settings={**BASE.settings, "C": 2.0})
        assert cause(settings) == "C 2, was 1"


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("C", 2.0, "C 2, was 1"),
            ("solver", "saga", "solver saga, was lbfgs"),
            ("modules", ["Transformer"], "modules Transformer, was Transformer + Pooling"),
            ("max_iter", 10, "max_iter 10, was none"),
        ],
    )
    def test_a_setting_that_differs_is_named(self, name: str, value: Any, words: str) -> None:
        assert cause(dataclasses.replace(BASE, settings={**BASE.settings, name: value})) == words

    def test_settings_of_only_one_side_are_ignored(self) -> None:
        assert drift_sentences(BASE, dataclasses.replace(BASE, settings={"C": 1.0, "new": 5})) == ()

    def test_several_are_all_named(self) -> None:
        after = dataclasses.replace(BASE, settings={**BASE.settings, "C": 2.0, "solver": "saga"})
        assert drift_sentences(BASE, after) == ("C 2, was 1", "solver saga, was lbfgs")


class TestPrecision:
    def test_another_dtype_is_the_only_cause_although_it_changes_all_weights(self) -> None:
        parts = dict.fromkeys(BASE.fingerprint.encoder.parts, "99")
        after = with_fingerprint(encoder={"dtype": "bfloat16", "parts": parts, "sketch": packed_floats([5.0] * 128)})
        assert cause(after) == "encoder loaded in bfloat16, was float32"

    def test_another_implementation_of_attention(self) -> None:
        assert cause(with_fingerprint(encoder={"attention": "eager"})) == "attention computed by eager, was sdpa"
        assert drift_sentences(BASE, with_fingerprint(encoder={"attention": ""})) == ()

    def test_another_precision_of_matrix_products(self) -> None:
        other = dataclasses.replace(BASE.environment, matmul_precision="high")
        words = "precision of float32 matrix products high, was highest"
        assert cause(dataclasses.replace(BASE, environment=other)) == words


class TestChain:
    """A difference in an early step changes all later steps, so only the first is a cause."""

    FAR_LOGITS = with_fingerprint(logits=packed_floats([index * 37 % 64 / 8 - 4 for index in range(64)]))

    def test_other_logits_alone_are_a_cause(self) -> None:
        assert "the trained classifiers differ" in cause(self.FAR_LOGITS)

    @pytest.mark.parametrize(
        ("upstream", "words"),
        [
            ({"tokens": {"ids": token_digests(3)}}, "token ids differ"),
            ({"encoder": {"dtype": "bfloat16"}}, "encoder loaded in"),
            ({"encoder": {"parts": {"layer 0": "99"}}}, "weights as loaded differ"),
            ({"encoder": {"pooling": "cls"}}, "pooling cls, was mean"),
            ({"encoder": {"config": {"hidden_act": "relu"}}}, "the model's config: hidden_act relu, was gelu"),
        ],
    )
    def test_earlier_steps_explain_loss_gradient_and_logits(self, upstream: dict[str, Any], words: str) -> None:
        after = with_fingerprint(self.FAR_LOGITS, training={"first_loss": 7.0, "first_gradient_norm": 250.0})
        assert words in cause(with_fingerprint(after, **upstream))

    def test_a_setting_explains_loss_and_logits(self) -> None:
        after = with_fingerprint(self.FAR_LOGITS, training={"first_loss": 7.0})
        assert cause(dataclasses.replace(after, settings={**BASE.settings, "C": 2.0})) == "C 2, was 1"

    def test_the_number_of_steps_explains_the_logits(self) -> None:
        assert cause(with_fingerprint(self.FAR_LOGITS, training={"steps": 64})) == "64 training steps, were 32"

    def test_a_different_way_to_compute_the_same_explains_nothing(self) -> None:
        causes = drift_sentences(BASE, with_fingerprint(self.FAR_LOGITS, encoder={"attention": "eager"}))
        assert [sentence.partition(",")[0] for sentence in causes] == [
            "the same rows",
            "attention computed by eager",
        ]

    def test_fingerprints_of_other_fixed_sentences_are_compared_only_in_the_weights(self) -> None:
        after = with_fingerprint(
            self.FAR_LOGITS, fixed_sentences="other", tokens={"ids": token_digests(3)}, encoder={"pooling": "cls"}
        )
        assert drift_sentences(BASE, after) == ()
        assert "weights" in cause(with_fingerprint(after, encoder={"parts": {"layer 0": "99"}}))


class TestProcesses:
    """Records of earlier releases may come from several processes that trained one cell."""

    @staticmethod
    def trained(processes: int, batch_size: int) -> Record:
        settings = {**BASE.settings, "per_device_train_batch_size": batch_size}
        return dataclasses.replace(BASE, settings=settings, placement=Placement("torchrun", processes=processes))

    def test_a_batch_divided_among_processes_is_the_same_batch(self) -> None:
        words = "trained by 4 processes, was 1: other dropout masks"
        assert drift_sentences(self.trained(1, 16), self.trained(4, 4)) == (words,)
        assert drift_sentences(self.trained(2, 8), self.trained(2, 8)) == ()

    def test_a_larger_batch_is_a_cause(self) -> None:
        assert "per_device_train_batch_size 16, was 8" in drift_sentences(self.trained(2, 8), self.trained(2, 16))
        assert "per_device_train_batch_size 8, was 16" not in drift_sentences(self.trained(1, 16), self.trained(2, 8))
