"""A cell that runs out of memory fails with one sentence and frees its memory. On a GPU the batch is halved once."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
from pytest_sst2.data.splits import Examples, Splits
from pytest_sst2.methods import features
from pytest_sst2.methods.base import Job
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache, address_of
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.record import DatasetInfo, Placement, Record
from pytest_sst2.runner.cell_runner import CellRunner, Shared
from pytest_sst2.runner.out_of_memory import out_of_memory_explained
from pytest_sst2.runner.result_warnings import halving_warnings
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results, write_tsv
from tests.support import tiny_models
from tests.support.sentences_of_causes import drift_sentences

METHOD = {spec.name: spec for spec in METHODS}
GPU_FULL = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8 GiB."
)


class TestMessage:
    RECIPE = build_recipe("quick", batch_size=8, max_length=64, train_size=100)

    def message(self, method: str, error: BaseException, model: str = "mini") -> str:
        spec = METHOD[method]
        cell = Cell(ModelSpec(model, hub_id="a/b") if spec.needs_model else None, spec, 1)
        with pytest.raises(Sst2Error) as caught, out_of_memory_explained(cell, self.RECIPE):
            raise error
        return str(caught.value)

    def test_it_contains_the_failed_size_and_the_options_that_need_less(self) -> None:
        assert self.message("fine-tune", MemoryError("tried to allocate 4503599627370496 bytes")) == (
            "out of memory: this process has no room for fine-tune of mini with batches of 8 rows of up to 64 tokens "
            "(allocating 4.0 PB failed). Use a smaller --sst2-batch-size or --sst2-max-length, or a smaller model in "
            "--models."
        )
        assert self.message("linear-probe", GPU_FULL) == (
            "out of memory: the accelerator has no room for linear-probe on mini with sentences of up to 64 tokens "
            "(allocating 2.5 GB failed). Use a smaller --sst2-max-length or --sst2-train-size, or a smaller model in "
            "--models."
        )
        assert self.message("tfidf", MemoryError()) == (
            "out of memory: this process has no room for tfidf on 100 training rows. Use a smaller --sst2-train-size."
        )

    def test_other_errors_pass_unchanged(self) -> None:
        with pytest.raises(ZeroDivisionError), out_of_memory_explained(Cell(None, METHOD["tfidf"], 1), self.RECIPE):
            _ = 1 / 0


class SmallGpu(ModelLoader):
    """Loads models that run out of memory, as on a GPU, with more rows in training or more tokens in prediction.

    Args:
        most_rows: Rows that fit in training.
        most_tokens: Tokens that fit in prediction.
    """

    def __init__(self, most_rows: int, most_tokens: int) -> None:
        super().__init__("cpu")
        self.most_rows, self.most_tokens = most_rows, most_tokens
        self.refused = 0

    def sequence_classifier(self, spec: ModelSpec, **options: Any) -> Any:
        model = super().sequence_classifier(spec, **options)
        model.register_forward_pre_hook(lambda _, __, given: self._check(model, given["input_ids"]), with_kwargs=True)
        return model

    def sentence_encoder(self, spec: ModelSpec, **options: Any) -> Any:
        encoder = super().sentence_encoder(spec, **options)
        words = next(part for part in encoder.modules() if isinstance(part, torch.nn.Embedding))
        words.register_forward_pre_hook(lambda _, given: self._check(words, given[0]))
        return encoder

    def _check(self, module: Any, ids: Any) -> None:
        if (len(ids) > self.most_rows) if module.training else (ids.numel() > self.most_tokens):
            self.refused += 1
            raise torch.OutOfMemoryError(str(GPU_FULL))


ROOMY = 10**9


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without dropout, so that steps do not depend on the parts of a batch."""
    folder = tmp_path_factory.mktemp("models") / "steady"
    tiny_models.write_encoder(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return tiny_models.add_sentence_modules(folder)


def rows(start: int, stop: int) -> Examples:
    sentences, labels = tiny_models.sentences_and_labels(stop)
    return Examples(sentences[start:], np.array(labels[start:]))


def runner_on(
    loader: ModelLoader,
    method: MethodSpec | str,
    encoder: Path,
    *,
    cache: EmbeddingCache | None = None,
    frozen: FrozenEncoder | None = None,
) -> CellRunner:
    """Return a runner of one cell with batches of 8, one row in the last of an epoch, and 60 evaluation rows."""
    from pytest_sst2.instruments.environment import collect_environment

    info = DatasetInfo("tiny", "folder", "sha256:0", "validation", 25, 60, "d" * 64)
    splits = Splits(rows(100, 125), rows(125, 185), info)
    recipe = build_recipe("quick", epochs=2, learning_rate=5e-3, batch_size=8)
    spec = METHOD[method] if isinstance(method, str) else method
    cell = Cell(ModelSpec("steady", folder=encoder), spec, 42)
    environment = collect_environment("cpu")
    shared = Shared(recipe, loader, Placement(), cache=cache, frozen=frozen)
    return CellRunner(cell, splits, environment, shared)


def measure(runner: CellRunner) -> Record:
    runner.run_rounds(1)
    return runner.record(lambda _key: None)


@pytest.fixture(scope="module")
def whole(encoder: Path) -> Record:
    return measure(runner_on(SmallGpu(ROOMY, ROOMY), "fine-tune", encoder))


@pytest.fixture(scope="module")
def halved(encoder: Path) -> Record:
    gpu = SmallGpu(most_rows=4, most_tokens=600)
    record = measure(runner_on(gpu, "fine-tune", encoder))
    # The first batch of the training; the fingerprint's own batch is small enough.
    assert gpu.refused == 1
    return record


class TestHalving:
    """On a simulated GPU that is too small for a whole batch."""

    def test_fine_tuning_with_halved_batches_gives_the_same_result(self, whole: Record, halved: Record) -> None:
        assert halved.probabilities == pytest.approx(whole.probabilities, abs=1e-4)
        losses = [[epoch.train_loss for epoch in each.epochs] for each in (whole, halved)]
        assert losses[1] == pytest.approx(losses[0], abs=1e-5)
        trainings = [each.fingerprint.training for each in (whole, halved) if each.fingerprint]
        assert trainings[0] is not None
        assert trainings[1] is not None
        assert (trainings[1].steps, trainings[1].order) == (trainings[0].steps, trainings[0].order)
        assert trainings[1].first_loss == pytest.approx(trainings[0].first_loss, abs=1e-5)
        assert trainings[1].first_gradient_norm == pytest.approx(trainings[0].first_gradient_norm, rel=1e-3)

    def test_it_is_recorded_and_a_comparison_names_it(self, whole: Record, halved: Record) -> None:
        names = ("per_device_train_batch_size", "gradient_accumulation_steps", "tokens_per_batch")
        assert [halved.settings[name] for name in names] == [4, 2, 512]
        assert [whole.settings.get(name) for name in names] == [8, 1, None]
        assert halving_warnings(2)[0] in halved.warnings
        assert halving_warnings(2)[0] not in whole.warnings
        causes = drift_sentences(whole, halved)
        assert [name for name in names[:2] if not any(name in cause for cause in causes)] == []
        assert not any("first batch" in cause for cause in causes)

    @pytest.mark.parametrize("method", ["linear-probe", "torch-probe"])
    def test_a_probe_embeds_half_the_tokens_per_batch(self, method: str, encoder: Path) -> None:
        whole = measure(runner_on(SmallGpu(ROOMY, ROOMY), method, encoder))
        halved = measure(runner_on(SmallGpu(ROOMY, most_tokens=600), method, encoder))
        assert halved.probabilities == pytest.approx(whole.probabilities, abs=1e-5)
        assert (whole.settings["tokens_per_batch"], halved.settings["tokens_per_batch"]) == (1024, 512)
        assert any("tokens_per_batch" in cause for cause in drift_sentences(whole, halved))

    def test_embeddings_of_halved_batches_have_their_own_address(
        self, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # On a GPU the probe sentences are one batch in either case, so the encoder's identity does not differ.
        extras: list[str] = []

        def address(_identity: str, ids: Sequence[Sequence[int]], extra: str = "") -> str:
            extras.append(extra)
            return address_of("one encoder", ids, extra)

        monkeypatch.setattr(features, "address_of", address)
        cache = EmbeddingCache(tmp_path, 10**8)
        halved = measure(runner_on(SmallGpu(ROOMY, most_tokens=600), "linear-probe", encoder, cache=cache))
        whole = measure(runner_on(SmallGpu(ROOMY, ROOMY), "linear-probe", encoder, cache=cache))
        assert (halved.settings["tokens_per_batch"], whole.settings["tokens_per_batch"]) == (512, 1024)
        # Training and evaluation rows of the halved cell, before the memory was full and after; then of the whole cell.
        assert extras == ["", "", "2 parts", "2 parts", "", ""]

    def test_the_next_cell_does_not_reuse_the_encoder_of_halved_batches(self, encoder: Path) -> None:
        frozen = FrozenEncoder()
        gpu = SmallGpu(ROOMY, most_tokens=600)
        assert measure(runner_on(gpu, "linear-probe", encoder, frozen=frozen)).settings["tokens_per_batch"] == 512
        gpu.most_tokens = ROOMY
        assert measure(runner_on(gpu, "linear-probe", encoder, frozen=frozen)).settings["tokens_per_batch"] == 1024

    def test_a_second_failure_fails_the_cell(self, encoder: Path) -> None:
        gpu = SmallGpu(most_rows=3, most_tokens=ROOMY)
        with pytest.raises(torch.OutOfMemoryError):
            measure(runner_on(gpu, "fine-tune", encoder))
        # Also the fingerprint's own batch, which ends nothing.
        assert gpu.refused == 3

    def test_a_later_round_is_not_halved(self, encoder: Path) -> None:
        gpu = SmallGpu(ROOMY, ROOMY)
        runner = runner_on(gpu, "fine-tune", encoder)
        runner.run_rounds(1)
        gpu.most_rows = 4
        with pytest.raises(torch.OutOfMemoryError):
            runner.run_rounds(2)
        assert gpu.refused == 1

    def test_a_full_host_is_not_retried(self, encoder: Path) -> None:
        tries = []

        class SmallMachine(ModelLoader):
            def sequence_classifier(self, spec: ModelSpec, **_: Any) -> Any:
                tries.append(spec)
                raise MemoryError

        with pytest.raises(MemoryError):
            measure(runner_on(SmallMachine("cpu"), "fine-tune", encoder))
        assert len(tries) == 1

    def test_a_method_of_a_conftest_is_not_retried(self, encoder: Path) -> None:
        tries = []

        def full(job: Job) -> Any:
            tries.append(job)
            raise torch.OutOfMemoryError(str(GPU_FULL))

        with pytest.raises(torch.OutOfMemoryError):
            measure(runner_on(ModelLoader("cpu"), MethodSpec("full", full), encoder))
        assert len(tries) == 1


class Large:
    """Stands for a model; a weak reference shows when it is freed."""


class TestRelease:
    def test_the_first_attempt_is_freed_before_the_second(self, encoder: Path) -> None:
        alive: list[weakref.ref[Any]] = []
        held: list[int] = []

        class Watched(SmallGpu):
            def sequence_classifier(self, spec: ModelSpec, **options: Any) -> Any:
                held.append(sum(each() is not None for each in alive))
                model = super().sequence_classifier(spec, **options)
                alive.append(weakref.ref(model))
                return model

        measure(runner_on(Watched(most_rows=4, most_tokens=ROOMY), "fine-tune", encoder))
        assert held == [0, 0]

    def test_the_frozen_encoder_of_the_cell_before_is_freed(self, encoder: Path) -> None:
        frozen = FrozenEncoder()
        measure(runner_on(ModelLoader("cpu"), "linear-probe", encoder, frozen=frozen))
        assert frozen._kept is not None

        def full(job: Job) -> Any:
            raise MemoryError

        with pytest.raises(MemoryError):
            measure(runner_on(ModelLoader("cpu"), MethodSpec("full", full), encoder, frozen=frozen))
        assert frozen._kept is None

    def test_the_message_keeps_nothing_alive(self) -> None:
        alive: list[weakref.ref[Any]] = []

        def train() -> None:
            model = Large()
            alive.append(weakref.ref(model))
            raise MemoryError

        with (
            pytest.raises(Sst2Error) as caught,
            out_of_memory_explained(Cell(None, METHOD["tfidf"], 1), TestMessage.RECIPE),
        ):
            train()
        assert caught.value is not None
        assert alive[0]() is None


HUNGRY = """
import weakref

import numpy as np
from pytest_sst2 import MethodSpec

class Large:
    pass

alive = []

def hungry(job):
    model = Large()
    model.itself = model
    alive.append(weakref.ref(model))
    if job.seed == 1:
        raise MemoryError("Unable to allocate 7.45 GiB for an array")
    assert alive[0]() is None, "the memory of the cell before is still held"
    return lambda sentences: np.full(len(sentences), 0.9)

def pytest_sst2_methods():
    return [MethodSpec("hungry", hungry, needs_model=False)]
"""


def test_a_cell_fails_with_one_sentence_and_the_next_has_its_memory(project: pytest.Pytester) -> None:
    project.makeconftest(HUNGRY)
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.sst2
        def test_cell(sst2_run):
            sst2_run.measure()
        """
    )
    gc.disable()  # the memory must not depend on a garbage collection
    try:
        result = project.runpytest_inprocess("--methods=hungry", "--sst2-seeds=1,2", "--sst2-json=r.json")
    finally:
        gc.enable()
    result.assert_outcomes(passed=1, failed=1)
    sentence = (
        "out of memory: this process has no room for hungry on 60 training rows (allocating 7.5 GB failed). Use a "
        "smaller --sst2-train-size."
    )
    data = results(project.path / "r.json")
    assert [(each["cell"], each["error"]) for each in data["failures"]] == [("hungry-seed1", sentence)]
    assert [each["cell"] for each in data["records"]] == ["hungry-seed2"]
    lines = [line for line in result.outlines if sentence in line]
    assert lines[0] == f"hungry seed 1: {sentence}"
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*During handling*")
    result.stdout.no_fnmatch_line("*MemoryError*")


LIMITED = """
import resource

import psutil
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    if "[large" not in item.name:
        return (yield)
    usual = resource.getrlimit(resource.RLIMIT_AS)
    # Half of the memory that training, or loading, needs.
    room = 2**20 * (100 if "fine-tune" in item.name else 20)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + room, usual[1]))
    try:
        return (yield)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, usual)
