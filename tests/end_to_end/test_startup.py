"""The plugin must not be noticed where it is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = [
    *("torch", "transformers", "datasets", "sklearn", "scipy", "numpy", "pandas", "pyarrow"),
    *("tabulate", "tomlkit", "psutil", "huggingface_hub"),
]


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_unrelated_run_imports_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_unrelated.py").write_text("def test_passes():\n    assert True\n", encoding="utf-8")
    code = f"""
import sys, pytest
status = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:benchmark", "test_unrelated.py"])
assert status == 0
assert "pytest_sst2.plugin" in sys.modules
print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    assert "heavy: []" in run_python(code, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["test_unrelated.py"]


def test_the_light_rooms_import_nothing_heavy(tmp_path: Path) -> None:
    rooms = [
        *("plugin", "session.results_plugin", "session.inputs"),
        *("config.options", "config.read_settings", "config.matrix"),
        *("config.registry", "config.specs", "results.record", "results.fingerprint", "results.probe_sentences"),
        *(
            "results.file",
            "results.baselines",
            "session.session",
            "results.floors",
            "config.recipes",
            "config.catalog",
            "hookspec",
            "cli.main",
            "runner.sharding",
            "cli.merge",
        ),
    ]
    imports = "\n".join(f"import pytest_sst2.{room}" for room in rooms)
    code = f"import sys\n{imports}\nprint('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    assert "heavy: []" in run_python(code, tmp_path)


def test_what_runs_no_test_and_a_mistake_in_the_data_load_nothing_heavy(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_cells.py").write_text("def test_cell(sst2_run, sst2_dataset): ...\n", encoding="utf-8")
    code = """
import sys, pytest
for options in (["--collect-only"], ["--setup-plan"], ["--fixtures"], ["--fixtures-per-test"]):
    assert pytest.main([*options, "-q", "--sst2-data", "pocket", "-p", "no:cacheprovider", "test_cells.py"]) == 0
assert pytest.main(["--sst2-data", "test_cells.py", "-p", "no:cacheprovider", "test_cells.py"]) == 4  # no data
print("heavy:", [name for name in ("torch", "transformers", "datasets", "huggingface_hub") if name in sys.modules])
"""
    output = run_python(code, tmp_path)
    assert "test_cells.py::test_cell[minilm-linear-probe-seed42]" in output
    assert "SETUP    F sst2_run" in output
    assert "sst2_load_encoder" in output
    assert "heavy: []" in output


def test_the_package_imports_its_exported_names_when_they_are_used(tmp_path: Path) -> None:
    code = f"""
import sys, pytest_sst2
print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
print("modules:", sorted(name for name in sys.modules if name.startswith("pytest_sst2.")))
print("not listed:", [name for name in pytest_sst2.__all__ if name not in dir(pytest_sst2)])
print("not exported:", [name for name in pytest_sst2.__all__ if getattr(pytest_sst2, name).__name__ != name])
"""
    output = run_python(code, tmp_path)
    assert "heavy: []" in output
    assert "modules: ['pytest_sst2.utils', 'pytest_sst2.utils.errors'" in output
    assert "not listed: []" in output
    assert "not exported: []" in output


@pytest.mark.parametrize("way", ["-p pytest_sst2.plugin", "-p sst2", "pytest_plugins", "without autoloading"])
def test_the_plugin_may_be_named_although_it_is_loaded_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["pytest_sst2.plugin"]' if way == "pytest_plugins" else "")
    if way == "without autoloading":
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    named = {"pytest_plugins": [], "without autoloading": ["-p", "pytest_sst2.plugin"]}.get(way, way.split())
    command = [sys.executable, "-m", "pytest", *named, "--sst2-data", "pocket", "--collect-only", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr
