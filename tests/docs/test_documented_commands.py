"""Every command in the README and the docs does what it says: run here, on tiny stand-ins for models and data.

What would install, download or take minutes is not run; that its parts exist is checked instead. A command that
is not known here fails.
"""

from __future__ import annotations

import configparser
import itertools
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_sst2.cli.main import main
from pytest_sst2.results.file import results_from_text
from pytest_sst2.upgrade import ab_run as upgrade_check
from pytest_sst2.upgrade import command as upgrade_command
from pytest_sst2.upgrade.pins import Pins
from tests.support import ROOT

PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
# Small sizes, and no method that takes long; whatever a command says itself comes later and wins.
SMALL = "-p no:cacheprovider --sst2-methods=linear-probe,majority --sst2-train-size=60 --sst2-eval-size=20"
# Whether a run is slower than the one before is the machine's affair here.
UNDECIDED = "slower"

STAND_INS = """
from pathlib import Path

import pytest
from pytest_sst2.models import loader as models
from pytest_sst2.data import sources
from pytest_sst2.config.specs import ModelSpec

ENCODER, DATA = Path({encoder!r}), Path({data!r})
patch = pytest.MonkeyPatch()


def pytest_configure(config):
    locate = models.ModelLoader._locate
    tiny = lambda self, spec: locate(self, ModelSpec(spec.name, folder=ENCODER))
    patch.setattr(models.ModelLoader, "_locate", tiny)
    patch.setattr(sources, "load_hub", lambda: sources.load_folder(DATA))


def pytest_unconfigure(config):
    patch.undo()
"""


def commands(page: str) -> Iterator[str]:
    """Give the commands of a page: the lines of its blocks marked ``sh``, those that are continued joined."""
    for block in re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield shlex.join(words)


@pytest.fixture
def clone(
    _heavy_libraries: None,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tiny_encoder: Path,
    tiny_data: Path,
) -> pytest.Pytester:
    """A clone of the repository as far as its users need it, with what the docs take for granted in it."""
    folder = pytester.path
    (folder / "benchmarks").mkdir()
    for path in [*(ROOT / "benchmarks").glob("*.py"), ROOT / "benchmarks" / "floors.toml"]:
        shutil.copy(path, folder / "benchmarks")
    for name in ("my-encoder", "my-model"):
        shutil.copytree(tiny_encoder, folder / name)
    for name in ("reviews", "glue/SST-2"):
        shutil.copytree(tiny_data, folder / name)
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(STAND_INS.format(encoder=str(tiny_encoder), data=str(tiny_data)))
    monkeypatch.setenv("PYTEST_ADDOPTS", SMALL)
    return pytester


def save(clone: pytest.Pytester, *arguments: str) -> None:
    assert clone.runpytest_inprocess("benchmarks", *arguments).ret == 0


def starts_several(command: str) -> bool:
    """Tell whether a command starts pytest-xdist or Ray."""
    words = command.split()
    return not {"-n", "--sst2-executor"}.isdisjoint(words)


def pages(*, several: bool) -> list[str]:
    """Return the pages with commands that start several processes, or with others."""
    return [page for page in PAGES if any(starts_several(command) is several for command in commands(page))]


