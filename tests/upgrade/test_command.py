"""The upgrade check from the command line, with real environments of small wheels."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure, Phase, Record, Round
from pytest_sst2.upgrade import benchmark_runs, command, traced_run, uv
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.environments import BuiltEnvironment, upgrade_folder
from pytest_sst2.upgrade.pins import Pins
from tests.support.fake_wheels import write_light_runner, write_wheel
from tests.support.record_factory import answered, with_fingerprint

INNOCENT = [f"innocent{number}" for number in range(9)]
BEFORE = {**dict.fromkeys(INNOCENT, "1.0"), "culprit": "1.0"}
AFTER = [f"{name}==2.0" for name in BEFORE]
TOTAL = 400
FAILURE = Failure("planted-seed42", None, "planted", 42, "ImportError: cannot import name 'x'")


def record(*, lost: int = 0, seconds: float = 4.0) -> Record:
    rounds = (Round(seconds, (Phase("encode", seconds, 100),), 0.004, 400_000_000, 100_000_000),)
    whole = answered([index >= lost for index in range(TOTAL)], model=None, method="planted", cell="planted-seed42")
    # Not trained in random steps, so one seed decides.
    return with_fingerprint(dataclasses.replace(whole, rounds=rounds, weights=None), training=None)


def wrong(pins: Pins) -> Record | Failure:
    return record(lost=30 if pins["culprit"] == "2.0" else 0)


def slow(pins: Pins) -> Record | Failure:
    return record(seconds=16.0 if pins["culprit"] == "2.0" else 4.0)


def crashing(pins: Pins) -> Record | Failure:
    return FAILURE if pins["culprit"] == "2.0" else record()


def both(pins: Pins) -> Record | Failure:
    return record(lost=30 if pins["culprit"] == pins["innocent4"] == "2.0" else 0)


class FakeRuns:
    """A fake of pytest in an environment: the installed packages decide the record."""

    def __init__(self) -> None:
        self.behaviour: Callable[[Pins], Record | Failure] = wrong
        self.files: list[str] = []
        self.interrupt_at = 0
        self.traced: list[Plan] = []
        self.traceable = False

    def trace(self, environment: BuiltEnvironment, plan: Plan, _file: Path, log: Path, *_more: object) -> int:
        """A fake of a traced pass: the function of the package ``culprit`` ran."""
        self.traced.append(plan)
        if self.traceable:
            site = str(next(environment.folder.glob("lib/python*/site-packages")))
            function = ["culprit.py", "compute", 1, [""]]
            notes: dict[str, object] = {"site": site, "functions": [function], "modules": {}, "bodies": {}}
            notes |= {key: [] for key in ("files", "compiled", "opened", "names", "classes")}
            (log.parent / "trace-1.json").write_text(json.dumps(notes), encoding="utf-8")
        return 1

    def __call__(self, environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_more: object) -> int:
        self.files.append(file.stem)
        if len(self.files) == self.interrupt_at:
            raise KeyboardInterrupt
        log.write_text("")
        measured = self.behaviour(environment.pins)
        records, failures = ([measured], []) if isinstance(measured, Record) else ([], [measured])
        file.write_text(results_text(Results(records, failures)), encoding="utf-8")
        return 0


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    for name in INNOCENT:
        for version in ("1.0", "2.0"):
            # innocent7 and innocent8 fit together only at the same version.
            requires = ["innocent8==" + version] if name == "innocent7" else []
            write_wheel(folder, name, version, {f"{name}.py": ""}, requires)
    for version in ("1.0", "1.1", "1.2", "2.0"):
        write_wheel(folder, "culprit", version, {"culprit.py": f"def compute():\n    return {version}\n"})
    return folder


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_light_runner(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(autouse=True)
def runs(index: Path, runner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    """No network, a cache and a working folder of its own, and a fake of pytest."""
    if uv.uv_path() is None:
        pytest.skip("uv is not installed")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "PYTEST_SST2_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)
    fake = FakeRuns()
    monkeypatch.setattr(benchmark_runs, "run_pytest", fake)
    monkeypatch.setattr(traced_run, "run_pytest", fake.trace)
    monkeypatch.setattr(command, "write_wheel", lambda _: runner)
    monkeypatch.setattr(command, "check_collection", lambda _: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "before.txt").write_text("".join(f"{name}=={version}\n" for name, version in BEFORE.items()))
    return fake


def upgrade(*arguments: str) -> int:
    return main(["upgrade", "--from", "before.txt", *arguments])


def python_version(environment: Path) -> str:
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    python = uv.python_of(environment)
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class TestComparing:
    def test_both_sides_are_measured_by_turns_and_compared(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert upgrade(*AFTER, "--passes", "3") == 1
        assert runs.files == ["before-1", "after-1", "after-2", "before-2", "before-3", "after-3"]
        output = capsys.readouterr().out
        assert "10 packages changed: culprit 1.0 → 2.0, innocent0 1.0 → 2.0" in output
        assert "FAILS: " in output
        assert (
            re.search(r"^culprit +1\.0 +2\.0$", output, re.MULTILINE) is None
        )  # the records name packages of another environment

    def test_what_is_harmless_holds(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        runs.behaviour = lambda _: record()
        assert upgrade("innocent0==2.0") == 0
        assert runs.traced == []
        output = capsys.readouterr().out
        assert "1 package changed: innocent0 1.0 → 2.0" in output
        assert "HOLDS: " in output

    def test_a_package_that_is_named_alone_becomes_the_newest(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = lambda _: record()
        assert upgrade("innocent0", "--with", "innocent1") == 0
        assert "1 package changed: innocent0 1.0 → 2.0" in capsys.readouterr().out

    def test_all_that_the_resolver_moved_is_named(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        runs.behaviour = lambda _: record()
        assert upgrade("innocent7==2.0", "--with", "innocent8") == 0
        assert "2 packages changed: innocent7 1.0 → 2.0, innocent8 1.0 → 2.0" in capsys.readouterr().out

    def test_nothing_to_change_is_reported_before_anything_runs(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert upgrade("innocent0==1.0") == 0
        assert "nothing changes" in capsys.readouterr().out
        assert runs.files == []

    def test_the_newest_of_everything_may_be_asked_for(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert upgrade("--latest", "--with", "culprit") == 1
        assert "1 package changed: culprit 1.0 → 2.0" in capsys.readouterr().out

    def test_two_lock_files_may_be_compared(
        self, runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "after.txt").write_text("culprit==1.2\n")
        assert upgrade("--to", "after.txt", "--with", "culprit") == 0
        assert "1 package changed: culprit 1.0 → 1.2" in capsys.readouterr().out

    def test_a_lock_file_alone_is_compared_with_what_is_installed_here(
        self, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(command, "installed_pins", lambda: ({"culprit": "1.2"}, ()))
        assert upgrade("--with", "culprit") == 0
        assert "1 package changed: culprit 1.0 → 1.2" in capsys.readouterr().out

    def test_another_interpreter_may_be_compared_with(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        other = "3.12" if sys.version_info[:2] != (3, 12) else "3.13"
        find = subprocess.run([str(uv.uv_path()), "python", "find", other], capture_output=True, text=True, check=False)
        if find.returncode != 0:
            pytest.skip(f"there is no Python {other} here")
        runs.behaviour = lambda _: record()
        assert upgrade("--python", other, "--with", "culprit") == 0
        output = capsys.readouterr().out
        assert f"only the interpreter changes: {other}" in output
        assert runs.files == ["before-1", "after-1", "after-2", "before-2"]
        versions = {python_version(folder) for folder in upgrade_folder().glob("environments/*/")}
        assert versions == {other, f"{sys.version_info[0]}.{sys.version_info[1]}"}

    def test_the_report_is_written_where_it_is_asked_for(self, runs: FakeRuns) -> None:
        runs.traceable = True
        assert upgrade("culprit==2.0", "-o", "out") == 1
        text = Path("out/sst2-report.md").read_text(encoding="utf-8")
        assert "REGRESSED" in text
        assert "1 definition changed in culprit; 1 of them ran in planted" in text
        assert "culprit:compute (culprit.py" in Path("out/sst2-report.html").read_text(encoding="utf-8")
        assert "culprit:compute" in Path("out/sst2-reading-list.json").read_text(encoding="utf-8")

    def test_the_changed_functions_that_ran_are_listed_after_the_comparison(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.traceable = True
        assert upgrade(*AFTER) == 1
        output = capsys.readouterr().out
        assert output.index("FAILS: ") < output.index("  culprit:compute (culprit.py:1 → 1)\n")
        assert "sst2-reading-list.json" in output
        assert all("--sst2-epochs=1" in plan.flags for plan in runs.traced)
        assert len(runs.traced) == 2

    def test_a_pass_that_cannot_be_traced_is_a_note(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        assert upgrade("culprit==2.0") == 1
        output = capsys.readouterr().out
        assert "FAILS: " in output
        assert "note: no list of the functions that changed and ran: no function was traced (exit status 1)." in output

    def test_an_earlier_environment_that_does_not_run_is_a_sentence(
        self, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails(environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_more: object) -> int:
            log.write_text("ImportError: no good\n")
            return 1

        monkeypatch.setattr(benchmark_runs, "run_pytest", fails)
        assert upgrade("culprit==2.0") == 2
        assert (
            "pytest-sst2: the 'before' environment failed: ImportError: no good (exit status 1)."
            in capsys.readouterr().err
        )

    def test_a_later_environment_that_does_not_resolve_is_a_sentence(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert upgrade("culprit==9.9") == 2
        assert "pytest-sst2: the 'after' environment failed: " in capsys.readouterr().err
        assert runs.files == []


class TestBisecting:
    def steps(self, output: str) -> int:
        return len(re.findall(r"^step \d+:", output, re.MULTILINE))

    @pytest.mark.parametrize(
        ("behaviour", "kind"),
        [(wrong, "regressed"), (slow, "slower"), (crashing, "crash")],
        ids=["wrong", "slow", "crashing"],
    )
    def test_one_cause_among_ten_changes_is_named_in_few_steps(
        self,
        behaviour: Callable[[Pins], Record | Failure],
        kind: str,
        runs: FakeRuns,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        runs.behaviour = behaviour
        status = upgrade(*AFTER, "--bisect")
        output = capsys.readouterr().out
        assert status == {"regressed": 1, "slower": 0, "crash": 2}[kind]
        assert "bisecting 10 changes: planted: " in output
        assert "culprit 1.0 → 2.0 alone reproduces it (planted: " in output
        assert 1 <= self.steps(output) <= 2 * math.log2(10) + 2

    def test_two_that_are_needed_together_are_both_named(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = both
        upgrade(*AFTER, "--bisect", "--bisect-releases")
        output = capsys.readouterr().out
        assert "no first bad release: no single package causes it" in output
        assert "culprit 1.0 → 2.0 and innocent4 1.0 → 2.0 reproduce it together, but none without the others" in output

    def test_tied_changes_are_tested_together(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        runs.behaviour = lambda pins: record(lost=30 if pins["innocent7"] == "2.0" else 0)
        upgrade(*AFTER, "--bisect")
        output = capsys.readouterr().out
        assert "cannot be installed" not in output
        assert "innocent7 1.0 → 2.0 (tied to innocent8 1.0 → 2.0) reproduces it (planted: " in output

    def test_of_tied_changes_the_one_that_was_named_comes_first(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = lambda pins: record(lost=30 if pins["innocent7"] == "2.0" else 0)
        upgrade("innocent8==2.0", "--with", "innocent7", "--bisect")
        output = capsys.readouterr().out
        assert "innocent8 1.0 → 2.0 (tied to innocent7 1.0 → 2.0) reproduces it" in output

    def test_the_cause_is_found_if_pytest_itself_does_not_run(
        self, runs: FakeRuns, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def fails(environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_more: object) -> int:
            if environment.pins["culprit"] == "2.0":
                log.write_text("ImportError: no good\n")
                return 1
            return runs(environment, plan, file, log)

        monkeypatch.setattr(benchmark_runs, "run_pytest", fails)
        assert upgrade(*AFTER, "--bisect") == 2
        output = capsys.readouterr().out
        assert "the 'after' environment failed: ImportError: no good" in output
        assert "culprit 1.0 → 2.0 alone reproduces it (every cell: ImportError: no good" in output

    def test_the_first_bad_release_is_found_between_the_two(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = lambda pins: record(lost=30 if pins["culprit"] >= "1.2" else 0)
        upgrade("culprit==2.0", "--bisect", "--bisect-releases")
        output = capsys.readouterr().out
        assert "first bad release: culprit 1.2; last good release tested: 1.1" in output

    def test_the_old_name_of_bisect_releases_works_and_prints_the_new_one(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        upgrade("culprit==2.0", "--bisect", "--versions")
        output = capsys.readouterr()
        assert "first bad release: culprit 2.0; last good release tested: 1.2" in output.out
        assert output.err == "pytest-sst2: warning: --versions is deprecated; use --bisect-releases.\n"
        with pytest.raises(SystemExit):
            main(["upgrade", "--help"])
        assert "--versions" not in capsys.readouterr().out

    def test_a_difference_that_does_not_occur_again_has_no_cause(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[Pins] = []

        def once(pins: Pins) -> Record | Failure:
            seen.append(pins)
            return record(lost=30 if pins["culprit"] == "2.0" and len(seen) <= 4 else 0)

        runs.behaviour = once
        assert upgrade(*AFTER, "--bisect") == 1
        output = capsys.readouterr().out
        assert "repeated in the later environment: good" in output
        assert "no cause: measured again, the later environment is good, not bad as before (planted: accuracy" in output
        assert self.steps(output) == 0

    def test_a_different_crash_is_untestable(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        def two_kinds(pins: Pins) -> Record | Failure:
            if pins["culprit"] == "2.0":
                return FAILURE
            later = sum(version == "2.0" for version in pins.values())
            return dataclasses.replace(FAILURE, error="OutOfMemory: none left") if later in (5, 6) else record()

        runs.behaviour = two_kinds
        upgrade(*AFTER, "--bisect")
        assert "culprit 1.0 → 2.0 alone reproduces it" in capsys.readouterr().out

    def test_a_cell_that_failed_before_is_no_crash_of_the_upgrade(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = lambda _: FAILURE
        upgrade(*AFTER, "--bisect")
        output = capsys.readouterr().out
        assert "nothing to bisect" in output
        assert "note: failed in the earlier environment too: planted: ImportError" in output

    def test_where_all_is_well_there_is_nothing_to_bisect(
        self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        runs.behaviour = lambda _: record()
        assert upgrade(*AFTER, "--bisect") == 0
        assert "nothing to bisect" in capsys.readouterr().out


class TestInterrupted:
    @pytest.mark.parametrize("at", [1, 2, 4, 5, 7])
    def test_an_interrupted_command_continues(
        self, at: int, runs: FakeRuns, capsys: pytest.CaptureFixture[str]
    ) -> None:
        whole = FakeRuns()
        runs.interrupt_at = at
        assert upgrade(*AFTER, "--bisect") == 130
        assert "interrupted" in capsys.readouterr().err
        done = runs.files[:-1]
        runs.files, runs.interrupt_at = [], 0
        assert upgrade(*AFTER, "--bisect") == 1
        assert not set(done) & set(runs.files)
        assert "culprit 1.0 → 2.0 alone reproduces it" in capsys.readouterr().out
        assert whole.files == []

    def test_changed_benchmarks_are_measured_again(self, runs: FakeRuns, tmp_path: Path) -> None:
        runs.interrupt_at = 3
        (tmp_path / "conftest.py").write_text("A = 1\n")
        assert upgrade("culprit==2.0") == 130
        runs.files, runs.interrupt_at = [], 0
        (tmp_path / "conftest.py").write_text("A = 2\n")
        upgrade("culprit==2.0")
        assert runs.files == ["before-1", "after-1", "after-2", "before-2"]

    def test_two_of_the_same_check_do_not_run_at_once(self, runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
        inner: list[int] = []

        def again(pins: Pins) -> Record | Failure:
            if not inner:
                inner.append(0)
                inner[0] = upgrade("culprit==2.0")
            return record()

        runs.behaviour = again
        assert upgrade("culprit==2.0") == 0
        assert inner == [2]
        assert "the same upgrade check is already running" in capsys.readouterr().err

    def test_a_finished_command_measures_again(self, runs: FakeRuns) -> None:
        upgrade("culprit==2.0")
        first, runs.files = runs.files, []
        upgrade("culprit==2.0")
        assert runs.files == first == ["before-1", "after-1", "after-2", "before-2"]

    def test_clean_removes_what_is_kept(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        upgrade("culprit==2.0")
        kept = tmp_path / "cache" / "upgrade"
        assert kept.is_dir()
        assert main(["upgrade", "--clean"]) == 0
        assert f"{kept}: removed" in capsys.readouterr().out
        assert not kept.exists()

    @pytest.mark.parametrize("arguments", [["--clean"], ["culprit==2.0"]])
    def test_a_folder_that_something_else_made_is_left_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        notes = tmp_path / "cache" / "upgrade" / "notes.txt"
        notes.parent.mkdir(parents=True)
        notes.write_text("of another program")
        assert main(["upgrade", "--from", "before.txt", *arguments]) == 2
        assert "has no CACHEDIR.TAG" in capsys.readouterr().err
        assert notes.exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["a=1"], "'a=1' is not a requirement"),
        (["a==1", "--to", "before.txt"], "--to FILE gives every version"),
        (["a==1", "--bisect-releases"], "--bisect-releases needs --bisect"),
        (["--python", "3.12", "--bisect"], "--bisect searches packages"),
        (["a==1", "--budget", "5min"], "--budget limits the turns of --time. Add --time 10%"),
        (["a==1", "--benchmarks", "nowhere"], "--benchmarks 'nowhere' does not exist"),
        (["a==1", "--to", "nowhere.txt"], "--to FILE gives every version"),
        (["--to", "nowhere.txt"], "'nowhere.txt' is neither a file here nor a baseline"),
        (["a==1", "-o", "before.txt"], "is a file. Give a folder"),
    ],
)
def test_invalid_arguments_are_a_sentence_before_anything_is_built(
    arguments: list[str], error: str, runs: FakeRuns, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upgrade(*arguments) == 2
    assert error in capsys.readouterr().err
    assert runs.files == []
    assert not (tmp_path / "cache" / "upgrade" / "environments").exists()


def test_a_command_that_names_no_version_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upgrade", "--from-current"]) == 2
    assert "nothing to upgrade. Name packages" in capsys.readouterr().err


def test_without_uv_nothing_is_built(
    runs: FakeRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uv, "uv_path", lambda: None)
    assert upgrade("culprit==2.0") == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1
    assert "Run: python -m pip install 'uv>=0.5'" in output.err
    assert output.out == ""
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("arguments", [["--sst2-seeds=x"], ["--sst2-data"], ["--sst2-recipe=none"], ["--passes", "0"]])
def test_an_option_of_the_benchmarks_is_checked_as_pytest_would(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        upgrade("a==1", *arguments)
    assert arguments[0].partition("=")[0] in capsys.readouterr().err


def test_options_of_the_benchmarks_reach_them_as_typed(runs: FakeRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Plan] = []

    def recorded(environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_more: object) -> int:
        plans.append(plan)
        return runs(environment, plan, file, log)

    monkeypatch.setattr(benchmark_runs, "run_pytest", recorded)
    upgrade("culprit==2.0", "--models", "a,b", "--sst2-seeds=1,3", "--sst2-seeds=4", "--sst2-trust-remote-code")
    assert plans[0].flags == ("--sst2-models=a,b", "--sst2-seeds=4", "--sst2-trust-remote-code")
    assert plans[0].targets == ("--pyargs", "pytest_sst2.benchmarks")


CONFTEST = """
from pytest_sst2 import MethodSpec


