"""Test the causes that the sketches of single rows show."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.causes import incomparable_reasons
from pytest_sst2.instruments.row_sketch import SketchedRows, row_sketches, sketch_rows
from pytest_sst2.results.fingerprint import RowSketches, TrainingFingerprint
from pytest_sst2.results.packing import packed_bits, packed_bytes, packed_floats, unpacked_bytes
from pytest_sst2.results.record import Record
from tests.support.record_factory import make_record, token_digests, with_fingerprint
from tests.support.sentences_of_causes import drift_sentences

RANDOM = np.random.default_rng(0)
IDS = [[101, *RANDOM.integers(200, 999, RANDOM.integers(3, 40)).tolist(), 102] for _ in range(200)]
EMBEDDINGS = RANDOM.normal(size=(200, 16))
PROBABILITIES = RANDOM.uniform(0.05, 0.95, 200)
FROZEN = TrainingFingerprint(steps=20, last_gradient=1e-5)
TUNED = dataclasses.replace(make_record().fingerprint.training, weights="ab12")


def sketches(ids: Any = IDS, embeddings: np.ndarray = EMBEDDINGS, train: np.ndarray = EMBEDDINGS) -> RowSketches:
    found = row_sketches(sketch_rows(ids, embeddings), sketch_rows(IDS, train))
    assert found is not None
    return found


def record(
    rows: RowSketches, probabilities: np.ndarray = PROBABILITIES, training: TrainingFingerprint = FROZEN, **changes: Any
) -> Record:
    base = make_record()
    labels = tuple(int(p > 0.5) for p in PROBABILITIES)
    fields = {
        which: dataclasses.replace(getattr(base.fingerprint, which), labels=packed_bits(labels), count=200)
        for which in ("train", "evaluation")
    }
    fingerprint = dataclasses.replace(base.fingerprint, rows=rows, training=training, **(fields | changes))
    return dataclasses.replace(
        base,
        fingerprint=fingerprint,
        labels=labels,
        total=200,
        probabilities=tuple(probabilities.tolist()),
        predictions=tuple(int(p > 0.5) for p in probabilities),
    )


BASE = record(sketches())


def flipped(*rows: int) -> np.ndarray:
    return np.where(np.isin(np.arange(200), rows), 1 - PROBABILITIES, PROBABILITIES)


def test_the_same_rows_and_innocent_noise_are_no_drift() -> None:
    noise = EMBEDDINGS * (1 + 1e-6 * RANDOM.normal(size=EMBEDDINGS.shape))
    assert drift_sentences(BASE, record(sketches(embeddings=noise, train=noise), PROBABILITIES + 3e-5)) == ()


def test_other_tokens_of_some_rows_and_their_answers() -> None:
    ids = [row if number not in (9, 50) else [*row[:-1], 7, 102] for number, row in enumerate(IDS)]
    tokens, answers = drift_sentences(BASE, record(sketches(ids), flipped(9, 60)))
    assert tokens == (
        "token ids differ for 2 of 200 evaluation rows (the first is row 9), and for none of the probe sentences"
    )
    assert answers == (
        "2 answers changed: 1 with other tokens, 1 from the same tokens and embeddings, as far as recorded"
    )


def test_other_tokens_with_the_same_digest_by_chance_are_not_called_the_same() -> None:
    (before,) = np.frombuffer(unpacked_bytes(sketches(IDS[:1]).tokens), "<u2")
    variants = ([*IDS[0][:-1], number] for number in range(1_000, 99_000))
    alike = next(ids for ids in variants if np.frombuffer(unpacked_bytes(sketches([ids]).tokens), "<u2") == before)
    ids = [alike, *([*row[:-1], 7] for row in IDS[1:])]
    after = record(sketches(ids, embeddings=EMBEDDINGS + 1), flipped(0, 60))
    _, answers = drift_sentences(BASE, after)
    assert answers == "2 answers changed, all with other tokens"
    moved = np.where(np.arange(200)[:, None] == 0, EMBEDDINGS + 1, EMBEDDINGS)
    tokens, _ = drift_sentences(BASE, record(sketches([alike, *IDS[1:]], embeddings=moved), flipped(0)))
    assert tokens.startswith("token ids differ for 1 of 200 evaluation rows")


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([*IDS[:9], [101, 7, 102], *IDS[10:]], "another text in 1 of 200 rows, the first in row 9"),
        ([*IDS[:9], *IDS[10:], [101, 7, 102]], "1 row gone, 1 added, others moved; the first row that differs is row"),
        (IDS, "another text in 2 of 2 blocks of 100 rows, the first in rows 0 to 99"),
    ],
)
def test_evaluation_rows_with_another_text_are_found_by_their_tokens(ids: Any, words: str) -> None:
    evaluations = [
        dataclasses.replace(BASE.fingerprint.evaluation, sentences=text, blocks=packed_bytes(text.encode()))
        for text in ("aaaa", "bbbb")
    ]
    before, after = (
        record(sketches(read), evaluation=evaluation) for read, evaluation in zip((IDS, ids), evaluations, strict=True)
    )
    (reason,) = incomparable_reasons(before, after)
    assert words in reason


def test_other_embeddings_of_long_rows() -> None:
    long = np.array([len(row) > 35 for row in IDS])[:, None]
    after = record(sketches(embeddings=np.where(long, EMBEDDINGS + 0.1, EMBEDDINGS)))
    (only,) = drift_sentences(BASE, after)
    assert "embeddings of" in only
    assert "those of 36 or more tokens" in only


def test_embeddings_of_other_rows_are_a_permutation() -> None:
    after = record(sketches(embeddings=np.random.default_rng(1).permutation(EMBEDDINGS)))
    assert "rows are in another order" in drift_sentences(BASE, after)[0]


def test_other_embeddings_of_training_rows_alone() -> None:
    train = EMBEDDINGS.copy()
    train[100] += 1
    (only,) = drift_sentences(BASE, record(sketches(train=train)))
    assert only.startswith("embeddings of some training rows differ (in 1 of 64 blocks, the first of rows 98 to 100)")


def test_a_trained_encoder_is_compared_only_if_it_ended_with_the_same_weights() -> None:
    moved = sketches(embeddings=EMBEDDINGS + 0.1)
    before = record(sketches(), training=TUNED)
    assert drift_sentences(before, record(moved, training=dataclasses.replace(TUNED, weights="cd34"))) == ()
    assert "embeddings of 200 of 200" in drift_sentences(before, record(moved, training=TUNED))[0]


def test_other_tokens_when_predicting_do_not_explain_the_training() -> None:
    unread = row_sketches(SketchedRows([bytes(4)] * 200, [0] * 200, np.zeros(200)), None)
    assert unread is not None
    after = record(unread, training=dataclasses.replace(TUNED, steps=64))
    causes = drift_sentences(record(sketches(), training=TUNED), after)
    assert causes[0] == "64 training steps, were 32"
    assert "when predicting, the model reads other tokens for 200 of 200 evaluation rows" in causes[1]


@pytest.mark.parametrize(
    ("probabilities", "words"),
    [
        (np.roll(PROBABILITIES, 3), "(all rows have the values of rows 3 places before them)"),
        (np.concatenate([PROBABILITIES[:150], 1 - PROBABILITIES[150:]]), "(all between rows 150 and 199)"),
        (flipped(4, 90), "the probe sentences are answered as before, so only the answers to evaluation rows differ"),
    ],
)
def test_answers_that_differ_after_equal_embeddings(probabilities: np.ndarray, words: str) -> None:
    (only,) = drift_sentences(BASE, record(sketches(), probabilities))
    assert words in only
    assert "from the same tokens and embeddings" in only


def test_log_odds_that_are_a_function_of_the_earlier_ones() -> None:
    logits = packed_floats([2 * (index / 8 - 4) + 0.5 for index in range(64)])
    (only,) = drift_sentences(BASE, record(sketches(), flipped(4), logits=logits))
    assert only.endswith("the probe sentences' log-odds are 2 × what they were plus 0.5")


def test_weights_and_settings_that_moved_nothing_are_notes() -> None:
    from pytest_sst2.compare.drift.causes import drift_causes

    after = dataclasses.replace(BASE, settings={**BASE.settings, "C": 2.0})
    (only,) = drift_causes(BASE, after)
    assert (str(only), only.is_note, only.before, only.after) == ("C 2, was 1", True, "1.0", "2.0")
    (moved,) = drift_causes(BASE, with_fingerprint(after, logits=packed_floats([0.0] * 64)))
    assert not moved.is_note


def test_blocks_of_other_training_rows_are_not_compared() -> None:
    read = row_sketches(sketch_rows(IDS, EMBEDDINGS), sketch_rows(IDS[::-1], EMBEDDINGS[::-1]))
    assert read is not None
    after = record(read)
    assert any("token ids differ for some training rows" in sentence for sentence in drift_sentences(BASE, after))
    # As after a declared change of the number of training rows.
    other_rows = with_fingerprint(after, train={"order": "9" * 16})
    assert not [sentence for sentence in drift_sentences(BASE, other_rows) if "some training rows" in sentence]


def test_embeddings_that_depend_on_their_batch_are_not_called_the_same() -> None:
    after = with_fingerprint(record(sketches(IDS), flipped(9)), encoder={"batch_sensitivity": 0.4})
    assert drift_sentences(BASE, after)[-1] == "1 answer changed, from the same tokens"


def test_rows_whose_tokens_do_not_show_what_was_read_are_not_divided() -> None:
    after = with_fingerprint(record(sketches(embeddings=EMBEDDINGS + 1), flipped(9)), tokens={"ids": token_digests(0)})
    sentences = drift_sentences(BASE, after)
    assert sentences[-1] == "1 answer changed"
    assert not any("from the same tokens" in sentence for sentence in sentences)
