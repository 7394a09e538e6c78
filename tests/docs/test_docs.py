"""The documentation: links lead somewhere, examples are what they say they are, and the site builds."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_sst2.cli import main as cli
from pytest_sst2.results.git_baseline import read_git_file
from tests.conftest import results
from tests.support import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

_FENCE = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page that are in a language."""
    return [body for _, named, body in _FENCE.findall(page.read_text(encoding="utf-8")) if named == language]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the names under which GitHub and the site know the headings of a page."""
    headings = re.findall(r"^#{1,3} (.*)", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_every_relative_link_and_image_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@every_page
def test_no_link_needs_a_network_to_be_read(page: Path) -> None:
    assert "<img" not in prose(page)
    assert not re.search(r"!\[[^\]]*\]\(http", prose(page))


@every_page
def test_every_example_parses(page: Path) -> None:
    for code in blocks(page, "python"):
        ast.parse(code)
    for document in blocks(page, "yaml"):
        assert yaml.safe_load(document)
    for document in blocks(page, "toml"):
        assert tomllib.loads(document)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every command in the fences marked ``sh``, without what is set before it."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


def check_command(words: list[str], pytester: pytest.Pytester) -> bool:
    """Have the command's own parser read it; return whether there was one to ask."""
    if words[1:3] == ["-m", "pytest"]:
        words = words[2:]
    program = Path(words[0]).name
    if program == "pytest":
        # Reads all options, their values included, and loads nothing that they name.
        pytester.parseconfig(*words[1:])
    elif program == "pytest-sst2":
        cli._parser().parse_args(words[1:])
    return program in ("pytest", "pytest-sst2")


@every_page
def test_every_option_in_a_command_exists(page: Path, pytester: pytest.Pytester) -> None:
    for words in commands(page):
        check_command(words, pytester)


def test_an_option_that_does_not_exist_is_noticed(pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match="--sst2-colour"):
        check_command(["python", "-m", "pytest", "--sst2-colour"], pytester)
    with pytest.raises(pytest.UsageError, match="not a whole number"):
        check_command(["pytest", "--sst2-rounds", "many"], pytester)
    with pytest.raises(SystemExit):
        check_command(["pytest-sst2", "compare"], pytester)


class TestShardsWorkflow:
    @pytest.fixture
    def jobs(self) -> dict[str, Any]:
        path = DOCS / "examples" / "sst2-shards.yml"
        jobs: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        return jobs

    def test_its_jobs_measure_every_shard_and_join_their_files(
        self, jobs: dict[str, Any], pytester: pytest.Pytester
    ) -> None:
        numbers = jobs["shard"]["strategy"]["matrix"]["shard"]
        (measure,) = [step["run"] for step in jobs["shard"]["steps"] if "pytest " in step.get("run", "")]
        shards, files = [], []
        for number in numbers:
            words = shlex.split(measure.replace("${{ matrix.shard }}", str(number)))
            assert check_command(words, pytester)
            option = pytester.parseconfig(*words[3:]).option
            shards.append(option.sst2_shard)
            files.append(option.sst2_json)
        assert shards == [(number, len(numbers)) for number in numbers]
        upload = jobs["shard"]["steps"][-1]["with"]
        assert [upload["path"].replace("${{ matrix.shard }}", str(number)) for number in numbers] == files

        runs = [shlex.split(step["run"]) for step in jobs["gate"]["steps"] if "run" in step]
        merge, compare = [words for words in runs if check_command(words, pytester)]
        assert all(fnmatch(file, merge[2]) for file in files)
        assert merge[-1] == compare[3]
        assert "missing" in cli._parser().parse_args(compare[1:]).fail_on

    def test_the_page_shows_the_file_itself(self) -> None:
        text = (DOCS / "ci.md").read_text(encoding="utf-8")
        assert "```{literalinclude} examples/sst2-shards.yml\n" in text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("name", ["sst2", "sst2-shards"])
def test_a_pull_request_is_compared_with_the_baseline_of_main_and_not_with_its_own(name: str, tmp_path: Path) -> None:
    job = yaml.safe_load((DOCS / "examples" / f"{name}.yml").read_text(encoding="utf-8"))["jobs"]["gate"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    (fetch,) = [shlex.split(run) for run in runs if run.startswith("git fetch")]
    (baseline,) = re.findall(r"origin/\S+", next(run for run in runs if "--sst2-compare" in run or " compare " in run))

    def git(folder: Path, *arguments: str) -> None:
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
        subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)

    origin = tmp_path / "origin"
    file = origin / baseline.partition(":")[2]
    file.parent.mkdir(parents=True)
    git(origin, "init", "-q", "-b", "main")
    for branch, text in (("main", "of main"), ("pull-request", "its own")):
        file.write_text(text, encoding="utf-8")
        git(origin, "checkout", "-q", "-B", branch)
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", branch)
    git(tmp_path, "clone", "-q", "--depth=1", "--branch=pull-request", origin.as_uri(), "checkout")
    git(tmp_path / "checkout", *fetch[1:])
    found = read_git_file(tmp_path / "checkout", baseline)
    assert (found.text, bool(found.note)) == ("of main", True)


