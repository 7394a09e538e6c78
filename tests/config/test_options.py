"""Options: refused with a sentence, read from ini files, and out of everybody else's way."""

from __future__ import annotations

import re

import pytest

from pytest_sst2.config import options
from tests.conftest import collected

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


def test_a_misspelt_model_is_answered_with_the_nearest_name(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--models", "tinbert")
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: unknown model 'tinbert'. Did you mean 'tinybert'? Models: tinybert, *"])


def test_a_misspelt_method_lists_the_methods(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--methods", "fine-tunes")
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: unknown method 'fine-tunes'. Did you mean 'fine-tune'? *linear-probe*majority*"]
    )


def test_the_help_has_the_options_in_groups_of_which_none_fills_a_screen(pytester: pytest.Pytester) -> None:
    shown = pytester.runpytest("--help").stdout.str()
    groups = re.findall(r"^SST-2: (.*):\n((?:  .*\n)+)", shown, re.MULTILINE)
    flags = {title: re.findall(r"^  (--[\w-]+)", text, re.MULTILINE) for title, text in groups}
    assert {"--sst2-models", "--models"} <= set(flags["models, methods and data"])
    assert "--sst2-compare" in flags["baselines"]
    assert "--sst2-shard" in flags["several machines and processes"]
    assert {option.flag for option in options.OPTIONS} <= {flag for group in flags.values() for flag in group}
    assert max(map(len, flags.values())) <= 20


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["--sst2-recipe", "slow"], ["'slow'", "quick", "homework9-as-published"]),
        (["--sst2-eval", "test"], ["'test'", "validation, heldout"]),
        (["--sst2-seeds", "42,x"], ["'x' is not a seed"]),
        (["--sst2-seeds", "-1"], ["--sst2-seeds"]),
        (["--sst2-seeds", "4294967296"], ["0 to 4294967295"]),
        (["--sst2-train-size", "0"], ["'0' is not a whole number of at least 1"]),
        (["--sst2-train-size", "1e3"], ["'1e3' is not a whole number"]),
        (["--sst2-max-length", "2"], ["at least 3"]),
        (["--sst2-learning-rate", "nan"], ["'nan' is not a number"]),
        (["--sst2-learning-rate", "0"], ["above 0"]),
        (["--sst2-min-accuracy", "80"], ["'80' is not a share from 0 to 1"]),
        (["--sst2-dtype", "int8"], ["'int8' is not one of float32, bfloat16, float16"]),
        (["--sst2-device", "tpu"], ["'tpu' is not one of auto, cpu, cuda, mps"]),
        (["--sst2-device", "gpu"], ["'gpu' is not one of auto, cpu, cuda, mps. Did you mean 'cuda'[?]"]),
        (["--models", ","], ["contains no name"]),
        (["--sst2-data", "nowhere"], ["'nowhere' is neither auto, hub, pocket nor a folder"]),
        (["--models", "./nowhere"], ["no folder './nowhere'"]),
        (["--sst2-floors", "nowhere.toml"], ["'*nowhere.toml' does not exist", "--sst2-calibrate-floors"]),
        (["--sst2-calibrate-floors"], ["at least 5 seeds and got 1", "--sst2-seeds 1,2,3,4,5"]),
        (
            ["--sst2-calibrate-floors", "--sst2-seeds", "1,2,3,4,5", "--sst2-min-accuracy", "0.5"],
            ["give one of the two"],
        ),
        (["--sst2-json", "."], ["is a folder; name a file"]),
        (
            ["--sst2-fail-on", "regressed,slow"],
            ["'slow' is not one of regressed, undecided, slower", "mean 'slower'?"],
        ),
        (["--sst2-fail-on", ","], ["contains no name"]),
        (["--sst2-tolerance", "-1"], ["'-1' is not a number of percentage points from 0 to 100"]),
        (["--sst2-tolerance", "101"], ["'101' is not a number of percentage points"]),
        (["--sst2-tolerance", "half"], ["'half' is not a number"]),
        (["--sst2-alpha", "0"], ["'0' is not a number above 0 and below 1"]),
        (["--sst2-alpha", "1"], ["'1' is not a number above 0 and below 1"]),
        (["--sst2-save", "../main"], ["'../main' is not a baseline name"]),
        (["--sst2-save", " "], ["a value is missing"]),
        (["--sst2-compare", "main"], ["no baseline 'main'", "Save one with --sst2-save NAME"]),
    ],
)
def test_a_bad_value_ends_the_run_before_anything_is_loaded(
    cells: pytest.Pytester, arguments: list[str], fragments: list[str]
) -> None:
    result = cells.runpytest(*arguments)
    assert result.ret == USAGE_ERROR
    for fragment in fragments:
        result.stderr.fnmatch_lines([f"*{fragment}*"])
    assert "Traceback" not in result.stderr.str()


@pytest.mark.parametrize("module", ["conftest", "other_plugin"])
def test_a_bare_option_gives_way_to_its_other_owner(cells: pytest.Pytester, module: str) -> None:
    cells.makepyfile(
        **{
            module: """
            def pytest_addoption(parser):
                parser.addoption("--models", default="theirs", help="somebody else's")

            def pytest_report_header(config):
                return f"their models: {config.getoption('--models')}"
            """
        }
    )
    arguments = [] if module == "conftest" else ["-p", module]
    cells.syspathinsert()
    theirs = cells.runpytest(*arguments, "--collect-only", "--models", "cars", "--methods", "fine-tune")
    assert theirs.ret == pytest.ExitCode.OK
    theirs.stdout.fnmatch_lines(["their models: cars", "*minilm-fine-tune-seed42*"])
    ours = cells.runpytest(
        *arguments, "--collect-only", "-q", "--sst2-models", "bert-tiny", "--sst2-methods", "fine-tune"
    )
    assert collected(ours) == ["bert-tiny-fine-tune-seed42"]


def test_the_value_of_a_bare_option_is_not_taken_for_a_folder_of_tests(cells: pytest.Pytester) -> None:
    folder = cells.mkdir("encoder")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "conftest.py").write_text("raise RuntimeError('collected a model')", encoding="utf-8")
    result = cells.runpytest("--collect-only", "-q", "--models", "encoder/", "--methods", "fine-tune")
    assert collected(result) == ["encoder-fine-tune-seed42"]


def test_without_the_plugin_its_options_are_unknown_and_nothing_else_happens(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_passes(): ...")
    assert pytester.runpytest("-p", "no:sst2").ret == pytest.ExitCode.OK
    assert pytester.runpytest("-p", "no:sst2", "--sst2-data", "pocket").ret == USAGE_ERROR


def test_every_option_has_an_ini_twin_and_a_help_text(pytester: pytest.Pytester) -> None:
    help_text = pytester.runpytest("--help").stdout.str()
    for option in options.OPTIONS:
        assert option.flag in help_text
        assert f"{option.dest} (" in help_text
    assert "--models" in help_text
