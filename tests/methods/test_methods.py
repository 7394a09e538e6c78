"""Methods: what they learn, their settings and warnings, and no side effects."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import Recipe, build_recipe
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods import hf_trainer, sequence_classifier, torch_probe, trainer_arguments
from pytest_sst2.methods import logistic_regression as logistic
from pytest_sst2.methods.base import Job, Trained, seeded, train
from pytest_sst2.methods.fast.trimmed_embedding import EmbeddingTrimmer
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils.errors import Sst2Error
from tests.support.tiny_models import sentences_and_labels, write_encoder, write_fast_tokenizer

METHOD = {spec.name: spec for spec in METHODS}


def examples(start: int, stop: int) -> Examples:
    sentences, labels = sentences_and_labels(stop)
    return Examples(sentences[start:], np.array(labels[start:]))


def make_job(model: Path | None = None, recipe: Recipe | None = None, seed: int = 42, *, enabled: bool = True) -> Job:
    clock = PhaseClock()
    return Job(
        train=examples(0, 120),
        evaluation=examples(120, 160),
        recipe=recipe or build_recipe("quick", epochs=4, learning_rate=5e-3, batch_size=8),
        seed=seed,
        clock=clock,
        loader=ModelLoader("cpu"),
        recorder=FingerprintRecorder(clock, enabled=enabled),
        model=ModelSpec(model.name, folder=model) if model else None,
    )


def with_a_long_one(rows: Examples) -> Examples:
    """Return the rows and one with more tokens than the models' positions."""
    return Examples([*rows.sentences, "good film " * 200], np.append(rows.labels, 1))


def accuracy(trained: Trained, rows: Examples) -> float:
    return float(((trained.predict(rows.sentences) > 0.5) == (rows.labels == 1)).mean())


