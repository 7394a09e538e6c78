"""Embeddings of the probes come from the cache if nothing has changed, and never if times are measured."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.methods.base import Job, train
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.methods.features import load_features
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results
from tests.methods.test_methods import make_job

METHOD = {spec.name: spec for spec in METHODS}


@pytest.fixture
def cache(tmp_path: Path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache", 2**20)


def job_with(cache: EmbeddingCache | None, model: Path, frozen: FrozenEncoder | None = None, **changes: Any) -> Job:
    return dataclasses.replace(make_job(model), cache=cache, frozen=frozen, **changes)


def cached_phases(job: Job) -> list[str]:
    return [phase.name for phase in job.clock.phases if phase.cached]


class TestCache:
    @pytest.mark.parametrize("method", ["linear-probe", "torch-probe"])
    def test_the_second_run_embeds_no_row_and_gives_the_same(
        self, method: str, cache: EmbeddingCache, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = job_with(cache, tiny_encoder)
        trained = train(METHOD[method], first)
        before = trained.predict(first.evaluation.sentences)
        assert cached_phases(first) == []

        embedded: list[int] = []
        real = Embedder.embed
        monkeypatch.setattr(
            Embedder, "embed", lambda self, rows, *rest: embedded.append(len(rows)) or real(self, rows, *rest)
        )
        second = job_with(cache, tiny_encoder)
        trained = train(METHOD[method], second)
        with second.clock.phase("predict"):
            after = trained.predict(second.evaluation.sentences)
        assert cached_phases(second) == ["encode", "predict"]
        assert max(embedded) <= 64  # the probe sentences only
        assert after.tobytes() == before.tobytes()

    def test_the_order_of_the_rows_does_not_matter_and_equal_ones_are_embedded_once(
        self, cache: EmbeddingCache, tiny_encoder: Path
    ) -> None:
        first = job_with(cache, tiny_encoder)
        rows = load_features(first)(first.train.sentences)
        order = [*reversed(range(len(first.train))), 5, 5]
        shuffled = Examples([first.train.sentences[index] for index in order], first.train.labels[order])
        second = job_with(cache, tiny_encoder, train=shuffled)
        features = load_features(second)
        with second.clock.phase("encode"):
            again = features(second.train.sentences)
        assert cached_phases(second) == ["encode"]
        assert np.array_equal(again, rows[order])

    def test_other_sentences_than_the_jobs_are_embedded_every_time(
        self, cache: EmbeddingCache, tiny_encoder: Path
    ) -> None:
        job = job_with(cache, tiny_encoder)
        features = load_features(job)
        features(list(job.train.sentences))
        assert cache.size_bytes() == 0

    def test_changed_weights_are_another_address(self, cache: EmbeddingCache, tiny_encoder: Path) -> None:
        import torch

        job = job_with(cache, tiny_encoder)
        load_features(job)(job.train.sentences)
        changed = job_with(cache, tiny_encoder)
        real = changed.loader.sentence_encoder

        def other(*args: Any, **options: Any) -> Any:
            encoder = real(*args, **options)
            with torch.no_grad():
                next(encoder.parameters())[0, 0] += 1e-3
            return encoder

        changed.loader.sentence_encoder = other  # type: ignore[method-assign]
        features = load_features(changed)
        with changed.clock.phase("encode"):
            features(changed.train.sentences)
        assert cached_phases(changed) == []

    def test_a_variant_is_another_address(self, cache: EmbeddingCache, tiny_encoder: Path) -> None:
        job = job_with(cache, tiny_encoder)
        load_features(job)(job.train.sentences)
        spec = dataclasses.replace(job.encoder, name=f"{job.encoder.name}:bf16", variant="bf16")
        other = dataclasses.replace(job_with(cache, tiny_encoder), model=spec)
        features = load_features(other)
        with other.clock.phase("encode"):
            features(other.train.sentences)
        assert cached_phases(other) == []
        assert features.settings()["variant"] == "bf16"

    def test_a_library_that_embeds_differently_is_another_address(
        self, cache: EmbeddingCache, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = job_with(cache, tiny_encoder)
        load_features(job)(job.train.sentences)
        real = Embedder.embed
        monkeypatch.setattr(Embedder, "embed", lambda self, rows, *rest: real(self, rows, *rest) * 1.0001)
        other = job_with(cache, tiny_encoder)
        features = load_features(other)
        with other.clock.phase("encode"):
            features(other.train.sentences)
        assert cached_phases(other) == []

    def test_cached_rows_of_other_sentences_are_found_and_computed_again(
        self, cache: EmbeddingCache, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = job_with(cache, tiny_encoder)
        rows = load_features(first)(first.train.sentences)
        real = EmbeddingCache.get
        monkeypatch.setattr(EmbeddingCache, "get", lambda *args: np.roll(real(*args), 1, axis=0))
        second = job_with(cache, tiny_encoder)
        features = load_features(second)
        with second.clock.phase("encode"):
            again = features(second.train.sentences)
        assert cached_phases(second) == []
        assert np.array_equal(again, rows)
        assert any("cached embeddings were not used" in warning for warning in features.warnings())

    def test_a_cache_that_cannot_be_written_causes_a_warning(self, tmp_path: Path, tiny_encoder: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        trained = train(METHOD["linear-probe"], job_with(EmbeddingCache(tmp_path / "file", 2**20), tiny_encoder))
        assert any("embeddings are not cached for the next run" in warning for warning in trained.warnings)


class TestFrozenEncoder:
    def test_the_next_probe_takes_the_encoder_and_its_fingerprint(
        self, cache: EmbeddingCache, tiny_encoder: Path
    ) -> None:
        frozen = FrozenEncoder()
        first, second = (job_with(cache, tiny_encoder, frozen) for _ in range(2))
        train(METHOD["linear-probe"], first)
        train(METHOD["torch-probe"], second)
        assert cached_phases(second) == ["load", "encode"]
        assert second.recorder.encoder == first.recorder.encoder
        assert second.recorder.tokens == first.recorder.tokens
        assert second.recorder.training is not None
        assert second.recorder.training.trained == ()

    def test_another_type_or_length_is_loaded(self, tiny_encoder: Path) -> None:
        frozen = FrozenEncoder()
        first = job_with(None, tiny_encoder, frozen)
        load_features(first)
        for change in ({"dtype": "bfloat16"}, {"probe_max_length": 9}):
            other = job_with(None, tiny_encoder, frozen, recipe=dataclasses.replace(first.recipe, **change))
            assert load_features(other).encoder is not load_features(first).encoder

    @pytest.mark.parametrize("change", ["train", "shorten"])
    def test_an_encoder_that_a_method_changed_is_not_given_to_the_next_cell(
        self, change: str, tiny_encoder: Path
    ) -> None:
        import torch

        frozen = FrozenEncoder()
        first = load_features(job_with(None, tiny_encoder, frozen))
        before = first(["a fine film"])
        if change == "train":
            optimizer = torch.optim.AdamW(first.encoder.parameters(), lr=0.1)
            first.encoder(dict(first.encoder.tokenizer(["a film"], return_tensors="pt")))[
                "sentence_embedding"
            ].sum().backward()
            optimizer.step()
        else:
            first.encoder.max_seq_length = 3
        after = load_features(job_with(None, tiny_encoder, frozen))(["a fine film"])
        assert np.array_equal(after, before)
        assert not np.array_equal(first(["a fine film"]), before)

    def test_fine_tuning_has_the_memory_to_itself(self, tiny_encoder: Path) -> None:
        frozen = FrozenEncoder()
        load_features(job_with(None, tiny_encoder, frozen))
        train(METHOD["fine-tune"], job_with(None, tiny_encoder, frozen))
        assert frozen._kept is None


class TestRuns:
    ARGUMENTS = ("--sst2-methods=linear-probe", "-p", "no:cacheprovider")

    def run(self, project: pytest.Pytester, *arguments: str) -> dict[str, Any]:
        path = project.path / "out.json"
        result = project.runpytest(*self.ARGUMENTS, f"--sst2-json={path}", *arguments)
        result.assert_outcomes(passed=1)
        record: dict[str, Any] = results(path)["records"][0]
        record["output"] = result.stdout.str()
        return record

    def cached(self, record: dict[str, Any]) -> list[str]:
        return [phase["name"] for phase in record["rounds"][0]["phases"] if phase["cached"]]

    def test_the_second_run_says_cached_where_a_speed_would_stand(self, project: pytest.Pytester) -> None:
        first, second = self.run(project), self.run(project)
        assert (self.cached(first), self.cached(second)) == ([], ["encode", "predict"])
        assert second["predictions"] == first["predictions"]
        assert second["fingerprint"] == first["fingerprint"]
        row = next(line for line in second["output"].splitlines() if "× linear-probe" in line)
        assert row.split().count("cached") == 3  # seconds in all, encode and predict
        assert second["latency"]["p50_seconds"] > 0

    @pytest.mark.parametrize(
        "arguments", [["--sst2-no-cache"], ["--sst2-rounds=2"], ["--benchmark-json=times.json"]], ids=str
    )
    def test_nothing_comes_from_the_cache_where_that_is_said_or_times_are_kept(
        self, project: pytest.Pytester, arguments: list[str]
    ) -> None:
        self.run(project)
        assert self.cached(self.run(project, *arguments)) == []

    def test_no_cache_leaves_no_file(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = project.path / "cache"
        monkeypatch.setenv("PYTEST_SST2_CACHE", str(folder))
        self.run(project, "--sst2-no-cache")
        assert not folder.exists()
        self.run(project, "--sst2-cache-size=1MB")
        assert len(list(folder.iterdir())) == 2
        self.run(project, "--sst2-cache-size=10")
        assert len(list(folder.iterdir())) == 2

    def test_a_comparison_judges_no_time_of_a_cached_phase(self, project: pytest.Pytester) -> None:
        self.run(project, "--sst2-save", "main")
        record = self.run(project, "--sst2-compare", "main")
        row = next(line for line in record["output"].splitlines() if line.startswith("tiny-encoder × linear-probe"))
        assert "–" in row
        assert "slower" not in record["output"]

    @pytest.mark.parametrize("size", ["", "2 cows", "-1GB", "0", "1e99999GB", "GB"])
    def test_a_size_that_is_none_is_refused(self, project: pytest.Pytester, size: str) -> None:
        result = project.runpytest(f"--sst2-cache-size={size}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*{json.dumps(size)[1:-1]}* is not a size; write 500MB or 2GB"])


class TestNumbers:
    @pytest.fixture
    def overflowing(self, tiny_encoder: Path, tmp_path: Path) -> Path:
        """A model in which the finite embedding of one word becomes infinite when it is used."""
        from safetensors.torch import load_file, save_file

        folder = Path(shutil.copytree(tiny_encoder, tmp_path / "overflowing"))
        tensors = load_file(folder / "model.safetensors")
        word = (folder / "vocab.txt").read_text().split().index("clumsy")
        tensors["embeddings.word_embeddings.weight"][word] = 3e38
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        return folder

    @pytest.mark.parametrize("method", ["linear-probe", "torch-probe"])
    @pytest.mark.parametrize("kept", [True, False])
    def test_invalid_embeddings_name_the_model_and_are_not_cached(
        self, method: str, kept: bool, overflowing: Path, cache: EmbeddingCache
    ) -> None:
        job = job_with(cache if kept else None, overflowing, train=Examples([*"abcd", "clumsy"], np.arange(5) % 2))
        job = dataclasses.replace(job, recorder=FingerprintRecorder(job.clock, enabled=kept))
        with pytest.raises(Sst2Error) as caught:
            train(METHOD[method], job)
        message = str(caught.value)
        assert "model 'overflowing': 1 of 5 embeddings contain NaN or infinity" in message
        assert message.endswith("in float32. Use another checkpoint.")
        assert cache.size_bytes() == 0

    def test_in_a_smaller_type_the_error_suggests_float32(self, tiny_encoder: Path) -> None:
        job = job_with(None, tiny_encoder)
        job = dataclasses.replace(job, recipe=dataclasses.replace(job.recipe, dtype="float16"))
        features = load_features(job)
        with pytest.raises(Sst2Error, match="Use --sst2-dtype float32 instead of float16"):
            features._check_finite(np.array([[1.0, np.inf]], dtype=np.float32))

    def test_an_invalid_loss_before_the_first_step_names_the_model(self, overflowing: Path) -> None:
        job = make_job(overflowing)
        job = dataclasses.replace(job, train=Examples(["good and clumsy", "clumsy"] * 8, np.arange(16) % 2))
        with pytest.raises(Sst2Error, match="model 'overflowing': the loss is nan before any weight was changed"):
            train(METHOD["fine-tune"], job)

    def test_a_later_invalid_loss_names_learning_rate_and_model(self, overflowing: Path) -> None:
        job = make_job(overflowing)
        with pytest.raises(Sst2Error, match=r"Lower --sst2-learning-rate.*model 'overflowing' itself overflows"):
            train(METHOD["fine-tune"], dataclasses.replace(job, train=many_with_one_rare()))


def many_with_one_rare() -> Examples:
    """Return 40 harmless sentences, and one with the word."""
    sentences = [f"good film {'a' * number}" for number in range(40)]
    return Examples([*sentences, "clumsy"], np.arange(41) % 2)
