"""Fixtures of all tests: tiny models, tiny data, and SST-2 itself if a developer has it."""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# No test may use a network. The Hub's clients read these variables when they are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["CI"] = ""
# Each test has models of its own, and a trial of each takes half a second.
os.environ["PYTEST_SST2_LOAD_SECONDS"] = "0"
# Without a token Ray would write one into the user's home folder.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)
# Tests must not write into the summary of the CI job that runs them.
os.environ.pop("GITHUB_STEP_SUMMARY", None)

from tests.support import tiny_models

# If pytest-xdist runs the tests, the runs inside them must not take themselves for its workers.
for _name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(_name, None)

_NUMBERS = itertools.count()
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test an empty embedding cache, and never the user's."""
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{next(_NUMBERS)}"))


@pytest.fixture(autouse=True)
def _secrets_of_its_own() -> None:
    """Let each test set secrets: a process reads them once."""
    from pytest_sst2.utils import redact

    redact._known_secrets.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Use one thread: with tiny models a second one costs more than it saves."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _quick_machine_speed() -> Iterator[None]:
    """Measure the machine's speed once instead of until it is steady: every phase measures it."""
    from pytest_sst2.instruments import machine_speed

    with pytest.MonkeyPatch.context() as patch:
        assert machine_speed._REPETITIONS > 1
        patch.setattr(machine_speed, "_REPETITIONS", 1)
        yield


HEAVY = (
    *("hypothesis", "scipy.stats", "sentence_transformers", "sklearn.linear_model", "tabulate", "tomlkit"),
    *("transformers.trainer", "transformers.models.bert.modeling_bert", "transformers.models.distilbert"),
    *(f"pytest_sst2.methods.{name}" for name in ("fine_tune", "linear_probe", "majority", "tfidf", "torch_probe")),
    *(
        f"pytest_sst2.{name}"
        for name in (
            "compare.comparison",
            "runner.metrics.local",
            "compare.cell_analysis",
            "report.html",
            "runner.context",
        )
    ),
)


@pytest.fixture(scope="session")
def _heavy_libraries() -> None:
    """Import the libraries before an inner run does: pytester would forget them, and torch cannot be imported twice.

    Freezing hides them from the garbage collector, which runs before every cell and takes half of a tiny cell's time.
    """
    for name in HEAVY:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


BENCHMARK = """
import pytest

@pytest.mark.sst2("linear-probe", "tfidf", "majority", "fine-tune")
def test_cell(sst2_run):
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
"""


@pytest.fixture
def project(
    _heavy_libraries: None,
    pytester: pytest.Pytester,
    tiny_data: Path,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> pytest.Pytester:
    """Make a project with one benchmark, tiny data, a tiny model, and a terminal that is wide enough for tables."""
    monkeypatch.setenv("COLUMNS", "160")
    pytester.makepyfile(test_bench=BENCHMARK)
    pytester.makeini(
        f"[pytest]\nsst2_data = {tiny_data}\nsst2_models = {tiny_encoder}\nsst2_train_size = 60\n"
        "sst2_learning_rate = 0.005\naddopts = --strict-markers\n"
    )
    return pytester


@pytest.fixture
def cells(pytester: pytest.Pytester) -> pytest.Pytester:
    """Make a project with one test per cell; tests only collect it."""
    pytester.makepyfile("def test_cell(sst2_run): ...")
    return pytester


def collected(result: pytest.RunResult) -> list[str]:
    """Return the cell ids in the output of ``--collect-only -q``."""
    return [line.partition("[")[2].rstrip("]") for line in result.outlines if "::test_cell[" in line]


def results(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def write_tsv(path: Path, sentences: list[str], labels: list[int]) -> Path:
    rows = [f"{sentence}\t{label}" for sentence, label in zip(sentences, labels, strict=True)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny BERT in sentence-transformers layout."""
    folder = tmp_path_factory.mktemp("models") / "tiny-encoder"
    return tiny_models.add_sentence_modules(tiny_models.write_encoder(folder))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 120 training and 40 validation sentences in GLUE's TSV layout."""
    folder = tmp_path_factory.mktemp("data") / "tiny-reviews"
    folder.mkdir()
    sentences, labels = tiny_models.sentences_and_labels(160)
    write_tsv(folder / "train.tsv", sentences[:120], labels[:120])
    write_tsv(folder / "dev.tsv", sentences[120:], labels[120:])
    return folder


@pytest.fixture(scope="session")
def real_sst2() -> Path:
    """Return the folder of SST-2 as GLUE ships it, which this project must not redistribute."""
    folder = SHARED / "sst2"
    if not folder.is_dir():
        pytest.skip("needs SST-2 itself (train.tsv and dev.tsv in ../shared/sst2), which may not be redistributed")
    return folder
