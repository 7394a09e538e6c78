"""Environments built by the real uv from wheels in a folder, without a network."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from pytest_sst2.upgrade import environments
from pytest_sst2.upgrade import uv as uv_module
from pytest_sst2.upgrade.environments import Environments, inspect_environment
from pytest_sst2.upgrade.uv import InstallError, Uv, find_uv
from pytest_sst2.utils.errors import Sst2Error
from tests.support.fake_wheels import write_light_runner, write_wheel

PYTHON = str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels: three versions of a, two of b that need a matching a, and a package that does not build."""
    folder = tmp_path_factory.mktemp("index")
    for version in ("1.0", "1.5", "2.0"):
        write_wheel(folder, "a", version, {"a.py": f"VERSION = {version!r}\n"})
    write_wheel(folder, "b", "1.0", {"b.py": "VERSION = '1.0'\n"}, ["a<2"])
    write_wheel(folder, "b", "2.0", {"b.py": "VERSION = '2.0'\n"}, ["a>=2"])
    write_wheel(folder, "picky", "1.0", {"picky.py": ""}, ["a<2", "b>=2"])
    for version in ("1.0", "1.0+cpu"):
        write_wheel(folder, "labelled", version, {"labelled.py": f"BUILD = {version!r}\n"})
    write_broken_source(folder)
    return folder