@pytest.mark.parametrize(
    ("page", "several"),
    [
        *(pytest.param(page, False, id=page) for page in pages(several=False)),
        *(
            pytest.param(page, True, id=f"{page}, several processes", marks=pytest.mark.processes)
            for page in pages(several=True)
        ),
    ],
)
def test_every_command_of_a_page_works_in_its_order(
    page: str,
    several: bool,
    clone: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = [command for command in commands(page) if starts_several(command) is several]
    # A page that does not begin by saving its baseline takes it for granted.
    first = next((command for command in found if " main" in command), "--sst2-save")
    if "--sst2-save" not in first or "--sst2-overwrite" in first:
        save(clone, "--sst2-save=main")
    for name in {
        word for command in found for word in re.findall(r"\b(?:candidate|results|before|after)\.json", command)
    }:
        save(clone, f"--sst2-json={name}")
    for command in found:
        with monkeypatch.context() as changed:
            # A baseline in a git ref has tests of its own; here the file stands for it.
            words = shlex.split(os.path.expandvars(command).replace("origin/main:", ""))
            while "=" in words[0]:
                changed.setenv(*words.pop(0).split("=", 1))
            check(words, command, clone, capsys)


def check(words: list[str], command: str, clone: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command, or check that its parts exist."""
    if "&&" in words:
        first = words.index("&&")
        check(words[:first], command, clone, capsys)
        check(words[first + 1 :], command, clone, capsys)
        return
    name = Path(words[0]).name or words[0]
    if name in ("python", "python3") and words[1] == "-m":
        name, words = words[2], words[2:]
    if name == "pytest":
        run_pytest(words[1:], command, clone)
    elif words[:2] == ["pytest-sst2", "upgrade"]:
        run_upgrade(words[1:], command, clone, capsys)
    elif name == "pytest-sst2":
        run_cli(words[1:], command, capsys)
    elif name == "tox":
        check_tox(words[1:])
    elif name == "pip":
        check_install(words[1:])
    elif name == "python":
        assert (ROOT / words[1]).exists(), f"{command}: there is no {words[1]}"
    elif name == "cp":
        subprocess.run(words, cwd=clone.path, check=True)
    else:
        assert name in ("venv", "git", ".", "cd"), f"{command}: this test cannot check it"


def run_pytest(arguments: list[str], command: str, clone: pytest.Pytester) -> None:
    if arguments[:2] == ["--pyargs", "pytest_sst2.benchmarks"]:
        arguments = ["benchmarks", *arguments[2:]]  # the same files; only a built package has them under that name
    result = clone.runpytest_inprocess(*arguments)
    assert result.ret == 0 or (result.ret == 1 and UNDECIDED in command), f"{command} ended with {result.ret}"


def run_cli(arguments: list[str], command: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    status = main(arguments)
    output = capsys.readouterr()
    assert output.err == "", command
    assert output.out, command
    # What was measured twice in one environment is the same; that other versions differ is another story.
    assert status == 0, command


class NoUv:
    """Stands for uv: every requirement resolves, and nothing is installed."""

    def create(self, folder: Path, python: str) -> None:
        folder.mkdir(parents=True)

    def resolve(self, roots: Sequence[str], python: str, **versions: Pins | None) -> dict[str, str]:
        requirements = [Requirement(root) for root in roots]
        return {"torch": "2.13.0"} | {root.name: "2.0" for root in requirements if not root.url}

    def install(self, folder: Path, pins: Pins, wheel: Path) -> None:
        pass

    def releases(self, name: str, above: str, below: str, python: str) -> list[str]:
        return []


def run_upgrade(arguments: list[str], command: str, clone: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """Check an upgrade in which every environment gives the same results; what builds them is tested elsewhere."""
    results = clone.path / "of-an-upgrade.json"
    if not results.exists():
        save(clone, f"--sst2-json={results.name}")
        shutil.copy(ROOT / "constraints.txt", clone.path)
        for name in ("requirements.txt", "old.lock", "new.lock"):
            shutil.copy(ROOT / "constraints.txt", clone.path / name)
        make_commits(clone)
    found = results_from_text(results.read_text(encoding="utf-8"), "results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_SST2_CACHE", str(clone.path / "cache"))
        patch.setattr(upgrade_command, "find_uv", NoUv)
        patch.setattr(upgrade_command, "write_wheel", lambda folder: folder / "content" / "runner.whl")
        patch.setattr(upgrade_check, "run_benchmarks", lambda environment, plan, file, notify: found)
        run_cli(arguments, command, capsys)


def make_commits(clone: pytest.Pytester) -> None:
    """Make the clone a repository: a commit ``main``, and another one with the tag ``v1.2``."""
    git = ("git", "-c", "user.name=tester", "-c", "user.email=tester@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "*.py"), ("commit", "-qm", "one"), ("checkout", "-qb", "work")):
        subprocess.run([*git, *words], cwd=clone.path, check=True)
    for words in (("commit", "-q", "--allow-empty", "-m", "two"), ("tag", "v1.2")):
        subprocess.run([*git, *words], cwd=clone.path, check=True)


def check_tox(arguments: list[str]) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "tox.ini")
    assert arguments[:2] == ["run", "-e"]
    factors = {"tests", "bench", "latest"}
    assert f"testenv:{arguments[2]}" in settings or arguments[2] in factors


def check_install(arguments: list[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert arguments[0] == "install"
    for option, argument in itertools.pairwise(arguments):
        if argument.startswith("-") or option == "--index-url":
            continue
        if argument.startswith("."):  # a clone, with extras
            argument = f"pytest-sst2{argument[1:]}"
            assert Requirement(argument).extras <= set(extras), argument
        else:
            assert Requirement(argument).name != "pytest-sst2", f"no index has it: {argument}"


def test_there_are_commands_to_check() -> None:
    found = {page: len(list(commands(page))) for page in PAGES}
    assert found["README.md"] >= 10
    assert found["docs/quickstart.md"] >= 8
