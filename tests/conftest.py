"""Fixtures shared by all tests: tiny models, tiny data, and the material that only developers have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# No test may reach a network: the Hub's clients read these when they are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["CI"] = ""

from tests import tiny_models

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models lose more by handing work to a second thread than they gain."""
    import torch

    torch.set_num_threads(1)


def write_tsv(path: Path, sentences: list[str], labels: list[int]) -> Path:
    rows = [f"{sentence}\t{label}" for sentence, label in zip(sentences, labels, strict=True)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT in sentence-transformers layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny-encoder"
    return tiny_models.add_sentence_modules(tiny_models.write_encoder(folder))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 120 training and 40 validation sentences in GLUE's TSV layout."""
    folder = tmp_path_factory.mktemp("data") / "tiny-reviews"
    folder.mkdir()
    sentences, labels = tiny_models.sentences_and_labels(160)
    write_tsv(folder / "train.tsv", sentences[:120], labels[:120])
    write_tsv(folder / "dev.tsv", sentences[120:], labels[120:])
    return folder


@pytest.fixture(scope="session")
def real_sst2() -> Path:
    """SST-2 as GLUE ships it, which the project may not carry."""
    folder = SHARED / "sst2"
    if not folder.is_dir():
        pytest.skip("needs SST-2 itself (train.tsv and dev.tsv in ../shared/sst2), which may not be redistributed")
    return folder