def length(job):
    import culprit

    with job.clock.phase("fit", examples=len(job.train)):
        threshold = culprit.threshold([len(sentence) for sentence in job.train.sentences])
    return lambda sentences: [float(len(sentence) > threshold) for sentence in sentences]


def pytest_sst2_methods():
    return [MethodSpec("length", length, needs_model=False)]
"""
THRESHOLD = "def threshold(lengths):\n    return sorted(lengths)[len(lengths) // {part}]\n"


@pytest.mark.processes
def test_pytest_itself_is_run_in_both_environments_and_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()  # real runs, and a real collection of the benchmarks
    if uv.uv_path() is None:
        pytest.skip("uv is not installed")
    index, project = tmp_path / "real-index", tmp_path / "project"
    for version, part in (("1.0", 2), ("2.0", 10)):
        write_wheel(index, "culprit", version, {"culprit.py": THRESHOLD.format(part=part)})
        write_wheel(index, "innocent", version, {"innocent.py": ""})
    light = write_light_runner(tmp_path / "wheels")
    (project / "benchmarks").mkdir(parents=True)
    (project / "conftest.py").write_text(CONFTEST)
    (project / "benchmarks" / "test_length.py").write_text("def test_length(sst2_run):\n    sst2_run.measure()\n")
    (project / "before.txt").write_text("culprit==1.0\ninnocent==1.0\n")
    for name, value in {
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "PYTEST_SST2_CACHE": str(tmp_path / "real-cache"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "write_wheel", lambda _: light)
    monkeypatch.chdir(project)
    arguments = ["culprit==2.0", "innocent==2.0", "--methods=length", "--sst2-data=pocket", "--passes=1", "--bisect"]
    assert upgrade(*arguments) == 0, capsys.readouterr().err
    output = capsys.readouterr().out
    assert "drift: " in output
    assert re.search(r"^culprit +1\.0 +2\.0$", output, re.MULTILINE)
    assert "culprit 1.0 → 2.0 alone reproduces it (length: " in output


def test_requirements_may_stand_on_both_sides_of_an_option(runs: FakeRuns, capsys: pytest.CaptureFixture[str]) -> None:
    runs.behaviour = lambda _: record()
    upgrade("innocent0==2.0", "--passes=1", "innocent1==2.0")
    assert "2 packages changed: innocent0 1.0 → 2.0, innocent1 1.0 → 2.0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        upgrade("innocent0==2.0", "--no-such-option")
    with pytest.raises(SystemExit):
        main(["compare", "a", "b", "c"])
