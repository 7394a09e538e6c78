"""Settings: read from the command line and from ini files, with old names of options."""

from __future__ import annotations

import glob
import re

import pytest

from pytest_sst2.cli.main import _parse as parsed
from pytest_sst2.config import options
from tests.conftest import collected
from tests.support import ROOT

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
NINE = pytest.mark.skipif(pytest.version_tuple < (9,), reason="pytest 9 is the first to read this table")
SEEDS = "--sst2-seeds=1,2,3,4,5"


def test_three_tokens_are_enough_for_a_word(cells: pytest.Pytester) -> None:
    result = cells.runpytest("--collect-only", "-q", "--methods=linear-probe", "--sst2-max-length=3")
    assert collected(result) == ["minilm-linear-probe-seed42"]


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
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.01 0.01 ('regressed', 'incomparable') False None"])
    pytester.makeini("[pytest]\nsst2_tolerance = 1\nsst2_alpha = 0.05\nsst2_fail_on = none\n")
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.01 0.05 () False None"])
    pytester.makeini("[pytest]\nsst2_fail_on = drifted, slower\nsst2_overwrite = true\nsst2_save = main\n")
    pytester.runpytest("-s").stdout.fnmatch_lines(["*rule: 0.01 0.01 ('drifted', 'slower') True main"])


def toml(project: pytest.Pytester, table: str, line: str) -> pytest.RunResult:
    """Return what becomes of a collection with one line in a table of ``pyproject.toml``."""
    project.makepyprojecttoml(f"[{table}]\naddopts = {'[]' if table == 'tool.pytest' else repr('')}\n{line}\n")
    return project.runpytest("--collect-only", "-q")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('sst2_models = [["a"]]', 'ini option sst2_models: ["a"] is neither a string nor a number, and the list'),
        ("sst2_seeds = [{ a = 1 }]", 'ini option sst2_seeds: {"a": 1} is neither a string nor a number'),
        ("sst2_methods = [true]", "ini option sst2_methods: true is neither a string nor a number"),
        ("sst2_seeds = [1.5]", "ini option sst2_seeds: '1.5' is not a seed"),
        ("sst2_methods = []", "ini option sst2_methods: the list is empty; give a value, or remove the line"),
        ("sst2_fail_on = []", "ini option sst2_fail_on: the list is empty"),
        ('sst2_metrics = ""', "ini option sst2_metrics: the list is empty"),
    ],
)
def test_a_list_in_a_toml_file_that_cannot_be_meant_is_refused_with_a_sentence(
    cells: pytest.Pytester, line: str, said: str
) -> None:
    result = toml(cells, "tool.pytest.ini_options", line)
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {glob.escape(said)}*"])
    assert "INTERNALERROR" not in result.stderr.str()


@pytest.mark.parametrize(
    "words", [("--sst2-labels", "-1,1"), ("--sst2-labels=-1,1",), ("--sst2-columns", "-a,b", "--sst2-labels", "-1,1")]
)
def test_a_label_may_start_with_a_minus(words: tuple[str, ...], cells: pytest.Pytester) -> None:
    config = cells.parseconfig("--sst2-data=.", *words, "-q")
    assert config.option.sst2_labels == ("-1", "1")
    assert config.option.verbose == -1
    (flag,) = parsed(["upgrade", "torch==1", *words[-2:]]).flags
    assert flag == "--sst2-labels=-1,1"


@pytest.mark.parametrize("more", [(), ("-q",), ("--collect-only",)])
def test_a_missing_pair_is_an_error_and_no_default(more: tuple[str, ...], cells: pytest.Pytester) -> None:
    result = cells.runpytest("--sst2-data=.", "--sst2-labels", *more)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --sst2-labels: a value is missing."])


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