def spoken() -> str:
    """Return every text of the package's code; where a value is put in, the text is cut."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "pytest_sst2").rglob("*.py")]
    texts = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "\0".join(text for text in texts if isinstance(text, str))


def test_every_message_in_troubleshooting_is_still_said() -> None:
    headings = re.findall(r"^### `([^`]+)`$", (DOCS / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    said = spoken()
    assert len(headings) > 15
    assert [heading for heading in headings if heading not in said] == []


def test_every_cause_in_upgrades_is_still_said() -> None:
    quoted = re.findall(r"`(?:drift|incomparable): ([^`]+)`", (DOCS / "upgrades.md").read_text(encoding="utf-8"))
    assert len(quoted) > 5
    said = re.sub(r"\s+", " ", spoken())
    for sentence in quoted:
        if re.fullmatch(r"\w+ \w+, was \w+", sentence):  # the name and the values of a setting
            continue
        # Between numbers and names of modules, the words of the code.
        parts = [part.strip(" :.,") for part in re.split(r"\.\.\.\S*|\d+|[,:]|but ", sentence)]
        assert any(part in said for part in parts if part.count(" ")), sentence


EXTEND = [*blocks(DOCS / "extend.md", "python"), (DOCS / "examples" / "contrastive.py").read_text(encoding="utf-8")]
ADDED_METHODS = {
    name: code for code in EXTEND for name in re.findall(r'MethodSpec\("([\w-]+)"', code)
}  # the conftests of the page and of the file that it names, by the method that each adds


class TestExtend:
    """The page's own examples, run as they stand."""

    @pytest.mark.parametrize("name", ADDED_METHODS)
    def test_a_method_of_the_page_is_measured_and_its_steps_are_seen(self, name: str, project: pytest.Pytester) -> None:
        project.makeconftest(ADDED_METHODS[name].replace("STEPS, BATCH, RATE = 100,", "STEPS, BATCH, RATE = 3,"))
        project.makepyfile(test_bench="def test_cell(sst2_run):\n    sst2_run.measure()\n")
        result = project.runpytest("--methods", name, "--sst2-json=r.json", "--sst2-save=main")
        result.assert_outcomes(passed=1)
        (record,) = results(project.path / "r.json")["records"]
        needs_model = "needs_model=False" not in ADDED_METHODS[name]
        assert (record["fingerprint"]["encoder"] is not None) == needs_model
        again = project.runpytest("--methods", name, "--sst2-compare=main")
        again.stdout.fnmatch_lines(["HOLDS: * answered every sentence as before"])

    def test_a_record_goes_to_wandb(self, project: pytest.Pytester) -> None:
        project.makepyfile(
            wandb="""
            import contextlib

            @contextlib.contextmanager
            def init(project, name, reinit):
                print("began", project, name, file=open("seen", "a"))
                yield __import__("wandb")

            def log(values):
                print(*values, file=open("seen", "a"))
            """
        )
        self.run_with_hook("wandb", project)
        assert (project.path / "seen").read_text() == "began sst2 majority-seed42\naccuracy\n"

    def test_a_record_goes_into_a_model_card(self, project: pytest.Pytester) -> None:
        from huggingface_hub import ModelCard

        (project.path / "my-encoder").mkdir()
        (project.path / "my-encoder" / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n", encoding="utf-8")
        self.run_with_hook("ModelCard", project)
        card = ModelCard.load(project.path / "my-encoder" / "README.md")
        (result,) = card.data.eval_results
        (record,) = results(project.path / "r.json")["records"]
        assert (result.metric_value, card.data.license) == (record["accuracy"], "mit")

    def run_with_hook(self, name: str, project: pytest.Pytester) -> None:
        (conftest,) = [code for code in EXTEND if "def pytest_sst2_record" in code and name in code]
        project.makeconftest(conftest)
        assert project.runpytest("--methods=majority", "--sst2-json=r.json").ret == 0

    def test_a_model_of_the_page_is_known(self, pytester: pytest.Pytester) -> None:
        (conftest,) = [code for code in EXTEND if "def pytest_sst2_models" in code]
        pytester.makeconftest(conftest)
        pytester.makepyfile("def test_cell(sst2_run): ...")
        shown = pytester.runpytest("--models=minilm-main", "--methods=linear-probe", "--collect-only", "-q")
        shown.stdout.fnmatch_lines(["*test_cell[[]minilm-main-linear-probe-seed42[]]"])

    def test_the_tests_of_the_page_pass(self, project: pytest.Pytester, tiny_encoder: Path) -> None:
        tests = [code for code in EXTEND if "def test_" in code]
        project.makepyfile(test_bench="\n\n".join(tests).replace('"minilm"', repr(str(tiny_encoder))))
        # The tiny encoder does not normalise its embeddings.
        result = project.runpytest("--methods=linear-probe,torch-probe", "--sst2-train-size=120", "-k", "not length")
        result.assert_outcomes(passed=6, deselected=1)


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="needs the extra 'docs' (Sphinx)")
def test_the_site_builds_without_a_warning_and_asks_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    done = subprocess.run([*command, str(DOCS), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in DOCS.glob("*.md")} <= {path.stem for path in tmp_path.glob("*.html")}
    for page in tmp_path.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|link|img)[^>]*(?:src|href)=\"(?:https?:)?//", text), page.name
    assert list(tmp_path.rglob("schema.json"))
