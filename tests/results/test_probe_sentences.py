"""Probe sentences: they are always the same."""

from __future__ import annotations

import hashlib

import pytest

from pytest_sst2.results.probe_sentences import has_accents, has_capitals, probe_sentences, probe_sentences_digest


class TestFixedSentences:
    """They may never be changed: fingerprints of other sentences cannot be compared."""

    def test_they_are_these_64(self) -> None:
        assert len(probe_sentences()) == len(set(probe_sentences())) == 64
        assert probe_sentences_digest() == "27932af5fc84db00"
        assert hashlib.sha256("\n".join(probe_sentences()).encode()).hexdigest().startswith("27932af5fc84db00")

    def test_they_hold_what_a_change_of_tokenizer_stumbles_over(self) -> None:
        sentences = probe_sentences()
        assert sum(map(has_capitals, sentences)) >= 5
        assert sum(map(has_accents, sentences)) >= 5
        # Accents without capitals tell a change of normalisation from one of lower-casing, and the reverse.
        assert any(has_accents(each) and not has_capitals(each) for each in sentences)
        assert any(has_capitals(each) and not has_accents(each) for each in sentences)
        assert max(len(each.split()) for each in sentences) > 128
        assert min(len(each.split()) for each in sentences) == 1

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
    def test_capitals_and_letters_beyond_ascii_are_told(self, sentence: str, capitals: bool, accents: bool) -> None:
        assert (has_capitals(sentence), has_accents(sentence)) == (capitals, accents)
