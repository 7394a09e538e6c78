"""The two workflows of the page on CI: the gate of a pull request, and the comment that its report becomes."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_sst2.report import write
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from tests.support import ROOT
from tests.support.comparisons import HELD, REGRESSED, UNDECIDED, comparison

EXAMPLES = ROOT / "docs" / "examples"
GATE, COMMENT = EXAMPLES / "sst2.yml", EXAMPLES / "sst2-comment.yml"
MARKER = "<!-- sst2 -->"
BOT = {"login": "github-actions[bot]"}
# Answers as GitHub's client does, from files; writes down what would be sent.
GH = """#!/usr/bin/env bash
[ "$1 $2 $4 $5" = "run download --name sst2" ] && { cp -r artifact/. .; exit; }
for word; do
  case $word in repos/*) path=$word;; --method=*) method=${word#*=};; --field) body=body;; esac
  [ "$previous" = --jq ] && filter=$word
  previous=$word
done
if [ "$body" ]; then echo "${method:-POST} $path" >> sent; cp "$body" sent-body
else jq -r "$filter" "$(basename "$path").json"; fi
"""


def workflow(path: Path) -> dict[Any, Any]:
    """Return a workflow; YAML reads the key ``on`` as True."""
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def test_the_page_shows_both_files_and_they_are_short() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    lines = [line for path in (GATE, COMMENT) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert all(f"```{{literalinclude}} examples/{path.name}\n" in page for path in (GATE, COMMENT))
    assert page.count("uses: actions/") == 0


class TestGate:
    @pytest.fixture
    def steps(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = workflow(GATE)["jobs"]["gate"]["steps"]
        return steps

    def test_a_forks_code_runs_without_a_secret(self) -> None:
        assert workflow(GATE)[True] == ["pull_request", "workflow_dispatch"]
        assert workflow(GATE)["permissions"] == {"contents": "read"}
        assert "secrets" not in GATE.read_text(encoding="utf-8")

    def test_by_hand_it_measures_the_baseline_and_for_a_pull_request_the_same_against_it(
        self, steps: list[dict[str, Any]], pytester: pytest.Pytester
    ) -> None:
        (command,) = [step["run"] for step in steps if "pytest " in step.get("run", "")]
        choice = re.search(r"\$\{\{ github\.event_name == 'pull_request' && '([^']*)' \|\| '' \}\}", command)
        assert choice
        by_hand, gate = (
            pytester.parseconfig(*shlex.split(command.replace(choice[0], added))[3:]).option
            for added in ("", choice[1])
        )
        assert (gate.sst2_models, gate.sst2_data, by_hand.sst2_models) == (("minilm",), "hub", ("minilm",))
        assert gate.sst2_compare == "origin/main:.sst2/main.json"
        assert gate.sst2_fail_on == ("regressed", "incomparable", "missing")
        assert by_hand.sst2_compare is None

        upload = steps[-1]["with"]
        report, baseline = upload["path"].split()
        assert (report, Path(baseline).stem) == (str(gate.sst2_report), gate.sst2_save)
        assert upload["include-hidden-files"] is True


class TestComment:
    @pytest.fixture
    def job(self) -> dict[str, Any]:
        job: dict[str, Any] = workflow(COMMENT)["jobs"]["comment"]
        return job

    def test_it_runs_nothing_of_the_pull_request_and_takes_nothing_from_it_but_text(self, job: dict[str, Any]) -> None:
        trigger = workflow(COMMENT)[True]
        assert trigger == {"workflow_run": {"workflows": [workflow(GATE)["name"]], "types": ["completed"]}}
        assert job["if"] == "github.event.workflow_run.event == 'pull_request'"
        assert job["permissions"] == {"actions": "read", "pull-requests": "write"}
        # No action and no checkout, and no expression that a name of a branch could break out of.
        assert [sorted(step) for step in job["steps"]] == [["run"]]
        assert "${{" not in job["steps"][0]["run"]
        assert job["env"] == {
            "GH_TOKEN": "${{ github.token }}",
            "GH_REPO": "${{ github.repository }}",
            "RUN": "${{ github.event.workflow_run.id }}",
            "COMMIT": "${{ github.event.workflow_run.head_sha }}",
        }

    @pytest.fixture
    def run(self, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        if not shutil.which("jq") or not shutil.which("bash"):
            pytest.skip("needs bash and jq")
        (tmp_path / "gh").write_text(GH, encoding="utf-8")
        (tmp_path / "gh").chmod(0o755)
        (tmp_path / "artifact" / "sst2").mkdir(parents=True)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        for name, value in {"RUN": "7", "COMMIT": "c" * 40, "GH_REPO": "me/mine"}.items():
            monkeypatch.setenv(name, value)

        def run(report: str | None, comments: list[dict[str, Any]], heads: dict[int, str]) -> tuple[list[str], str]:
            """Run the script; return what it sent and the last body."""
            pulls = [{"number": number, "head": {"sha": head}} for number, head in heads.items()]
            (tmp_path / "pulls.json").write_text(json.dumps(pulls), encoding="utf-8")
            (tmp_path / "comments.json").write_text(json.dumps(comments), encoding="utf-8")
            if report is not None:
                (tmp_path / "artifact" / "sst2" / write.MARKDOWN).write_text(report, encoding="utf-8")
            done = subprocess.run(
                ["bash", "-e", "-c", job["steps"][0]["run"]], cwd=tmp_path, check=False, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            sent = tmp_path / "sent"
            return (sent.read_text().splitlines(), (tmp_path / "sent-body").read_text()) if sent.exists() else ([], "")

        return run

    def test_the_first_report_becomes_a_comment_and_the_next_replaces_it(self, run: Any) -> None:
        others = [
            {"id": 1, "user": {"login": "someone"}, "body": f"quoting {MARKER}"},
            {"id": 2, "user": BOT, "body": "of another workflow"},
        ]
        ours = {"id": 3, "user": BOT, "body": f"an older report\n{MARKER}"}
        first, body = run("report $(touch broken)\n", others, {4: "d" * 40, 5: "c" * 40})
        assert first == ["POST repos/me/mine/issues/5/comments"]
        assert body == f"report $(touch broken)\n{MARKER}\n"
        sent, _ = run("report\n", [*others, ours, {"id": 4, "user": BOT, "body": "later"}], {5: "c" * 40})
        assert sent[1:] == ["PATCH repos/me/mine/issues/comments/3"]

    def test_a_gate_without_a_report_gives_no_verdict(self, run: Any) -> None:
        sent, body = run(None, [], {5: "c" * 40})
        assert sent == ["POST repos/me/mine/issues/5/comments"]
        assert body.startswith("⚪ **No verdict:** ")

    def test_a_pull_request_that_has_moved_on_is_left_alone(self, run: Any) -> None:
        assert run("report\n", [], {5: "e" * 40}) == ([], "")


@pytest.mark.parametrize(
    ("cell", "start"),
    [(HELD, "✅ **HOLDS: "), (UNDECIDED, "⚪ **UNDECIDED: "), (REGRESSED, "❌ **FAILS: ")],
    ids=["held", "undecided", "regressed"],
)
def test_the_verdict_is_the_first_word_of_the_comment_and_undecided_is_neutral(cell: Any, start: str) -> None:
    text = markdown(make_report(Results([], []), comparison(cell), ("regressed",)))
    assert text.startswith(start)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_report_of_a_real_run_names_the_age_and_the_commit_of_the_baseline(project: pytest.Pytester) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "first")
    first = git("rev-parse", "HEAD")
    assert project.runpytest("--methods=majority", "--sst2-save=main").ret == 0
    baseline = project.path / ".sst2" / "main.json"
    data = json.loads(baseline.read_text(encoding="utf-8"))
    data["saved"] = re.sub("^20..", "2020", data["saved"])
    baseline.write_text(json.dumps(data), encoding="utf-8")
    git("add", "-Af")
    git("commit", "-qm", "second")
    asked = ("--sst2-compare=HEAD:.sst2/main.json", "--sst2-report=sst2")
    assert project.runpytest("--methods=majority", *asked).ret == 0
    lines = (project.path / "sst2" / write.MARKDOWN).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("✅ **HOLDS: majority ")
    second = git("rev-parse", "HEAD")
    assert re.match(
        rf"HEAD:\.sst2/main\.json \(saved 2020-..-.., 2,\d\d\d days earlier, commit {first[:9]}\) → "
        rf"this run \(commit {second[:9]}\); at worst: ",
        lines[4],
    ), lines[4]
