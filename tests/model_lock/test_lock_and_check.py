"""Lock a model, change it, and check it: the commands, the fixture, and what they say."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.model_lock.check import check_file, check_lock
from pytest_sst2.model_lock.load import load_encoder
from pytest_sst2.model_lock.observe import lock_of
from pytest_sst2.results.probe_sentences import sentences_by_length
from tests.support import tiny_models

OWN = ["a fine film", "not a fine film", "ÉTÉ et hiver", "one two three"]


@pytest.fixture
def model(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the tiny encoder, ``./model`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(tiny_encoder, tmp_path / "model"))


def locked(*arguments: str) -> None:
    assert main(["lock", "./model", "-o", "m.lock", *arguments]) == 0


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    capsys.readouterr()
    status = main(["check", "m.lock", *arguments])
    return status, capsys.readouterr().out.splitlines()


def test_the_same_model_is_the_same_and_its_vectors_mix(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked()
    status, (headline, mixing) = checked(capsys)
    assert status == 0
    assert headline == "SAME: the model does what m.lock says, for 64 sentences"
    assert mixing.startswith("Vectors of before and after mix (cosine 1.000000 on average, 1.000000 at worst;")


def test_another_pooling_differs_with_its_cause(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked()
    tiny_models.add_sentence_modules(model, pooling="cls")
    status, lines = checked(capsys)
    assert status == 1
    assert lines[:2] == ["DIFFERS: 1 difference from m.lock", "drift: pooling cls, was mean"]
    assert lines[2].startswith("Vectors of before and after ")


def test_another_model_of_other_dimensions_does_not_mix(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked()
    other = tiny_models.write_encoder(tmp_path / "other", hidden_size=16)
    tiny_models.add_sentence_modules(other, dimensions=16)
    status, lines = checked(capsys, "--model", str(other), "--format", "json")
    result = json.loads("\n".join(lines))
    assert (status, result["same"], result["mixes"], result["mixing"]) == (1, False, False, None)
    assert any(cause["kind"] == "weights" for cause in result["causes"])


def test_own_sentences_are_kept_in_the_lock_and_compared(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.txt").write_text("\n\n".join(OWN) + "\n", encoding="utf-8")
    locked("--sentences", "own.txt")
    (tmp_path / "own.txt").unlink()
    assert checked(capsys)[0] == 0
    assert checked(capsys)[1][0].endswith("for 4 sentences")


def test_what_differs_for_own_sentences_only_is_found(model: Path, tmp_path: Path) -> None:
    word = "hiver"  # in no probe sentence
    (tmp_path / "own.txt").write_text("\n".join(OWN), encoding="utf-8")
    locked("--sentences", "own.txt")
    encoder, _ = load_encoder("./model")
    encoder.tokenizer.add_tokens([word])
    encoder[0].auto_model.resize_token_embeddings(len(encoder.tokenizer))
    result = check_file(tmp_path / "m.lock", encoder)
    assert [cause.kind for cause in result.causes if not cause.is_note]


def test_what_differs_for_a_sentence_that_the_fingerprint_does_not_embed_is_found(model: Path) -> None:
    encoder, _ = load_encoder(str(model))
    lock, embeddings = lock_of(encoder, "model")
    longer = replace(lock, encoder=replace(lock.encoder, length=2 * lock.encoder.length))
    words = check_lock("m.lock", lock, longer, 2 * embeddings).mixing_sentence
    assert words.startswith("Vectors of before and after mix by cosine, but not by dot product, because their lengths")
    embeddings[sentences_by_length()[0]] *= -1
    result = check_lock("m.lock", lock, lock, embeddings)
    assert not result.is_same
    assert result.causes[-1].sentence.startswith("embeddings of some probe sentences differ (cosine ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["lock", "minlm"], "Did you mean 'minilm'?"),
        (["lock", "./model", "-o", "taken"], "'taken' exists. Compare the model with it: pytest-sst2 check taken."),
        (["lock", "./model", "--sentences", "one.txt"], "1 own sentence: a lock takes 2 to 256."),
        (["lock", "./model", "--sentences", "many.txt"], "257 own sentences: a lock takes 2 to 256."),
        (["lock", "./model", "--sentences", "empty.txt"], "empty.txt has no sentence."),
        (["check", "none.lock"], "none.lock cannot be read: No such file or directory."),
        (["check", "taken"], "'taken' is no lock of a model: it does not say 'pytest-sst2 model lock'."),
        (["check", "one.txt"], "one.txt is not readable JSON"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_a_sentence_and_writes_nothing(
    arguments: list[str], sentence: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("{}")
    for name, count in (("one.txt", 1), ("many.txt", 257), ("empty.txt", 0)):
        (tmp_path / name).write_text("a film\n" * count)
    before = sorted(tmp_path.iterdir())
    assert main(arguments) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "version": lambda lock: lock.update(version=99),
    "vectors": lambda lock: lock["vectors"].update(neighbours="AAAA"),
    "sketch": lambda lock: lock["encoder"].update(sketch="AAAA"),
    "base64": lambda lock: lock["encoder"]["tensors"].update(digests="?"),
    "missing": lambda lock: lock.pop("encoder"),
    "type": lambda lock: lock.update(model=3),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_lock_is_a_sentence(
    damage: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    locked()
    lock = json.loads((tmp_path / "m.lock").read_text())
    DAMAGE[damage](lock)
    (tmp_path / "m.lock").write_text(json.dumps(lock))
    assert main(["check", "m.lock"]) == 2
    assert capsys.readouterr().err.startswith("pytest-sst2: 'm.lock' is no lock of a model: ")


class TestFixture:
    """``sst2_lock`` in another project's tests."""

    @pytest.fixture
    def folder(self, tiny_encoder: Path, pytester: pytest.Pytester) -> Path:
        """Return a model within the project, which is locked in ``m.lock``."""
        folder = Path(shutil.copytree(tiny_encoder, pytester.path / "model"))
        locked()
        return folder

    def test_a_model_that_differs_fails_the_test_with_the_causes(self, folder: Path, pytester: pytest.Pytester) -> None:
        tiny_models.add_sentence_modules(folder, pooling="cls")
        pytester.makepyfile("def test_model(sst2_lock):\n    sst2_lock('m.lock')")
        run = pytester.runpytest()
        run.assert_outcomes(failed=1)
        run.stdout.fnmatch_lines(["DIFFERS: 1 difference from m.lock", "drift: pooling cls, was mean"])

    @pytest.mark.usefixtures("folder")
    def test_an_encoder_as_the_code_loads_it_is_compared(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            """
            from sentence_transformers import SentenceTransformer

            def test_model(sst2_lock):
                assert sst2_lock("m.lock", encoder=SentenceTransformer("./model")).mixes
            """
        )
        pytester.runpytest().assert_outcomes(passed=1)
