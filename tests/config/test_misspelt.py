"""Test that misspelt options are refused with the nearest one, and that those of others are left to pytest."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    ("argument", "nearest"),
    [
        ("--model=x", "--models"),
        ("--method=tfidf", "--methods"),
        ("--seeds=1,2", "--sst2-seeds"),
        ("--seed=1", "--sst2-seeds"),
        ("--sst2-models_=x", "--sst2-models"),
        ("--sst2-min-acc=0.9", "--sst2-min-accuracy"),
        ("--sst2_recipe=quick", "--sst2-recipe"),
        ("--sst2-lr=1", ""),
        ("--timeout=3", ""),
        ("--covv", ""),
    ],
)
def test_a_flag_that_looks_like_an_option_is_refused_with_it(
    argument: str, nearest: str, pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = argument.partition("=")[0]
    with pytest.raises(pytest.UsageError) as refused:
        pytester.parseconfig("-p", "sst2", argument)
    text = str(refused.value)
    assert flag in text
    assert ("Did you mean" in text) == bool(nearest)
    if nearest:
        assert text == f"unrecognized argument {flag!r}. Did you mean {nearest.replace('sst2-models', 'models')!r}?"


def test_the_option_of_another_plugin_is_no_mistake(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--model'); parser.addini('sst2_mine', '')")
    pytester.makeini("[pytest]\nsst2_mine = 1\nsst2_data = pocket")
    assert pytester.parseconfigure("--model", "x").option.model == "x"


def test_a_misspelt_ini_option_is_one_warning_with_the_nearest(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsst2_recpie = full\nsst2_data = pocket")
    pytester.makepyfile("def test_mine(): pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, warnings=1)
    sentence = (
        "*there is no ini option 'sst2_recpie', which *tox.ini sets; it has no effect. Did you mean 'sst2_recipe'?"
    )
    result.stdout.fnmatch_lines([sentence])


def test_a_misspelt_ini_option_on_the_command_line_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nsst2_data = pocket")
    pytester.makeini("[pytest]\nsst2_data = pocket")
    with pytest.raises(pytest.UsageError, match="no ini option 'sst2_dtype_', which -o sets"):
        pytester.parseconfigure("-o", "sst2_dtype_=float32")
