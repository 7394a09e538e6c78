"""Test the hooks that receive records and the comparison, and the examples for them in the documentation."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import pytest

from pytest_sst2 import hookspec
from tests.conftest import results
from tests.support.comparisons import HELD, REGRESSED, comparison

SEEDS = ("--methods=majority", "--sst2-seeds=1,2")
COLLECT = """
def pytest_sst2_record(record):
    with open("seen", "a") as seen:
        seen.write(f"{record.cell} {record.accuracy:.4f}\\n")

def pytest_sst2_comparison(comparison):
    with open("seen", "a") as seen:
        seen.write(" ".join(cell.verdict for cell in comparison.cells))
"""


def example(hook: Any) -> str:
    return textwrap.dedent((inspect.getdoc(hook) or "").partition("Example::\n\n")[2])


def lines(project: pytest.Pytester) -> list[str]:
    return (project.path / "seen").read_text().splitlines()


def test_each_record_and_then_the_comparison_is_received(project: pytest.Pytester) -> None:
    project.runpytest(*SEEDS, "--sst2-save=main")
    project.makeconftest(COLLECT)
    assert project.runpytest(*SEEDS, "--sst2-compare=main").ret == 0
    first, second, verdicts = lines(project)
    assert (first.split()[0], second.split()[0], verdicts) == ("majority-seed1", "majority-seed2", "identical")


def test_a_record_of_an_earlier_run_is_not_received_again(project: pytest.Pytester) -> None:
    project.makeconftest(COLLECT)
    project.runpytest("--methods=majority", "--sst2-seeds=1", "--sst2-json=r.json")
    project.runpytest(*SEEDS, "--sst2-resume=r.json")
    assert [line.split()[0] for line in lines(project)] == ["majority-seed1", "majority-seed2"]


@pytest.mark.processes
def test_with_xdist_the_controller_receives_every_record_once(project: pytest.Pytester) -> None:
    project.makeconftest(COLLECT)
    project.runpytest(*SEEDS, "-n", "2")
    assert sorted(line.split()[0] for line in lines(project)) == ["majority-seed1", "majority-seed2"]


@pytest.mark.parametrize("error", ["raise KeyError('team')", "pytest.fail('team')"])
def test_a_hook_that_fails_is_a_problem_and_loses_nothing(error: str, project: pytest.Pytester) -> None:
    project.makeconftest(f"import pytest\ndef pytest_sst2_record(record):\n    {error}\n")
    run = project.runpytest(*SEEDS, "--sst2-save=main", "--sst2-json=r.json")
    assert run.ret == 1
    run.assert_outcomes(passed=2)
    run.stdout.re_match_lines(
        [r"ERROR: the hook pytest_sst2_record failed \(\w+: '?team'?\), and was not called again\."]
    )
    assert run.stdout.str().count("the hook pytest_sst2_record failed") == 1
    for name in ("r.json", ".sst2/main.json"):
        assert len(results(project.path / name)["records"]) == 2


class TestExamples:
    """The examples of the hooks' documentation, as they stand."""

    def test_mlflow_gets_parameters_and_accuracy(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            mlflow="""
            import contextlib

            @contextlib.contextmanager
            def start_run(run_name):
                print("began", run_name, file=open("seen", "a"))
                yield

            def log_params(values):
                print(values, file=open("seen", "a"))

            def log_metric(key, value):
                print(key, value, file=open("seen", "a"))
            """
        )
        project.makeconftest(example(hookspec.pytest_sst2_record))
        assert project.runpytest("--methods=majority", "--sst2-seeds=1").ret == 0
        began, params, metric = lines(project)
        assert began == "began majority-seed1"
        assert params == "{'model': None, 'method': 'majority', 'seed': 1}"
        assert metric.split()[0] == "accuracy"

    def test_a_regression_is_annotated_with_its_causes(self, capsys: pytest.CaptureFixture[str]) -> None:
        scope: dict[str, Any] = {}
        exec(example(hookspec.pytest_sst2_comparison), scope)
        scope["pytest_sst2_comparison"](comparison(REGRESSED, HELD))
        assert capsys.readouterr().out == "::error title=minilm × linear-probe regressed::pooling cls, was mean\n"
