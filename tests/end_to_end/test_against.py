"""``--sst2-against``: cells of one run compared with one another, below the table and in every report."""

from __future__ import annotations

import pytest

from pytest_sst2.cli.main import main

METHODS = ("--methods", "tfidf,majority")


def section(result: pytest.RunResult) -> str:
    """Return what was printed about the comparison within the run."""
    _, *sections = str(result.stdout).split("= SST-2 within the run =")
    assert len(sections) == 1
    return sections[0]


def test_the_answer_is_below_the_table_and_fails_nothing_unless_asked(project: pytest.Pytester) -> None:
    asked = (*METHODS, "--sst2-against", "tfidf")
    run = project.runpytest(*asked, "--sst2-json=run.json", "--sst2-report=out")
    assert run.ret == 0
    answer = section(run)
    assert "majority" in answer
    assert "tfidf" in answer
    for name in ("html", "md", "csv"):
        assert "against" in (project.path / "out" / f"sst2-report.{name}").read_text("utf-8")
    # Everything is as in the first run, so the cells are taken from it.
    again = project.runpytest(*asked, "--sst2-resume=run.json")
    assert section(again).splitlines()[1] == answer.splitlines()[1]


def test_a_fail_on_that_was_typed_is_about_the_pairs_if_there_is_no_baseline(project: pytest.Pytester) -> None:
    asked = ("--sst2-against", "tfidf=majority", "--sst2-fail-on=regressed,undecided,incomparable")
    run = project.runpytest(*METHODS, *asked)
    assert run.ret == 1
    run.stdout.fnmatch_lines(["ERROR: 1 pair of cells failed: majority against tfidf: *"])
    project.runpytest(*METHODS, "--sst2-save=main")
    assert project.runpytest(*METHODS, *asked, "--sst2-compare=main").ret == 0


def test_an_unknown_name_ends_the_run_before_it_starts(project: pytest.Pytester) -> None:
    run = project.runpytest(*METHODS, "--sst2-against", "tfdif")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines(["ERROR: --sst2-against tfdif: this run has no model, method or cell*mean 'tfidf'?*"])


def test_a_question_of_an_ini_file_that_this_run_cannot_answer_is_a_note(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nsst2_against = linear-probe=fine-tune\n")
    run = project.runpytest(*METHODS)
    assert run.ret == 0
    run.stdout.fnmatch_lines(["nothing to compare", "note: --sst2-against linear-probe=fine-tune: *have no *"])


def test_shards_say_what_to_type_after_the_merge(project: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        shard = (f"--sst2-shard={number}/2", f"--sst2-json={number}.json")
        run = project.runpytest(*METHODS, "--sst2-against", "tfidf", *shard)
        assert run.ret == 0
        run.stdout.fnmatch_lines(["--sst2-against: after the merge * pytest-sst2 compare FILE --pair tfidf"])
    assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
    capsys.readouterr()
    assert main(["compare", "all.json", "--pair", "tfidf"]) == 0
    assert "majority" in capsys.readouterr().out
