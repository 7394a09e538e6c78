"""Inputs: loaded once, from what the settings name; a mistake in a file ends the run before anything is written."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest

from pytest_sst2.config.read_settings import read_settings
from pytest_sst2.config.settings import Settings
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.session.inputs import Inputs, load_inputs
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import make_record


def settings(project: pytest.Pytester, *arguments: str) -> Settings:
    return read_settings(project.parseconfig(*arguments))


def saved(project: pytest.Pytester, name: str = "main") -> Path:
    path = project.path / ".sst2" / f"{name}.json"
    save_baseline(path, Results([make_record()]), overwrite=False)
    return path


def test_without_an_option_nothing_is_loaded(pytester: pytest.Pytester) -> None:
    assert load_inputs(settings(pytester), is_worker=False) == Inputs()


def test_a_baseline_is_saved_in_the_folder_of_the_project(pytester: pytest.Pytester) -> None:
    inputs = load_inputs(settings(pytester, "--sst2-save=main"), is_worker=False)
    assert inputs.save_path == pytester.path / ".sst2" / "main.json"
    saved(pytester)
    with pytest.raises(Sst2Error, match="there is a baseline of that name"):
        load_inputs(settings(pytester, "--sst2-save=main"), is_worker=False)


def test_costs_are_the_newest_baselines_and_only_shards_and_ray_read_them(pytester: pytest.Pytester) -> None:
    saved(pytester)
    assert load_inputs(settings(pytester), is_worker=False).known_costs is None
    inputs = load_inputs(settings(pytester, "--sst2-shard=1/2"), is_worker=False)
    assert inputs.baseline is None
    assert inputs.known_costs is not None
    assert inputs.known_costs.origin == "main"
    compared = load_inputs(settings(pytester, "--sst2-shard=1/2", "--sst2-compare=main"), is_worker=False)
    assert compared.known_costs is compared.baseline


def test_results_replace_results_and_nothing_else(pytester: pytest.Pytester) -> None:
    path = pytester.path / "results.json"
    path.write_text(results_text(Results([make_record()])), encoding="utf-8")
    load_inputs(settings(pytester, "--sst2-json=results.json"), is_worker=False)
    path.write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(Sst2Error, match=r"--sst2-json would overwrite this file: .*Name another file"):
        load_inputs(settings(pytester, "--sst2-json=results.json"), is_worker=False)
    load_inputs(settings(pytester, "--sst2-json=results.json"), is_worker=True)


@pytest.mark.parametrize(
    ("arguments", "in_place"),
    [
        ((), False),
        (("--sst2-json=a.json",), False),
        (("--sst2-resume=a.json",), True),
        (("--sst2-resume=a.json", "--sst2-json=b.json"), False),
        (("--sst2-resume=a.json", "--sst2-json=./a.json"), True),
    ],
)
def test_a_file_is_resumed_in_place_unless_another_is_written(
    pytester: pytest.Pytester, arguments: tuple[str, ...], in_place: bool
) -> None:
    assert settings(pytester, *arguments).resumes_in_place is in_place


def test_settings_are_plain_values(pytester: pytest.Pytester) -> None:
    saved(pytester)
    pytester.makeconftest(
        """
        from pytest_sst2 import MethodSpec

        def pytest_sst2_methods():
            return [MethodSpec("added", lambda job: None, needs_model=False)]
        """
    )
    read = settings(pytester, "--methods=added", "--sst2-compare=main", "--sst2-shard=1/2", "--sst2-json=a.json")
    assert pickle.loads(pickle.dumps(read)) == read
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.rounds = 2  # type: ignore[misc]
