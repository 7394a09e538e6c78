"""Fingerprints of rows and tokens: each change shows in its own field."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.data_fingerprint import OrderDigest, rows_fingerprint, tokens_fingerprint
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.packing import unpacked_text
from pytest_sst2.results.probe_sentences import probe_sentences


@pytest.fixture(scope="module")
def spec(tiny_encoder: Path) -> ModelSpec:
    return ModelSpec("tiny", folder=tiny_encoder)


class TestTokens:
    def test_it_has_the_tokens_of_each_sentence(self, spec: ModelSpec) -> None:
        tokenizer = ModelLoader("cpu").tokenizer(spec)
        ids = [tokenizer(sentence, truncation=True, max_length=8)["input_ids"] for sentence in probe_sentences()]
        fingerprint = tokens_fingerprint(tokenizer, ids)
        assert (fingerprint.tokenizer, fingerprint.vocabulary) == (type(tokenizer).__name__, len(tokenizer))
        assert fingerprint.lengths == tuple(map(len, ids))
        assert max(fingerprint.lengths) == 8
        pieces = unpacked_text(fingerprint.pieces).split("\n")
        assert len(pieces) == 64
        assert all(line.startswith("[CLS] ") and line.endswith(" [SEP]") for line in pieces)

    def test_changed_ids_of_a_sentence_change_its_digest_only(self, spec: ModelSpec) -> None:
        tokenizer = ModelLoader("cpu").tokenizer(spec)
        ids = [tokenizer(sentence)["input_ids"] for sentence in probe_sentences()]
        first, second = (
            np.frombuffer(base64.b64decode(tokens_fingerprint(tokenizer, changed).ids), dtype=np.uint32)
            for changed in (ids, [*ids[:5], [*ids[5], 7], *ids[6:]])
        )
        assert np.flatnonzero(first != second).tolist() == [5]


class TestRows:
    def rows(self, *pairs: tuple[str, int]) -> Examples:
        return Examples([sentence for sentence, _ in pairs], np.array([label for _, label in pairs]))

    def test_order_labels_and_sentences_have_their_own_digests(self) -> None:
        base = rows_fingerprint(self.rows(("a", 1), ("b", 0), ("b", 0)))
        assert (base.count, base.distinct) == (3, 2)
        order = rows_fingerprint(self.rows(("b", 0), ("a", 1), ("b", 0)))
        assert dataclasses.replace(order, order=base.order, blocks=base.blocks) == base
        assert order != base
        labels = rows_fingerprint(self.rows(("a", 0), ("b", 0), ("b", 0)))
        assert dataclasses.replace(labels, labels=base.labels) == base
        assert labels != base
        assert rows_fingerprint(self.rows(("a", 1), ("c", 0), ("b", 0))).sentences != base.sentences

    def test_the_order_of_training_rows_has_its_own_digest(self) -> None:
        def digest(*rows: list[int], limit: int = 3) -> str:
            order = OrderDigest(limit)
            for row in rows:
                order.add(row)
            return str(order)

        ordered, whatever = digest([1], [2], [3]).split(":")
        other, same = digest([2], [1], [3]).split(":")
        assert (ordered != other, whatever == same) == (True, True)
        assert digest([1], [2], [4]).split(":")[1] != whatever
        assert digest([1], [2], [3], [9]) == digest([1], [2], [3])  # a second pass is ignored
