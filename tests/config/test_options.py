"""Options: refused with a sentence, read from ini files, and out of everybody else's way."""

from __future__ import annotations

import argparse
import glob
import re
from pathlib import Path

import pytest

from pytest_sst2.config import option_parsers as option_types
from pytest_sst2.config import options
from pytest_sst2.config.recipes import DTYPES, PRESETS
from tests.conftest import collected
from tests.support import ROOT

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
NINE = pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 9 is the first to read this table")


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
        (["--models", ","], ["names nothing"]),
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
            ["'slow' is not one of regressed, slower, more-memory", "mean 'slower'?"],
        ),
        (["--sst2-fail-on", ","], ["names nothing"]),
        (["--sst2-tolerance", "-1"], ["'-1' is not a number of percentage points from 0 to 100"]),
        (["--sst2-tolerance", "101"], ["'101' is not a number of percentage points"]),
        (["--sst2-tolerance", "half"], ["'half' is not a number"]),
        (["--sst2-alpha", "0"], ["'0' is not a number above 0 and below 1"]),
        (["--sst2-alpha", "1"], ["'1' is not a number above 0 and below 1"]),
        (["--sst2-save", "../main"], ["'../main' is no name for a baseline"]),
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


@pytest.mark.parametrize("marker", ["'tfidf', added=True", "removed=True", "methods=['tfidf']"])
def test_a_marker_that_says_something_else_is_told_what_it_takes(pytester: pytest.Pytester, marker: str) -> None:
    pytester.makepyfile(f"import pytest\n@pytest.mark.sst2({marker})\ndef test_cell(sst2_run): ...")
    result = pytester.runpytest("--collect-only", "-q")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*it takes names of methods, or added=True alone, not *"])


def test_three_tokens_are_enough_for_a_word(cells: pytest.Pytester) -> None:
    result = cells.runpytest("--collect-only", "-q", "--methods=linear-probe", "--sst2-max-length=3")
    assert collected(result) == ["minilm-linear-probe-seed42"]


def test_repeated_models_and_methods_make_one_cell_each(cells: pytest.Pytester) -> None:
    names = "minilm,minilm,sentence-transformers/all-MiniLM-L6-v2"
    result = cells.runpytest("--collect-only", "-q", "--models", names, "--methods", "tfidf,linear-probe,tfidf")
    assert collected(result) == ["tfidf-seed42", "minilm-linear-probe-seed42"]


def test_every_seed_is_a_cell_and_methods_without_a_model_run_once(cells: pytest.Pytester) -> None:
    result = cells.runpytest(
        "--collect-only",
        "-q",
        "--models",
        "minilm,bert-tiny",
        "--methods",
        "majority,fine-tune",
        "--sst2-seeds",
        "7,1,7",
    )
    assert collected(result) == [
        "majority-seed7",
        "majority-seed1",
        "minilm-fine-tune-seed7",
        "minilm-fine-tune-seed1",
        "bert-tiny-fine-tune-seed7",
        "bert-tiny-fine-tune-seed1",
    ]


def test_two_folders_of_one_name_stay_two_cells(cells: pytest.Pytester, tmp_path: Path) -> None:
    for parent in ("old", "new"):
        (tmp_path / parent / "encoder").mkdir(parents=True)
        (tmp_path / parent / "encoder" / "config.json").write_text("{}", encoding="utf-8")
    names = ",".join(str(tmp_path / parent / "encoder") for parent in ("old", "new"))
    result = cells.runpytest("--collect-only", "-q", "--models", names, "--methods", "fine-tune")
    assert collected(result) == ["encoder-fine-tune-seed42", "new/encoder-fine-tune-seed42"]


def test_ini_values_stand_in_for_options_and_the_command_line_wins(cells: pytest.Pytester) -> None:
    cells.makeini("[pytest]\nsst2_models = bert-tiny\nsst2_methods = fine-tune\nsst2_seeds = 3,4\n")
    from_ini = cells.runpytest("--collect-only", "-q")
    assert collected(from_ini) == ["bert-tiny-fine-tune-seed3", "bert-tiny-fine-tune-seed4"]
    overridden = cells.runpytest("--collect-only", "-q", "--sst2-seeds", "9")
    assert collected(overridden) == ["bert-tiny-fine-tune-seed9"]


def test_a_bad_ini_value_is_named_by_its_ini_name(cells: pytest.Pytester) -> None:
    cells.makeini("[pytest]\nsst2_train_size = many\n")
    result = cells.runpytest()
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ini option sst2_train_size: 'many' is not a whole number*"])