def write_broken_source(folder: Path) -> None:
    """Write a source distribution whose build backend fails."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": "def build_wheel(*_, **__):\n    raise RuntimeError('compiler not result')\n",
    }
    with tarfile.open(folder / "broken-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"broken-1.0/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


@pytest.fixture(autouse=True)
def _offline(index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL", "UV_INDEX", "UV_DEFAULT_INDEX", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_CONFIG_FILE": "/dev/null",
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(tmp_path / "uv-cache"),
    }.items():
        monkeypatch.setenv(name, value)
    uv_module._indexes_of_pip.cache_clear()


@pytest.fixture
def uv() -> Uv:
    path = uv_module.uv_path()
    if path is None:
        pytest.skip("uv is not installed")
    return Uv(path)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_light_runner(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def built(tmp_path: Path, uv: Uv, runner: Path) -> Environments:
    return Environments(tmp_path / "environments", uv, runner)


def output_of(python: Path, code: str) -> str:
    return subprocess.run([str(python), "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


class TestBuilding:
    def test_it_holds_the_packages_and_the_runner_and_is_kept_by_content(self, built: Environments) -> None:
        first = built.build({"a": "1.0"}, PYTHON)
        assert output_of(first.python, "import a, pytest_sst2; print(a.VERSION)") == "1.0"
        assert first.seconds > 0
        again = built.build({"a": "1.0"}, PYTHON)
        assert (again.folder, again.seconds) == (first.folder, 0.0)
        other = built.build({"a": "2.0"}, PYTHON)
        assert other.folder != first.folder
        assert output_of(other.python, "import a; print(a.VERSION)") == "2.0"

    def test_inspection_returns_packages_and_their_requirements(self, built: Environments) -> None:
        result = inspect_environment(built.build({"a": "2.0", "b": "2.0"}, PYTHON))
        assert (result.pins["a"], result.pins["b"]) == ("2.0", "2.0")
        assert list(result.requires["b"]) == ["a>=2"]
        assert result.markers["python_version"] == f"{sys.version_info[0]}.{sys.version_info[1]}"

    def test_an_incomplete_environment_is_built_again(self, built: Environments) -> None:
        first = built.build({"a": "1.0"}, PYTHON)
        (first.folder / "ready.json").unlink()
        (first.folder / "half").write_text("a file")
        again = built.build({"a": "1.0"}, PYTHON)
        assert again.seconds > 0
        assert not (again.folder / "half").exists()
        assert json.loads((again.folder / "ready.json").read_text())["pins"] == {"a": "1.0"}

    def test_an_environment_without_interpreter_is_built_again(self, built: Environments) -> None:
        first = built.build({"a": "1.0"}, PYTHON)
        first.python.unlink()
        again = built.build({"a": "1.0"}, PYTHON)
        assert again.seconds > 0
        assert output_of(again.python, "import a; print(a.VERSION)") == "1.0"

    @pytest.mark.parametrize("error", [KeyboardInterrupt, InstallError("no room")])
    def test_an_interrupted_build_leaves_nothing(
        self, built: Environments, error: BaseException | type[BaseException], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(folder: Path, pins: object, wheel: Path) -> None:
            assert folder.is_dir()
            raise error

        monkeypatch.setattr(built.uv, "install", broken)
        with pytest.raises(type(error) if isinstance(error, BaseException) else error):
            built.build({"a": "1.0"}, PYTHON)
        assert [path.name for path in built.folder.iterdir() if path.is_dir()] == []

    def test_an_unknown_version_is_a_sentence_and_leaves_nothing(self, built: Environments) -> None:
        with pytest.raises(InstallError) as caught:
            built.build({"a": "9.9"}, PYTHON)
        assert "a==9.9" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert [path.name for path in built.folder.iterdir() if path.is_dir()] == []

    def test_two_threads_build_the_same_environment_once(
        self, tmp_path: Path, runner: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Path] = []

        class Slow:
            def create(self, folder: Path, python: str) -> None:
                made.append(folder)
                uv_module.python_of(folder).parent.mkdir(parents=True)
                uv_module.python_of(folder).touch()

            def install(self, folder: Path, pins: object, wheel: Path) -> None:
                threading.Event().wait(0.2)

        both = Environments(tmp_path, Slow(), runner)  # type: ignore[arg-type]
        threads = [threading.Thread(target=both.build, args=({"a": "1.0"}, PYTHON)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 1

    def test_a_folder_that_cannot_be_written_is_a_sentence(self, tmp_path: Path, runner: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InstallError, match="no environment can be stored in"):
            Environments(tmp_path / "file" / "environments", Uv("uv"), runner).build({"a": "1.0"}, PYTHON)


class TestResolving:
    def before(self, built: Environments) -> environments.BuiltEnvironment:
        return built.build({"a": "1.0", "b": "1.0"}, PYTHON)

    def test_pins_are_kept_and_what_is_not_needed_is_left_out(self, uv: Uv) -> None:
        result = uv.resolve(("b",), PYTHON, pins={"b": "1.0", "a": "1.0", "picky": "1.0"})
        assert result == {"a": "1.0", "b": "1.0"}

    def test_what_need_not_move_stays(self, uv: Uv, built: Environments) -> None:
        before = self.before(built)
        assert uv.resolve(("a", "b", "b<2"), str(before.python), preferred=before.pins) == {"a": "1.0", "b": "1.0"}

    def test_what_must_move_moves(self, uv: Uv, built: Environments) -> None:
        before = self.before(built)
        assert uv.resolve(("a", "b", "b==2.0"), str(before.python), preferred=before.pins) == {"a": "2.0", "b": "2.0"}

    def test_what_is_named_becomes_the_newest_that_fits(self, uv: Uv, built: Environments) -> None:
        before = built.build({"a": "1.0", "b": "1.0"}, PYTHON)
        assert uv.resolve(("a", "b", "a>=1.0"), str(before.python), preferred={"b": "1.0"}) == {"a": "2.0", "b": "2.0"}

    def test_what_is_named_and_there_already_stays_in_the_answer(self, uv: Uv, built: Environments) -> None:
        before = built.build({"a": "2.0", "b": "1.0"}, PYTHON)
        result = uv.resolve(("a==2.0",), str(before.python))
        assert result["a"] == "2.0"

    def test_a_build_label_is_kept(self, uv: Uv, built: Environments) -> None:
        pins = uv.resolve(("labelled",), PYTHON, pins={"labelled": "1.0"})
        assert pins == {"labelled": "1.0+cpu"}
        before = built.build(pins, PYTHON)
        assert output_of(before.python, "import labelled; print(labelled.BUILD)") == "1.0+cpu"
        after = uv.resolve(("labelled", "a<2"), str(before.python), preferred=before.pins)
        assert after == {"labelled": "1.0+cpu", "a": "1.5"}

    def test_without_preferences_everything_is_the_newest(self, uv: Uv) -> None:
        assert uv.resolve(("a",), PYTHON) == {"a": "2.0"}

    @pytest.mark.parametrize(
        ("roots", "pins", "part"),
        [
            (("b",), {"a": "1.0", "b": "2.0"}, "a"),
            (("picky",), {}, "picky"),
            (("nowhere==1",), {}, "nowhere"),
            (("a==9.9",), {}, "a==9.9"),
        ],
    )
    def test_what_does_not_fit_is_a_sentence(
        self, roots: tuple[str, ...], pins: dict[str, str], part: str, uv: Uv
    ) -> None:
        with pytest.raises(InstallError) as caught:
            uv.resolve(roots, PYTHON, pins=pins)
        message = str(caught.value)
        assert part in message
        assert "\n" not in message
        assert "Traceback" not in message
        assert message.endswith(".")

    def test_a_package_that_does_not_build_is_a_sentence_with_the_cause(self, uv: Uv) -> None:
        with pytest.raises(
            InstallError, match=r"a package cannot be built: .*RuntimeError: compiler not result"
        ) as caught:
            uv.resolve(("broken",), PYTHON)
        assert "\n" not in str(caught.value)

    def test_an_index_that_does_not_answer_is_a_sentence(self, uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("UV_NO_INDEX", "UV_OFFLINE", "PIP_NO_INDEX"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")
        monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(InstallError, match="the package index cannot be reached"):
            uv.resolve(("nowhere",), PYTHON)

    def test_releases_between_two_are_listed_oldest_first(self, uv: Uv, index: Path) -> None:
        assert uv.releases("a", "1.0", "2.0", PYTHON) == ["1.5"]
        assert uv.releases("a", "0.1", "3.0", PYTHON) == ["1.0", "1.5", "2.0"]
        assert uv.releases("a", "1.0", "1.5", PYTHON) == []

    def test_bounds_may_have_a_build_label(self, uv: Uv) -> None:
        assert uv.releases("a", "1.0+cpu", "2.0+cpu", PYTHON) == ["1.5"]

    def test_releases_of_a_failing_index_are_an_error(self, uv: Uv, monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(*_: object) -> str:
            raise InstallError("the package index cannot be reached.")

        monkeypatch.setattr(uv, "_run", fails)
        with pytest.raises(InstallError, match="cannot be reached"):
            uv.releases("a", "1.0", "2.0", PYTHON)


def test_without_uv_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uv_module, "uv_path", lambda: None)
    with pytest.raises(Sst2Error) as caught:
        find_uv()
    assert str(caught.value) == (
        "`pytest-sst2 upgrade` builds environments with uv, which is not installed. "
        "Run: python -m pip install 'uv>=0.5'"
    )


def test_without_pip_its_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "No module named pip")
    monkeypatch.setattr(uv_module.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a.invalid https://b.invalid")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    uv_module._indexes_of_pip.cache_clear()
    try:
        assert uv_module._indexes_of_pip() == {
            "UV_INDEX": "https://a.invalid https://b.invalid",
            "UV_FIND_LINKS": "/wheels,/more",
            "UV_INDEX_STRATEGY": "unsafe-best-match",
        }
    finally:
        uv_module._indexes_of_pip.cache_clear()


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("error: failed\n  Caused by: No space left on device (os error 28)", "the disk is full"),
        ("error: Failed to fetch: `x`\n  Caused by: dns error", "the package index cannot be reached"),
        ("× Failed to build `x==1`\n├─▶ The build backend failed", "cannot be built: Failed to build `x"),
        ("", "no reason given."),
    ],
)
def test_an_error_of_uv_becomes_one_sentence(output: str, sentence: str) -> None:
    message = uv_module.error_sentence(output)
    assert sentence in message
    assert "\n" not in message


def test_uv_uses_the_indexes_that_pip_is_configured_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = https://a.invalid/simple\nextra-index-url =\n  https://b.invalid\n")
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    uv_module._indexes_of_pip.cache_clear()
    result = uv_module._indexes_of_pip()
    assert result["UV_DEFAULT_INDEX"] == "https://a.invalid/simple"
    assert result["UV_INDEX"] == "https://b.invalid"
    assert result["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    uv_module._indexes_of_pip.cache_clear()
