"""`pytest-sst2 doctor`: what prevents runs, how to fix it, and a command that runs; without a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest

from pytest_sst2.cli import doctor_checks
from pytest_sst2.cli.doctor_checks import Finding, State, examine, verdict
from pytest_sst2.cli.main import main
from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.data import pocket
from pytest_sst2.hub import cache, download
from pytest_sst2.models import locate
from pytest_sst2.upgrade import uv
from pytest_sst2.utils.errors import Sst2Error


@pytest.fixture(autouse=True)
def _without_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path / "cache"))
    download._unreachable_reason.cache_clear()
    yield
    download._unreachable_reason.cache_clear()


def finding_of(name: str, findings: Sequence[Finding] | None = None) -> Finding:
    (one,) = [finding for finding in findings or examine() if finding.name == name]
    return one


def state(name: str) -> State:
    return finding_of(name).state


def test_everything_is_checked_and_every_problem_has_a_remedy() -> None:
    findings = examine()
    names = {finding.name for finding in findings}
    assert names >= {spec.name for spec in CATALOG} | set(PRESETS) | {"torch", "pytest", "SST-2", "pocket"}
    assert all(finding.remedy for finding in findings if finding.state != "ok")
    assert finding_of("torch", findings).detail == metadata.version("torch")


def test_without_the_hub_the_pocket_set_runs() -> None:
    findings = examine()
    assert "HF_HUB_OFFLINE" in finding_of(cache.endpoint(), findings).detail
    assert finding_of("pocket", findings).state == "ok"
    assert finding_of("SST-2", findings).state == "missing"
    assert finding_of("quick", findings).detail == "on the pocket set"
    assert finding_of("homework9", findings).state == "missing"
    assert finding_of("roberta", findings).state == "missing"


def test_a_hub_that_answers_is_where_models_and_data_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "check_reachable", lambda: None)
    findings = examine()
    assert finding_of(cache.endpoint(), findings).detail.startswith("answers, with")
    assert finding_of("SST-2", findings).state == "ok"
    assert finding_of("roberta", findings).detail == "is downloaded on first use (FacebookAI/roberta-base)"
    assert finding_of("homework9", findings).detail == "on SST-2"


def test_a_token_is_mentioned_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(doctor_checks, "check_reachable", lambda: None)
    main(["doctor"])
    output = capsys.readouterr().out
    assert "with a token" in output
    assert "hf_secret" not in output


def test_a_token_that_huggingface_hub_would_wait_for_or_fail_on_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\x80")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("pytest_sst2.hub.download.is_offline", lambda: False)
    for name, words in (("pipe", "not a regular file but a pipe"), ("", "is a folder"), ("bytes", "not valid UTF-8")):
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / name))
        assert words in doctor_checks._hub_finding(doctor_checks._hub_problem()).detail


def test_bundled_weights_and_data_are_verified(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "pocket.tsv"
    damaged.write_text("split\tkind\tlabel\tsentence\n", encoding="utf-8")
    monkeypatch.setattr(pocket, "POCKET_FILE", damaged)

    def refuse(name: str, folder: Path) -> None:
        raise Sst2Error("the bundled weights were damaged")

    monkeypatch.setattr(locate, "verify_bundled", refuse)
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert "✗ pocket: " in output
    assert "✗ minilm: the bundled weights were damaged" in output
    assert output.splitlines()[-1] == "CANNOT RUN: pocket; see the remedies above"


@pytest.mark.parametrize(("version", "detail"), [("0.1", "0.1, but >="), (None, "not installed")])
def test_a_package_that_is_missing_or_too_old_prevents_runs(
    version: str | None, detail: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = metadata.version

    def looked_up(name: str) -> str:
        if name != "tabulate":
            return real(name)
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor_checks.metadata, "version", looked_up)
    assert main(["doctor"]) == 1
    output = capsys.readouterr().out
    assert f"✗ tabulate: {detail}" in output
    assert "→ python -m pip install 'tabulate>=" in output
    assert output.splitlines()[-1] == "CANNOT RUN: tabulate; see the remedies above"


def test_a_full_disk_and_a_folder_that_is_a_file_prevent_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    assert state("cache of embeddings") == "broken"
    monkeypatch.setattr(doctor_checks, "_LOW_DISK_BYTES", 2**80)
    assert finding_of("the Hub's cache").remedy.startswith("free some space")


def test_the_deberta_models_need_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    for here in (True, False):

        def looked_up(name: str, here: bool = here) -> str:
            if name not in ("protobuf", "sentencepiece"):
                return real(name)
            if here:
                return "99"
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(doctor_checks.metadata, "version", looked_up)
        assert ("its tokenizer needs" in finding_of("deberta-v3-small").detail) is not here


@pytest.mark.parametrize(("path", "is_there"), [("/usr/bin/uv", True), (None, False)])
def test_uv_comes_with_the_extra_upgrade(path: str | None, is_there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv, "uv_path", lambda: path)
    finding = finding_of("uv")
    assert finding.state == ("ok" if is_there else "missing")
    assert ("uv>=0.5" in finding.remedy) is not is_there


@pytest.mark.parametrize(
    ("models", "data", "conclusion"),
    [
        (["minilm", "roberta"], "ok", "RUNS: pytest benchmarks --models minilm --sst2-data auto"),
        (["roberta"], "missing", "RUNS: pytest benchmarks --models roberta --sst2-data pocket"),
        ([], "missing", "RUNS WITHOUT A MODEL: pytest benchmarks --methods tfidf,majority --sst2-data pocket"),
    ],
)
def test_the_verdict_is_a_command_that_runs_here(models: list[str], data: State, conclusion: str) -> None:
    findings = [Finding("data", "SST-2", data, "")]
    findings += [Finding("models", name, "ok", "") for name in models]
    assert verdict(findings) == (conclusion, 0)


def test_a_shared_remedy_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    output = capsys.readouterr().out
    assert output.count("needs SST-2, or a larger data set") == 1
    assert output.splitlines()[-1].startswith("RUNS")