def test_an_ini_path_starts_from_the_ini_files_folder(cells: pytest.Pytester) -> None:
    cells.mkdir("reviews")
    below = cells.mkdir("below")
    cells.makeini("[pytest]\nsst2_data = reviews\n")
    cells.chdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        result = cells.runpytest("--collect-only", "-q", "..")
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize("value", ["bert-tiny,minilm", "bert-tiny, minilm", "bert-tiny minilm"])
def test_an_ini_list_may_have_commas_or_spaces(cells: pytest.Pytester, value: str) -> None:
    cells.makeini(f"[pytest]\nsst2_models = {value}\nsst2_methods = fine-tune\n")
    assert collected(cells.runpytest("--collect-only", "-q")) == [
        "bert-tiny-fine-tune-seed42",
        "minilm-fine-tune-seed42",
    ]


def test_a_path_that_leads_pytest_away_from_its_ini_file_is_refused_with_the_way_out(
    cells: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    cells.makeini("[pytest]\nsst2_methods = tfidf\n")
    lost = cells.runpytest("--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert lost.ret == USAGE_ERROR
    lost.stderr.fnmatch_lines(
        [f"ERROR: pytest took '{elsewhere}' for a folder of tests*Write --sst2-data={elsewhere} *"]
    )
    kept = cells.runpytest("--collect-only", "-q", f"--sst2-data={elsewhere}")
    assert collected(kept) == ["tfidf-seed42"]
    also_kept = cells.runpytest(str(cells.path), "--collect-only", "-q", "--sst2-data", str(elsewhere))
    assert collected(also_kept) == ["tfidf-seed42"]


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


def test_the_gate_s_options_are_plain_values() -> None:
    parse = option_types.several_of(("regressed", "slower"))
    assert parse("slower, regressed,slower") == ("slower", "regressed")
    assert parse("none") == parse(" none ") == ()
    assert option_types.points("0.5") == 0.005
    assert (option_types.points("0"), option_types.points("100")) == (0.0, 1.0)
    assert option_types.probability("0.01") == 0.01


def test_the_gate_s_rule_is_half_a_point_at_one_percent_and_can_stand_in_an_ini_file(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        def test_cell(sst2_settings):
            found = sst2_settings
            print("rule:", found.tolerance, found.alpha, found.fail_on, found.overwrite, found.save)
        """
    )
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.005 0.01 ('regressed', 'incomparable') False None"])
    pytester.makeini("[pytest]\nsst2_tolerance = 1\nsst2_alpha = 0.05\nsst2_fail_on = none\n")
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.01 0.05 () False None"])
    pytester.makeini("[pytest]\nsst2_fail_on = drifted, slower\nsst2_overwrite = true\nsst2_save = main\n")
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.005 0.01 ('drifted', 'slower') True main"])


@pytest.mark.parametrize(
    ("text", "allowed", "guess"),
    [
        ("gpu", options.DEVICES, "cuda"),
        ("GPU:0", options.DEVICES, "cuda"),
        ("cuda:1", options.DEVICES, "cuda"),
        ("metal", options.DEVICES, "mps"),
        ("gpu", ("cpu", "gpus"), "gpus"),
        ("float64", DTYPES, ""),
        ("float6", DTYPES, ""),
        ("floa32", DTYPES, "float32"),
        ("bf16", DTYPES, "bfloat16"),
        ("half", DTYPES, "float16"),
        ("homework", tuple(PRESETS), "homework9"),
        ("homework8", tuple(PRESETS), ""),
    ],
)
def test_a_guess_is_what_was_meant_or_there_is_none(text: str, allowed: tuple[str, ...], guess: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        option_types.one_of(allowed)(text)
    assert str(caught.value).partition(". ")[2] == (f"Did you mean {guess!r}?" if guess else "")


@pytest.mark.parametrize("value", ["", " ", ",,"])
def test_names_wants_at_least_one(value: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="names nothing"):
        option_types.names(value)


def test_every_option_has_an_ini_twin_and_a_help_text(pytester: pytest.Pytester) -> None:
    help_text = pytester.runpytest("--help").stdout.str()
    for option in options.OPTIONS:
        assert option.flag in help_text
        assert f"{option.dest} (" in help_text
    assert "--models" in help_text


def toml(project: pytest.Pytester, table: str, line: str) -> pytest.RunResult:
    """Return what becomes of a collection with one line in a table of ``pyproject.toml``."""
    project.makepyprojecttoml(f"[{table}]\naddopts = {'[]' if table == 'tool.pytest' else repr('')}\n{line}\n")
    return project.runpytest("--collect-only", "-q")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('sst2_models = [["a"]]', 'ini option sst2_models: ["a"] is neither a text nor a number, and nothing else'),
        ("sst2_seeds = [{ a = 1 }]", 'ini option sst2_seeds: {"a": 1} is neither a text nor a number'),
        ("sst2_methods = [true]", "ini option sst2_methods: true is neither a text nor a number"),
        ("sst2_seeds = [1.5]", "ini option sst2_seeds: '1.5' is not a seed"),
        ("sst2_methods = []", "ini option sst2_methods: it names nothing; give a value, or leave the line out"),
        ("sst2_fail_on = []", "ini option sst2_fail_on: it names nothing"),
        ('sst2_metrics = ""', "ini option sst2_metrics: it names nothing"),
    ],
)
def test_a_list_in_a_toml_file_that_cannot_be_meant_is_refused_with_a_sentence(
    cells: pytest.Pytester, line: str, said: str
) -> None:
    result = toml(cells, "tool.pytest.ini_options", line)
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {glob.escape(said)}*"])
    assert "INTERNALERROR" not in result.stderr.str()


class TestTheTablesOfATomlFile:
    """What docs/reference.md says of either."""

    @pytest.mark.parametrize("line", ["sst2_seeds = [1, 2]", 'sst2_seeds = ["1", "2"]', 'sst2_seeds = "1,2"'])
    def test_ini_options_take_text_and_lists_of_texts_and_numbers(self, cells: pytest.Pytester, line: str) -> None:
        result = toml(cells, "tool.pytest.ini_options", f'{line}\nsst2_methods = ["tfidf"]\nsst2_no_cache = true')
        assert collected(result) == ["tfidf-seed1", "tfidf-seed2"]

    @NINE
    def test_the_table_of_pytest_9_takes_lists_of_texts_switches_and_texts(self, cells: pytest.Pytester) -> None:
        lines = 'sst2_methods = ["tfidf"]\nsst2_seeds = ["1", "2"]\nsst2_no_cache = true\nsst2_rounds = "3"'
        assert collected(toml(cells, "tool.pytest", lines)) == ["tfidf-seed1", "tfidf-seed2"]

    @NINE
    @pytest.mark.parametrize(
        "line", ['sst2_methods = "tfidf"', "sst2_seeds = [1]", 'sst2_no_cache = "true"', "sst2_rounds = 3"]
    )
    def test_the_table_of_pytest_9_refuses_any_other(self, cells: pytest.Pytester, line: str) -> None:
        result = toml(cells, "tool.pytest", line)
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *'{line.partition(' ')[0]}' expects *"])

    def test_the_reference_names_the_options_that_are_lists_there(self) -> None:
        reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
        lists = ", ".join(f"`{option.dest}`" for option in options.OPTIONS if option.ini_kind == "args")
        assert f"these are lists of quoted texts: {lists} (" in reference


SEEDS = "--sst2-seeds=1,2,3,4,5"


class TestOldNames:
    """They work for one more release, with a warning."""

    def test_the_old_flag_still_calibrates(self, project: pytest.Pytester) -> None:
        result = project.runpytest("--methods=majority", "--sst2-calibrate", SEEDS, "--sst2-floors=floors.toml")
        result.assert_outcomes(passed=5, warnings=1)
        result.stdout.fnmatch_lines_random(
            [
                "1 floor in *floors.toml",
                "*DeprecationWarning: --sst2-calibrate is deprecated; use --sst2-calibrate-floors*",
            ]
        )

    def test_so_does_the_old_ini_option(self, cells: pytest.Pytester) -> None:
        cells.makeini("[pytest]\nsst2_calibrate = true\n")
        result = cells.runpytest("--collect-only", "-q", "--methods=majority", "--sst2-seeds=1")
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --sst2-calibrate-floors needs at least 5 seeds and got 1*"])
        cells.makeini("[pytest]\nsst2_calibrate = false\n")
        result = cells.runpytest("--collect-only", "-q", "--methods=majority", "--sst2-seeds=1")
        assert collected(result) == ["majority-seed1"]
        assert "deprecated" not in result.stdout.str()

    @pytest.mark.parametrize("in_ini", [False, True])
    def test_an_old_word_of_the_gate_is_the_new_one(self, pytester: pytest.Pytester, in_ini: bool) -> None:
        pytester.makepyfile("def test_cell(sst2_settings): print('rule:', sst2_settings.fail_on)")
        if in_ini:
            pytester.makeini("[pytest]\nsst2_fail_on = heavier, slower, more-memory\n")
        result = pytester.runpytest("-s", *([] if in_ini else ["--sst2-fail-on=heavier,slower,more-memory"]))
        result.stdout.fnmatch_lines(
            [
                "*rule: ('more-memory', 'slower')",
                "*DeprecationWarning: --sst2-fail-on: 'heavier' is deprecated; use 'more-memory'.",
            ]
        )

    def test_where_warnings_are_errors_the_run_ends_with_the_sentence(self, cells: pytest.Pytester) -> None:
        result = cells.runpytest("-W", "error", "--sst2-fail-on=heavier")
        assert result.ret == USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: --sst2-fail-on: 'heavier' is deprecated; use 'more-memory'."])

    def test_the_help_shows_the_new_flag_alone(self, pytester: pytest.Pytester) -> None:
        help_text = pytester.runpytest("--help").stdout.str()
        assert "--sst2-calibrate-floors" in help_text
        assert not re.search(r"--sst2-calibrate(?!-)", help_text)