"""


def run_limited(folder: Path, names: Sequence[str]) -> subprocess.CompletedProcess[str]:
    options = ["--sst2-data=data", "--sst2-train-size=60", "--sst2-json=r.json", f"--models={','.join(names)}"]
    command = [sys.executable, "-m", "pytest", "-q", "--methods=fine-tune,linear-probe,torch-probe", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.processes
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs an enforced limit on a process's memory")
def test_a_process_with_limited_memory_fails_in_that_cell_only(tmp_path: Path) -> None:
    large = {"hidden_size": 512, "num_hidden_layers": 4, "num_attention_heads": 8, "intermediate_size": 2048}
    for name, sizes in (("small", {}), ("large", large), ("other", {"seed": 1})):
        tiny_models.add_sentence_modules(
            tiny_models.write_encoder(tmp_path / name, **sizes), dimensions=sizes.get("hidden_size", 32)
        )
    (tmp_path / "data").mkdir()
    sentences, labels = tiny_models.sentences_and_labels(100)
    write_tsv(tmp_path / "data" / "train.tsv", sentences[:60], labels[:60])
    write_tsv(tmp_path / "data" / "dev.tsv", sentences[60:], labels[60:])
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "conftest.py").write_text(LIMITED, encoding="utf-8")
    (tmp_path / "test_bench.py").write_text(
        "import pytest\n\n@pytest.mark.sst2\ndef test_cell(sst2_run):\n    sst2_run.measure()\n", encoding="utf-8"
    )
    names = ["./small", "./large", "./other"]
    result = run_limited(tmp_path, names)
    assert result.returncode == 1, result.stdout + result.stderr
    data = results(tmp_path / "r.json")
    assert len(data["records"]) == 6
    failures = {each["method"]: each["error"] for each in data["failures"]}
    assert failures.keys() == {"fine-tune", "linear-probe", "torch-probe"}
    assert all(reason.startswith("out of memory: this process has no room") for reason in failures.values())
    assert "--sst2-batch-size" in failures["fine-tune"]
    assert "Traceback" not in result.stdout
