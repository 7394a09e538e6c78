"""``--sst2-against``: cells of one run compared with one another, below the table and in every report."""

from __future__ import annotations

import shlex

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
    rule = ("--sst2-tolerance=70", "--sst2-alpha=0.02", "--sst2-fail-on=regressed,slower")
    for number in (1, 2):
        shard = (f"--sst2-shard={number}/2", f"--sst2-json={number}.json")
        run = project.runpytest(*METHODS, "--sst2-against", "tfidf", *shard, *rule)
        assert run.ret == 0
        (line,) = [line for line in run.outlines if line.startswith("--sst2-against: after the merge of the shards, ")]
    assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
    words = shlex.split(line.partition(", pytest-sst2 ")[2].replace("FILE", "all.json"))
    # It judges as the shards were asked to; times of two cells are not compared.
    assert words[4:] == ["--tolerance", "70", "--alpha", "0.02", "--fail-on", "regressed"]
    capsys.readouterr()
    assert main(words) == 0
    joined = capsys.readouterr().out
    # The run of all cells gives the same answer, from the cells that the shards measured.
    whole = project.runpytest(*METHODS, "--sst2-against", "tfidf", "--sst2-resume=all.json", *rule)
    assert joined.splitlines()[0] == section(whole).splitlines()[1]
    assert "held" in joined


@pytest.mark.processes
def test_workers_answer_as_one_process_does(project: pytest.Pytester) -> None:
    asked = (*METHODS, "--sst2-seeds=1,2", "--sst2-against=tfidf", "--sst2-fail-on=regressed,undecided")
    alone, workers = (project.runpytest(*asked, *more) for more in ((), ("-n", "2")))
    assert section(alone).splitlines()[1:6] == section(workers).splitlines()[1:6]
    for run in (alone, workers):
        assert run.ret == 1
        run.stdout.fnmatch_lines(["ERROR: 1 pair of cells failed: majority against tfidf: *"])
