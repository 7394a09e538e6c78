"""A model's layout: in which folders its modules are, and which files of them hold weights and settings.

That of transformers is one folder. That of sentence-transformers has ``modules.json``, which names a folder a module;
a module that routes (``Router``) has others below it, which its own config names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.models.safety import inside
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_json

# Where a module that routes says which modules are below it; the second is of releases before 5.
_ROUTES = ("router_config.json", "config.json")


def _modules(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of modules.json, or none where there is no such file."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise Sst2Error(f"{path} is not a list of modules, as sentence-transformers writes it.")
    return modules


def transformer_folder(folder: Path) -> Path:
    """Return the folder with config, weights and tokenizer: the model's own, or that of its first module.

    Where both have a config, it is that of the module, which is the one that sentence-transformers loads.

    Raises:
        Sst2Error: ``modules.json`` is no list of modules, or names a folder outside of the model's.
    """
    modules = _modules(folder)
    if not modules:
        return folder
    first = inside(folder, str(modules[0].get("path") or ""), folder / "modules.json")
    is_transformer = str(modules[0].get("type")).endswith("Transformer") and (first / "config.json").is_file()
    return first if is_transformer or not (folder / "config.json").is_file() else folder


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a module, all of them or none: a shard that is missing makes it none.

    Where there are a single file and shards, it is the single one, as the libraries have it.

    Raises:
        Sst2Error: The index of shards has no list of files, or names one outside of the folder.
    """
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if index.is_file() and not files[0].is_file():
        content = read_json(index)
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise Sst2Error(f"{index} has no weight_map from tensors to files.")
        files = [inside(folder, name, index) for name in sorted(set(weight_map.values()))]
    return files if files and all(path.is_file() for path in files) else []


def module_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return the folders of the sentence-transformers modules after the transformer itself, and of those within them.

    Raises:
        Sst2Error: One lies outside of the model's folder, or a config is no JSON.
    """
    told_in = folder / "modules.json"
    # Keys alone are wanted, in order: a module may be named twice.
    found = dict.fromkeys(inside(folder, str(module.get("path") or ""), told_in) for module in _modules(folder))
    waiting = [transformer, *found]
    while waiting:
        within = [path for path in _routed(waiting.pop()) if path not in found]
        found |= dict.fromkeys(within)
        waiting += within
    return [path for path in found if path != transformer]


def all_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return a model's own folder and those of all its modules, the transformer's included."""
    return list(dict.fromkeys((folder, transformer, *module_folders(folder, transformer))))


def encoder_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return the folders of a model's transformers: most have one, a model that routes may have several.

    Raises:
        Sst2Error: A config is no JSON.
    """
    others = (path for path in module_folders(folder, transformer) if (path / "config.json").is_file())
    return [transformer, *(path for path in others if "model_type" in read_json(path / "config.json"))]


def _routed(module: Path) -> Iterator[Path]:
    """Yield the folders of the modules that a module names as its own."""
    for config in (module / name for name in _ROUTES):
        content = read_json(config) if config.is_file() else None
        types = content.get("types") if isinstance(content, dict) else None
        if isinstance(types, dict):
            yield from (inside(module, name, config) for name in types)


def module_configs(folder: Path, transformer: Path) -> list[Path]:
    """Return the JSON files in which sentence-transformers looks for its modules and their settings."""
    found = [path for place in module_folders(folder, transformer) for path in sorted(place.glob("*config.json"))]
    modules = folder / "modules.json"
    return [modules, *found] if modules.is_file() else found
