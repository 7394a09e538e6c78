"""Damaged command lines and ini files: the settings of a run, or one sentence."""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import os
from unittest import mock

import pytest
from _pytest.config import _prepareconfig
from _pytest.config.findpaths import load_config_dict_from_file
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2 import plugin
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.matrix import read_matrix
from pytest_sst2.config.options import OPTIONS
from pytest_sst2.config.read_settings import read_settings
from pytest_sst2.config.registry import Registry
from pytest_sst2.session.inputs import load_inputs
from pytest_sst2.utils.errors import Sst2Error
from tests.config.test_options_fuzzed import VALUES
from tests.support import SAMPLES
from tests.support.fuzzing import FUZZ, refusal

ACCEPTED = {
    "data": "pocket",
    "train_size": "5",
    "floors": "floors.toml",
    "compare": "main",
    "save": "new",
    "seeds": "1,2",
}
INI, COMMAND_LINE = True, False


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """pytest's own configuration in a project with a baseline, floors and a model; read once because it is slow."""
    folder = tmp_path_factory.mktemp("fuzzed")
    sample = (SAMPLES / "results_version_4.json").read_text(encoding="utf-8")
    for name, text in ((".sst2/main.json", sample), ("baseline.json", sample), ("floors.toml", "")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "encoder").mkdir()
    (folder / "encoder" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    without_others = mock.patch.dict(os.environ, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    with without_others, contextlib.chdir(folder):
        return _prepareconfig(["-c", str(folder / "pytest.ini"), "-p", "no:cacheprovider"], plugins=[plugin])


def check_settings(config, options) -> None:
    """Assert that a run with some options, each as (option, value, in the ini file), has valid settings."""
    config = copy.copy(config)
    ini = "".join(f"{option.dest} = {one_line(value)}\n" for option, value, in_ini in options if in_ini)
    typed = [(option, value) for option, value, in_ini in options if not in_ini]
    arguments = [option.flag if option.parse is None else f"{option.flag}={value}" for option, value in typed]
    path = config.rootpath / "pytest.ini"
    path.write_text(f"[pytest]\n{ini}", encoding="utf-8", errors="replace")
    # pytest warns about file_or_dir in a namespace that it parses into again.
    namespace = argparse.Namespace(**{key: value for key, value in vars(config.option).items() if key != "file_or_dir"})
    try:
        config._inicfg = load_config_dict_from_file(path) or {}
        config._inicache = {}
        config.option = config._parser.parse(arguments, namespace=namespace)
    except pytest.UsageError as error:
        # The last line is the sentence, after pytest's usage.
        raise Sst2Error(str(error).splitlines()[-1]) from error
    config.invocation_params = dataclasses.replace(config.invocation_params, args=tuple(arguments), dir=config.rootpath)
    settings = read_settings(config)
    load_inputs(settings, is_worker=False)
    matrix = read_matrix(settings, Registry(CATALOG, METHODS))
    assert matrix.models
    assert matrix.methods
    assert settings.rounds >= 1
    assert 0 <= settings.tolerance <= 1
    assert 0 < settings.alpha < 1
    assert settings.recipe.seeds
    assert settings.recipe.label
    assert settings.recipe.train_size is None or settings.recipe.train_size >= 1


def one_line(value: str) -> str:
    return value.replace("\n", "\n  ").replace("\r", " ")


def refusal_of(config, *options) -> str:
    return refusal(lambda _: check_settings(config, options), b"")


@pytest.mark.parametrize("in_ini", [INI, COMMAND_LINE], ids=["ini", "command line"])
def test_valid_values_are_read(in_ini, config):
    values = [(option, ACCEPTED.get(option.name) or option.default or "1") for option in OPTIONS]
    assert "" in [refusal_of(config, (option, value, in_ini)) for option, value in values]


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES, st.booleans()), min_size=1, max_size=6))
def test_damaged_values_are_read_or_refused(config, options):
    refusal_of(config, *options)


@pytest.mark.parametrize(
    ("name", "value", "in_ini", "part"),
    [
        ("data", "--", COMMAND_LINE, "--sst2-data: a value is missing"),
        ("models", "'never closed", INI, "ini option sst2_models: No closing quotation"),
        ("no_cache", "perhaps", INI, "ini option sst2_no_cache: invalid truth value 'perhaps'"),
        ("train_size", "9" * 5000, INI, "ini option sst2_train_size: '999"),
        ("json", "~no-such-user/x", INI, "--sst2-json '~no-such-user/x' is in a home folder"),
        ("report", "~no-such-user/x", INI, "--sst2-report '~no-such-user/x' is in a home folder"),
        ("floors", "~no-such-user/x", INI, "--sst2-floors '~no-such-user/x' is in a home folder"),
        ("json", "a" * 300, INI, "is not a valid path: File name too long"),
        ("data", "a" * 300, INI, "is neither auto, hub, pocket nor a folder"),
    ],
)
def test_what_broke_the_reader_is_refused(name, value, in_ini, part, config):
    option = next(option for option in OPTIONS if option.name == name)
    assert part in refusal_of(config, (option, value, in_ini))
