"""Probe sentences: they never change, and cover what tokenizers split differently."""

from __future__ import annotations

import hashlib

import pytest

from pytest_sst2.results.probe_sentences import has_accents, has_capitals, probe_sentences, probe_sentences_digest


class TestProbeSentences:
    """They must not change: fingerprints of different sentences are not comparable."""

    def test_they_are_these_64(self) -> None:
        assert len(probe_sentences()) == len(set(probe_sentences())) == 64
        assert probe_sentences_digest() == "27932af5fc84db00"
        assert hashlib.sha256("\n".join(probe_sentences()).encode()).hexdigest().startswith("27932af5fc84db00")

    def test_they_have_capitals_accents_and_very_long_and_short_sentences(self) -> None:
        sentences = probe_sentences()
        assert sum(map(has_capitals, sentences)) >= 5
        assert sum(map(has_accents, sentences)) >= 5
        # Accents without capitals show a change of normalisation alone, capitals without accents one of lower-casing.
        assert any(has_accents(sentence) and not has_capitals(sentence) for sentence in sentences)
        assert any(has_capitals(sentence) and not has_accents(sentence) for sentence in sentences)
        assert max(len(sentence.split()) for sentence in sentences) > 128
        assert min(len(sentence.split()) for sentence in sentences) == 1

    @pytest.mark.parametrize(
        ("sentence", "capitals", "accents"),
        [
            ("a film", False, False),
            ("A film", True, False),
            ("naïve", False, True),
            ("Élan", True, True),
            ("фильм", False, True),
            ("映画", False, True),
            ("10/10 👍 — “so”", False, False),
        ],
    )
    def test_capitals_and_letters_beyond_ascii_are_detected(self, sentence: str, capitals: bool, accents: bool) -> None:
        assert (has_capitals(sentence), has_accents(sentence)) == (capitals, accents)
