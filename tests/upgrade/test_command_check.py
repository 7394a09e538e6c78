"""``pytest-sst2 upgrade ... -- COMMAND``: the exit status of any command is the symptom."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.upgrade import uv
from pytest_sst2.upgrade.command_check import CommandObserver, CommandRuns
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from tests.support.fake_wheels import write_wheel

INNOCENT = tuple(f"innocent{number}" for number in range(9))
FAILS_LATER = "import culprit; raise SystemExit(culprit.VERSION >= 1.2)"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    for name in INNOCENT:
        for version in ("1.0", "2.0"):
            write_wheel(folder, name, version, {f"{name}.py": ""})
    for version in ("1.0", "1.1", "1.2", "2.0"):
        write_wheel(folder, "culprit", version, {"culprit.py": f"VERSION = {version}\n"})
    return folder


@pytest.fixture(autouse=True)
def _project(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, a cache of its own, and a working folder with two lock files."""
    if uv.uv_path() is None:
        pytest.skip("uv is not installed")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    variables = {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": str(index)}
    for name, value in {**variables, "PYTEST_SST2_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    for file, version in (("old.lock", "1.0"), ("new.lock", "2.0")):
        lines = [f"{name}=={version}" for name in ("culprit", *INNOCENT)]
        (tmp_path / file).write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)


def check(*words: str) -> int:
    return main(["upgrade", "--from", "old.lock", "--to", "new.lock", *words])


def test_a_command_that_succeeds_in_both_holds_and_nothing_of_this_package_is_installed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check("--", "python", "-c", "import culprit, importlib.util as u; assert not u.find_spec('torch')") == 0
    output = capsys.readouterr().out
    assert "before: 10 packages" in output
    assert output.splitlines()[-1].startswith("HOLDS: `python -c ")


def test_the_culprit_among_ten_changes_and_its_first_bad_release_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check("--bisect", "--bisect-releases", "--", "python", "-c", FAILS_LATER) == 1
    output = capsys.readouterr().out
    assert "culprit 1.0 → 2.0 alone reproduces it (`python -c" in output
    assert "first bad release: culprit 1.2; last good release tested: 1.1" in output
    assert len(re.findall(r"^step \d+: \d+ of", output, re.MULTILINE)) <= math.log2(10) + 2


def test_without_bisect_the_failure_is_reported_with_its_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--", "python", "-c", f"print('why'); {FAILS_LATER}") == 1
    output = capsys.readouterr().out
    log = re.search(r"after: .* ends with status 1 \(output: (.*)\)", output)
    assert log is not None
    assert Path(log.group(1)).read_text() == "why\n"
    assert output.splitlines()[-1].endswith("ends with status 1, before with 0. To find the cause: --bisect")


def test_a_command_that_fails_before_cannot_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("--bisect", "--", "python", "-c", "raise SystemExit(3)") == 2
    assert "fails in the earlier environment too (status 3)" in capsys.readouterr().out


def test_a_command_that_fails_only_sometimes_has_no_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = f"""
import pathlib
import culprit
count = pathlib.Path({str(tmp_path / "count")!r})
with count.open("a") as file:
    file.write("x")
raise SystemExit(culprit.VERSION == 2.0 and count.stat().st_size == 2)
"""
    assert check("--bisect", "--", "python", "-c", code) == 1
    output = capsys.readouterr().out
    assert "no cause: measured again, the later environment is good, not bad as before (`python" in output
    assert "step 1" not in output


def test_another_exit_status_in_between_is_not_taken_for_the_failure(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import culprit, innocent0, importlib.metadata as m; bad = culprit.VERSION == 2.0; new = m.version('innocent0')"
    )
    code += " == '2.0'; raise SystemExit(1 if bad and new else 4 if bad else 0)"
    assert check("--bisect", "--", "python", "-c", code) == 1
    output = capsys.readouterr().out
    assert "exit status 4, not 1" in output
    assert "culprit 1.0 → 2.0" in output
    assert "innocent0 1.0 → 2.0" in output


def test_an_interrupted_search_goes_on_if_the_files_are_those_of_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    count = tmp_path.parent / f"{tmp_path.name}-count"
    code = f"open({str(count)!r}, 'a').write('x'); {FAILS_LATER}"
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.example")
    (tmp_path / ".gitignore").write_text("cache\n")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")):
        subprocess.run([*git, *words], check=True, cwd=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("pytest_sst2.upgrade.cause_search.PackageSearch", _interrupted)
        assert check("--bisect", "--", "python", "-c", code) == 130
    capsys.readouterr()
    assert count.stat().st_size == 4
    assert check("--bisect", "--", "python", "-c", code) == 1
    output = capsys.readouterr().out
    assert "culprit 1.0 → 2.0 alone" in output
    assert count.stat().st_size == 4 + len(re.findall(r"^step ", output, re.MULTILINE))


def _interrupted(**_: object) -> None:
    raise KeyboardInterrupt


def test_an_environment_in_which_the_command_cannot_be_started_is_untestable(tmp_path: Path) -> None:
    environment = BuiltEnvironment(tmp_path / "environment", {}, 0.0)
    runs = CommandRuns(("no-such-program",), tmp_path, tmp_path / "runs")
    seen = CommandObserver(runs, 1).observe(environment)
    assert seen.outcome is Outcome.UNTESTABLE
    assert seen.why.startswith("cannot run: 'no-such-program' cannot be run: No such file")


def test_status_125_of_an_end_is_no_failure_to_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        check("--bisect", "--", "python", "-c", "import culprit; raise SystemExit(125 * (culprit.VERSION == 2.0))") == 2
    )
    assert "CANNOT COMPARE: status 125 of `python -c" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--methods", "tfidf", "--", "true"), "a command after -- takes the place of the benchmarks"),
        (("--passes", "3", "--", "true"), "a command after -- takes the place of the benchmarks"),
        (("--", "no-such-program"), "'no-such-program' cannot be run: No such file or directory"),
    ],
)
def test_a_mistake_is_a_sentence(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(*words) == 2
    assert sentence in capsys.readouterr().err