def phase_names(job: Job) -> list[str]:
    return [phase.name for phase in job.clock.phases]


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        ("fine-tune", ["load", "fingerprint", "tokenize", "evaluate", "train"]),
        ("linear-probe", ["load", "fingerprint", "encode", "fit"]),
        ("torch-probe", ["load", "fingerprint", "encode", "fit"]),
        ("tfidf", ["encode", "fit"]),
    ],
)
def test_every_method_learns_what_separable_sentences_teach(name: str, phases: list[str], tiny_encoder: Path) -> None:
    job = make_job(tiny_encoder if METHOD[name].needs_model else None)
    trained = train(METHOD[name], job)
    assert accuracy(trained, job.evaluation) >= 0.8
    assert phase_names(job) == phases
    probabilities = trained.predict(job.evaluation.sentences)
    assert probabilities.shape == (40,)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_variables_of_launchers_and_accelerate_do_not_change_a_training(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit() -> tuple[np.ndarray, object, str]:
        job = make_job(tiny_encoder, build_recipe("quick", epochs=1, batch_size=8))
        trained = train(METHOD["fine-tune"], job)
        return trained.predict(job.evaluation.sentences), trained.settings, " ".join(trained.warnings)

    without, settings, warnings = fit()
    assert "ignored" not in warnings
    variables = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    overruling = {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    variables |= {**overruling, "ACCELERATE_DYNAMO_BACKEND": "no", "ACCELERATE_USE_FSDP": "false"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    probabilities, same_settings, warnings = fit()
    ignored = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS=4, ACCELERATE_MIXED_PRECISION=bf16"
    assert f"ignored, because the recipe decides: {ignored}" in warnings
    assert (probabilities == without).all()
    assert same_settings == settings
    assert {name: os.environ[name] for name in variables} == variables


def test_a_training_in_bfloat16_leaves_no_variable_to_the_next(tiny_encoder: Path) -> None:
    before = dict(os.environ)
    train(METHOD["fine-tune"], make_job(tiny_encoder, build_recipe("quick", epochs=1, batch_size=8, dtype="bfloat16")))
    assert {name: value for name, value in os.environ.items() if name.startswith("ACCELERATE_")} == {
        name: value for name, value in before.items() if name.startswith("ACCELERATE_")
    }


def test_sentences_without_a_word_are_nothing_to_count() -> None:
    job = dataclasses.replace(make_job(), train=Examples(["! !", "?", "a"], np.array([0, 1, 1])))
    with pytest.raises(Sst2Error, match="the 3 training sentences have none"):
        train(METHOD["tfidf"], job)


def test_majority_gives_the_share_of_positives_and_a_tie_is_negative() -> None:
    job = make_job()
    skewed = Job(**{**vars(job), "train": Examples(["a", "b", "c"], np.array([1, 1, 0]))})
    assert train(METHOD["majority"], skewed).predict(["x", "y"]).tolist() == pytest.approx([2 / 3, 2 / 3])
    assert train(METHOD["majority"], job).predict(["x"]).tolist() == [0.5]


class TestFineTune:
    def test_the_same_seed_gives_the_same_probabilities_and_another_seed_others(self, tiny_encoder: Path) -> None:
        sentences = examples(120, 160).sentences
        first, again, other = (
            train(METHOD["fine-tune"], make_job(tiny_encoder, seed=seed)).predict(sentences) for seed in (1, 1, 2)
        )
        assert first.tolist() == again.tolist()
        assert first.tolist() != other.tolist()

    def test_the_tokenizer_returns_only_inputs_that_the_model_accepts(self, tiny_encoder: Path) -> None:
        class WithoutTypesOfTokens(torch.nn.Module):
            def forward(self, input_ids: Any, attention_mask: Any = None) -> None:
                raise NotImplementedError

        class WithMoreArguments(torch.nn.Module):
            def forward(self, input_ids: Any, **kwargs: Any) -> None:
                raise NotImplementedError

        tokenizer = ModelLoader().tokenizer(ModelSpec("tiny", folder=tiny_encoder))
        sequence_classifier._limit_inputs(tokenizer, WithMoreArguments())
        assert set(tokenizer("good")) == {"input_ids", "token_type_ids", "attention_mask"}
        sequence_classifier._limit_inputs(tokenizer, WithoutTypesOfTokens())
        assert set(tokenizer("good")) == {"input_ids", "attention_mask"}

    def test_the_learning_curve_has_one_point_an_epoch_and_leaves_the_last_to_the_classifier(
        self, tiny_encoder: Path
    ) -> None:
        job = make_job(tiny_encoder)
        trained = train(METHOD["fine-tune"], job)
        assert [epoch.number for epoch in trained.epochs] == [1, 2, 3]
        assert trained.last_train_loss is not None
        assert trained.last_train_loss < trained.epochs[0].train_loss
        (phase,) = [phase for phase in job.clock.phases if phase.name == "train"]
        assert phase.examples == 480

    def test_losses_and_predictions_equal_those_without_the_fast_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write_encoder(tmp_path / "model", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        ours = train(METHOD["fine-tune"], make_job(folder))
        monkeypatch.setattr(hf_trainer, "embedding_trimmer", lambda model, _sentences: EmbeddingTrimmer(model, None))
        monkeypatch.setattr(hf_trainer, "quick_dropout", lambda _model: contextlib.nullcontext())
        plain = train(METHOD["fine-tune"], make_job(folder))
        losses = [[*(epoch.train_loss for epoch in each.epochs), each.last_train_loss] for each in (ours, plain)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)
        assert losses[0][-1] < losses[0][0]
        predictions = [each.predict(examples(120, 160).sentences) for each in (ours, plain)]
        assert np.abs(predictions[0] - predictions[1]).max() < 1e-4

    def test_it_leaves_no_file_and_has_no_other_callbacks(
        self, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers import Trainer

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setenv("WANDB_MODE", "offline")
        seen: list[list[str]] = []
        original = Trainer.train

        def spy(self: Trainer) -> object:
            seen.append([type(callback).__name__ for callback in self.callback_handler.callbacks])
            return original(self)

        monkeypatch.setattr(Trainer, "train", spy)
        train(METHOD["fine-tune"], make_job(tiny_encoder))
        assert seen == [["DefaultFlowCallback", "Observer"]]
        assert list(tmp_path.iterdir()) == []

    def test_sentences_longer_than_the_maximum_are_cut_and_counted(self, tiny_encoder: Path) -> None:
        whole = train(METHOD["fine-tune"], make_job(tiny_encoder))
        assert whole.warnings == ()
        cut = train(METHOD["fine-tune"], make_job(tiny_encoder, build_recipe("quick", max_length=5)))
        assert cut.warnings == (
            "100% of the training sentences were cut to 5 tokens",
            "100% of the evaluation sentences were cut to 5 tokens",
        )
        assert cut.settings["max_length"] == 5

    def test_a_maximum_beyond_the_models_positions_is_brought_down_to_them(self, tiny_encoder: Path) -> None:
        trained = train(METHOD["fine-tune"], make_job(tiny_encoder, build_recipe("quick", max_length=5000)))
        assert trained.settings["max_length"] == 64
        assert trained.predict(["film " * 500]).shape == (1,)

    @pytest.mark.parametrize(
        ("architecture", "positions", "longest"),
        [
            ({"architecture": "roberta", "pad_token_id": 0}, 66, 65),
            ({"architecture": "roberta", "pad_token_id": 1}, 66, 64),
            ({"architecture": "gpt2"}, 66, 66),
            ({"architecture": "distilbert"}, 66, 66),
        ],
        ids=str,
    )
    def test_it_is_that_of_the_positions_where_nothing_else_says_so(
        self, architecture: dict[str, Any], positions: int, longest: int, tmp_path: Path
    ) -> None:
        folder = write_encoder(tmp_path / "encoder", **architecture, max_position_embeddings=positions)
        write_fast_tokenizer(folder, pad_token="[UNK]" if architecture.get("pad_token_id") else "[PAD]")
        job = make_job(folder, build_recipe("quick", max_length=5000))
        trained = train(METHOD["fine-tune"], dataclasses.replace(job, train=with_a_long_one(job.train)))
        assert trained.settings["max_length"] == longest
        assert trained.predict(["film " * 500]).shape == (1,)

    @pytest.mark.parametrize("known", [None, 1])
    def test_a_decoder_reads_the_last_word_and_not_the_padding(self, known: int | None, tmp_path: Path) -> None:
        folder = write_encoder(tmp_path / "decoder", "gpt2", pad_token_id=known, vocab_size=79)
        write_fast_tokenizer(folder, pad_token="[PAD]", model_max_length=64)
        predict = train(METHOD["fine-tune"], make_job(folder)).predict
        assert isinstance(predict, SequenceClassifier)
        assert predict.model.config.pad_token_id == 0
        short, long = "the film is good", "the film is bad and the story is dull and not funny"
        inputs = predict.tokenizer([short, long], padding=True, return_tensors="pt")
        with torch.inference_mode():
            together = predict.model.eval()(**inputs).logits[0]
            alone = predict.model(**predict.tokenizer([short], return_tensors="pt")).logits[0]
        assert torch.allclose(together, alone, atol=1e-5)

    @pytest.mark.parametrize("settings", [{"problem_type": "regression"}, {"return_dict": False}], ids=str)
    def test_a_config_does_not_decide_the_loss(
        self, settings: dict[str, Any], tiny_encoder: Path, tmp_path: Path
    ) -> None:
        folder = Path(shutil.copytree(tiny_encoder, tmp_path / "model"))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        losses = [train(METHOD["fine-tune"], make_job(each)).last_train_loss for each in (tiny_encoder, folder)]
        assert losses[0] == losses[1]

    def test_a_loss_that_explodes_is_a_sentence(self, tiny_encoder: Path) -> None:
        with pytest.raises(Sst2Error, match=r"training diverged.*--sst2-learning-rate"):
            train(METHOD["fine-tune"], make_job(tiny_encoder, build_recipe("quick", learning_rate=1e30)))

    def test_float16_on_a_cpu_is_refused_before_anything_is_loaded(self) -> None:
        job = make_job(Path("nowhere"), build_recipe("quick", dtype="float16"))
        with pytest.raises(Sst2Error, match="float16 needs a CUDA device"):
            train(METHOD["fine-tune"], job)

    def test_bfloat16_computes_under_autocast_and_keeps_float32_weights(self, tiny_encoder: Path) -> None:
        recipe = build_recipe("quick", dtype="bfloat16", epochs=2, learning_rate=5e-3)
        trained = train(METHOD["fine-tune"], make_job(tiny_encoder, recipe))
        assert isinstance(trained.predict, SequenceClassifier)
        assert {parameter.dtype for parameter in trained.predict.model.parameters()} == {torch.float32}
        assert trained.settings["bf16"] is True

    def test_the_settings_hold_what_decides_and_no_path_and_no_secret(self, tiny_encoder: Path) -> None:
        settings = train(METHOD["fine-tune"], make_job(tiny_encoder)).settings
        assert settings["learning_rate"] == 5e-3
        assert settings["lr_scheduler_type"] == "linear"
        assert settings["gradient_accumulation_steps"] == 1
        assert settings["seed"] == settings["data_seed"] == 42
        assert not [name for name in settings if "dir" in name or ("token" in name and "hub" in name)]

    def test_several_gpus_do_not_multiply_the_batch(
        self, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from transformers import TrainingArguments

        monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: self.__dict__.get("_n_gpu", 4)))
        arguments = trainer_arguments.training_arguments(make_job(tiny_encoder), str(tmp_path))
        assert arguments.train_batch_size == 8

    def test_grouping_by_length_is_part_of_the_recipe_and_of_the_settings(self, tiny_encoder: Path) -> None:
        grouped = train(METHOD["fine-tune"], make_job(tiny_encoder)).settings
        notebook = train(METHOD["fine-tune"], make_job(tiny_encoder, build_recipe("homework9", epochs=1))).settings
        if "train_sampling_strategy" in grouped:
            assert grouped["train_sampling_strategy"] == "group_by_length"
            assert notebook["train_sampling_strategy"] == "random"
        else:  # the argument of the first releases of transformers 5
            assert (grouped["group_by_length"], notebook["group_by_length"]) == (True, False)

    def test_predicting_one_by_one_equals_predicting_together(self, tiny_encoder: Path) -> None:
        predict = train(METHOD["fine-tune"], make_job(tiny_encoder)).predict
        sentences = ["a good film .", "the story is dull and tedious and awful .", "warm"]
        alone = [float(predict([sentence])[0]) for sentence in sentences]
        assert predict(sentences).tolist() == pytest.approx(alone, abs=1e-6)


class TestProbes:
    def test_torch_and_scikit_learn_find_the_same_minimum(self) -> None:
        generator = np.random.default_rng(0)
        features = generator.normal(size=(300, 8)).astype(np.float32)
        labels = (features @ generator.normal(size=8) + generator.normal(size=300) > 0).astype(np.int64)
        layer, training = torch_probe.fit_linear(features, labels)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(logistic, "TOLERANCE", 1e-10)
            model = logistic.fit_logistic(features.astype(np.float64), labels, seed=0)
        assert layer.weight.detach().numpy().ravel() == pytest.approx(model.coef_.ravel(), abs=1e-4)
        assert float(layer.bias.detach()) == pytest.approx(float(model.intercept_[0]), abs=1e-4)
        assert training.steps >= 2
        assert training.last_gradient is not None
        assert training.last_gradient <= torch_probe.GRADIENT_TOLERANCE

    def test_stopping_before_convergence_is_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features, labels = np.random.default_rng(0).normal(size=(50, 5)), np.arange(50) % 2
        monkeypatch.setattr(logistic, "MAX_ITERATIONS", 1)
        with pytest.raises(Sst2Error, match="did not converge in 1 iteration"):
            logistic.fit_logistic(features, labels, seed=0)
        monkeypatch.setattr(torch_probe, "MAX_ITERATIONS", 1)
        with pytest.raises(Sst2Error, match="did not converge in 1 iteration"):
            torch_probe.fit_linear(features.astype(np.float32), labels)

    def test_a_change_of_predicting_is_none_of_the_fit(self) -> None:
        features, labels = np.random.default_rng(0).normal(size=(50, 5)), np.arange(50) % 2
        model = logistic.fit_logistic(features, labels, seed=0)
        before = logistic.training_fingerprint(model, features, labels)
        model.predict_proba = lambda rows: np.full((len(rows), 2), 0.5)
        assert logistic.training_fingerprint(model, features, labels) == before
        assert before.last_gradient is not None
        assert before.last_gradient < 1e-3

    def test_one_class_is_a_sentence(self) -> None:
        with pytest.raises(Sst2Error, match="same label"):
            logistic.fit_logistic(np.ones((4, 2)), np.ones(4, dtype=np.int64), seed=0)

    def test_settings_say_every_parameter_of_the_classifier(self, tiny_encoder: Path) -> None:
        settings = train(METHOD["linear-probe"], make_job(tiny_encoder)).settings
        expected = {"C": 1.0, "solver": "lbfgs", "max_iter": 1000, "tol": 1e-4, "fit_intercept": True}
        assert expected.items() <= settings.items()
        assert settings["modules"] == ["Transformer", "Pooling", "Normalize"]

    def test_a_probes_maximum_length_reaches_the_encoder(self, tiny_encoder: Path) -> None:
        job = make_job(tiny_encoder, build_recipe("quick", max_length=4))
        assert train(METHOD["linear-probe"], job).settings["max_seq_length"] == 4

    def test_an_encoder_without_modules_says_that_it_is_mean_pooled(self, tmp_path: Path) -> None:
        from tests.support.tiny_models import write_encoder

        trained = train(METHOD["linear-probe"], make_job(write_encoder(tmp_path / "plain", "distilbert")))
        assert trained.warnings == ("no sentence-transformers modules: mean pooling over the last hidden states",)


def test_seeding_restores_the_callers_generators() -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    expected = (random.random(), np.random.rand(), torch.rand(1).item())
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    with seeded(1):
        drawn = (random.random(), np.random.rand(), torch.rand(1).item())
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected
    with seeded(1):
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn


def test_a_method_may_return_a_bare_callable() -> None:
    def answer(job: Job) -> object:
        return lambda sentences: np.full(len(sentences), 0.9)

    trained = train(MethodSpec("answer", answer, needs_model=False), make_job())  # type: ignore[arg-type]
    assert isinstance(trained, Trained)
    assert trained.predict(["a", "b"]).tolist() == [0.9, 0.9]


@pytest.mark.parametrize(
    ("returned", "fragment"),
    [
        (None, "returned NoneType; expected a callable"),
        (Trained(len, settings=["C"]), "settings must map names"),  # type: ignore[arg-type]
        (Trained(len, settings={("C", 1): 2}), "settings must map names"),  # type: ignore[dict-item]
        (Trained(len, warnings="careful"), "warnings must be a sequence of strings"),
    ],
)
def test_an_invalid_result_of_a_method_is_refused(returned: object, fragment: str) -> None:
    with pytest.raises(Sst2Error, match=f"method 'mine'.*{fragment}"):
        train(MethodSpec("mine", lambda job: returned, needs_model=False), make_job())  # type: ignore[arg-type, return-value]


def test_the_penalty_is_recorded_independent_of_the_release() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [3.0]])
    settings = logistic.regression_settings(logistic.fit_logistic(rows, np.array([0, 0, 1, 1]), 42))
    assert settings["regularization"] == "l2"
    assert (settings["C"], settings["solver"], settings["max_iter"]) == (1.0, "lbfgs", 1000)
    assert not {"penalty", "l1_ratio"} & set(settings)


@pytest.mark.filterwarnings("error")
def test_the_torch_probe_reads_labels_that_cannot_be_written_without_a_warning() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(40) % 2).astype(np.int64)
    labels.flags.writeable = False
    torch_probe.fit_linear(rng.normal(size=(40, 3)).astype(np.float32) + labels[:, None], labels)


class TestAsIs:
    @pytest.fixture
    def trained(self, tmp_path: Path) -> Path:
        """A checkpoint with a head, which answers by one word."""
        job = make_job(write_encoder(tmp_path / "clf"))
        classifier = train(METHOD["fine-tune"], job).predict
        assert isinstance(classifier, SequenceClassifier)
        classifier.model.save_pretrained(tmp_path / "clf")
        return tmp_path / "clf"

    def test_the_checkpoint_answers_as_it_did_and_trains_nothing(self, trained: Path) -> None:
        job = make_job(trained)
        before = sorted(path.read_bytes() for path in trained.iterdir())
        measured = train(METHOD["as-is"], job)
        assert accuracy(measured, job.evaluation) > 0.9
        assert measured.settings["trained"] is False
        assert {phase.name for phase in job.clock.phases} <= {"load", "fingerprint"}
        assert (measured.epochs, measured.last_train_loss) == ((), None)
        assert before == sorted(path.read_bytes() for path in trained.iterdir())
        other_seed = train(METHOD["as-is"], make_job(trained, seed=7))
        sentences = job.evaluation.sentences
        assert measured.predict(sentences).tolist() == other_seed.predict(sentences).tolist()

    def test_classes_the_other_way_round_are_mapped_by_name(self, trained: Path) -> None:
        config = json.loads((trained / "config.json").read_text())
        labels = {"id2label": {"0": "POSITIVE", "1": "NEGATIVE"}, "label2id": {"POSITIVE": 0, "NEGATIVE": 1}}
        job = make_job(trained)
        right = train(METHOD["as-is"], job).predict(job.evaluation.sentences)
        (trained / "config.json").write_text(json.dumps({**config, **labels}))
        swapped = train(METHOD["as-is"], make_job(trained))
        assert swapped.predict(job.evaluation.sentences) == pytest.approx(1 - right)
        assert any("were swapped" in warning for warning in swapped.warnings)

    @pytest.mark.parametrize("lost", ["classifier.weight", "classifier.bias", "bert.pooler.dense.weight"])
    def test_a_head_that_lacks_a_tensor_is_refused(self, trained: Path, lost: str) -> None:
        from safetensors.torch import load_file, save_file

        path = trained / "model.safetensors"
        tensors = load_file(path)
        del tensors[lost]
        save_file(tensors, path, {"format": "pt"})
        with pytest.raises(Sst2Error, match="has no trained classification head: its weights lack " + re.escape(lost)):
            train(METHOD["as-is"], make_job(trained))

    def test_a_head_for_other_classes_is_refused(self, tmp_path: Path) -> None:
        from transformers import AutoModelForSequenceClassification

        folder = write_encoder(tmp_path / "three")
        AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).save_pretrained(folder)
        with pytest.raises(Sst2Error, match=r"is for 3 classes .* so it cannot be measured as it is"):
            train(METHOD["as-is"], make_job(folder))


@pytest.mark.parametrize(
    ("arguments", "regularization"),
    [({}, "l2"), ({"l1_ratio": 1.0}, "l1"), ({"l1_ratio": 0.5}, "elasticnet 0.5"), ({"penalty": "l1"}, "l1")],
)
def test_a_regression_records_the_penalty_that_it_has(arguments: dict[str, Any], regularization: str) -> None:
    from sklearn.linear_model import LogisticRegression

    assert (
        logistic.regression_settings(LogisticRegression(solver="saga", **arguments))["regularization"] == regularization
    )
