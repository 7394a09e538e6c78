"""Fixtures shared by all tests: tiny models, tiny data, and the material that only developers have."""

from __future__ import annotations

import contextlib
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

# No test may reach a network: the Hub's clients read these when they are imported.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["CI"] = ""
# Clusters of the tests have a token of their own: without one Ray writes one into the user's home, halfway through.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)
# Tests do not write into the summary of the job that runs them.
os.environ.pop("GITHUB_STEP_SUMMARY", None)

from tests.support import tiny_models

# Where pytest-xdist runs the tests, the runs inside them are none of its workers.
for _name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
    os.environ.pop(_name, None)

_NUMBERS = itertools.count()
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test finds what another has embedded, nor touches the user's cache."""
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-{next(_NUMBERS)}"))


@pytest.fixture(autouse=True)
def _secrets_of_its_own() -> None:
    """Let each test set secrets: a process reads them once."""
    from pytest_sst2.utils import redact

    redact._known_secrets.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models lose more by handing work to a second thread than they gain."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _hurried_machine_speed() -> Iterator[None]:
    """The machine's speed is measured between any two phases; tests do not wait for a steady number."""
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
        for name in ("compare.comparison", "runner.metrics.local", "report.cells", "report.html", "runner.context")
    ),
)


@pytest.fixture(scope="session")
def _heavy_libraries() -> None:
    """Import once what an inner run would import and pytester then forget: torch cannot be imported twice.

    And let the collector, which is called before every cell, pass over all of it: that is half of a tiny cell's time.
    """
    for name in HEAVY:
        importlib.import_module(name)
    # Only with the extra ``report``. Like torch, what is compiled in them cannot be imported twice.
    for name in ("altair", "vl_convert"):
        with contextlib.suppress(ImportError):
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
    """A user's project: one benchmark, an ini file that names tiny data and a tiny model, and room for whole tables."""
    monkeypatch.setenv("COLUMNS", "160")
    pytester.makepyfile(test_bench=BENCHMARK)
    pytester.makeini(
        f"[pytest]\nsst2_data = {tiny_data}\nsst2_models = {tiny_encoder}\nsst2_train_size = 60\n"
        "sst2_learning_rate = 0.005\naddopts = --strict-markers\n"
    )
    return pytester


@pytest.fixture
def cells(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with one test that is run for every cell, never beyond collection here."""
    pytester.makepyfile("def test_cell(sst2_run): ...")
    return pytester


def collected(result: pytest.RunResult) -> list[str]:
    """Return the ids of the cells that ``--collect-only -q`` lists."""
    return [line.partition("[")[2].rstrip("]") for line in result.outlines if "::test_cell[" in line]


def results(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


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
