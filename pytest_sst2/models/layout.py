"""Find a model's modules: their folders, weight files and configs.

A transformers model is one folder. A sentence-transformers model has a ``modules.json``, which lists one folder per
module. A ``Router`` module contains further modules, which its own config lists.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.models.safety import path_inside
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_json

# Files in which a Router lists its modules; the second is from sentence-transformers before 5.
_ROUTES = ("router_config.json", "config.json")


def _modules(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of modules.json, or an empty list without such a file."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    modules = read_json(path)
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise Sst2Error(f"{path} does not contain a list of modules. Save the model again with sentence-transformers.")
    return modules


def transformer_folder(folder: Path) -> Path:
    """Return the folder with config, weights and tokenizer: the model's folder, or that of its first module.

    If both have a config, the module's folder is returned, because sentence-transformers loads that.

    Raises:
        Sst2Error: ``modules.json`` contains no list of modules, or names a folder outside the model's folder.
    """
    modules = _modules(folder)
    if not modules:
        return folder
    first = path_inside(folder, str(modules[0].get("path") or ""), folder / "modules.json")
    is_transformer = str(modules[0].get("type")).endswith("Transformer") and (first / "config.json").is_file()
    return first if is_transformer or not (folder / "config.json").is_file() else folder


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a module, or an empty list if one is missing.

    If there is both a single file and shards, the single file is returned, because the libraries load that.

    Raises:
        Sst2Error: The shard index has no list of files, or names a file outside the folder.
    """
    index = folder / "model.safetensors.index.json"
    files = [folder / "model.safetensors"]
    if index.is_file() and not files[0].is_file():
        content = read_json(index)
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise Sst2Error(f"{index} has no weight_map from tensors to files. Copy or download it again.")
        files = [path_inside(folder, name, index) for name in sorted(set(weight_map.values()))]
    return files if files and all(path.is_file() for path in files) else []


def module_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return the folders of all sentence-transformers modules except the transformer, nested ones included.

    Raises:
        Sst2Error: A folder is outside the model's folder, or a config is not JSON.
    """
    index = folder / "modules.json"
    # A dict as an ordered set: a module can be listed twice.
    folders = dict.fromkeys(path_inside(folder, str(module.get("path") or ""), index) for module in _modules(folder))
    unvisited = [transformer, *folders]
    while unvisited:
        nested = [path for path in _router_folders(unvisited.pop()) if path not in folders]
        folders |= dict.fromkeys(nested)
        unvisited += nested
    return [path for path in folders if path != transformer]


def all_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return a model's folder and the folders of all its modules, the transformer included."""
    return list(dict.fromkeys((folder, transformer, *module_folders(folder, transformer))))


def encoder_folders(folder: Path, transformer: Path) -> list[Path]:
    """Return the folders of a model's transformers: one, or several if it has a Router.

    Raises:
        Sst2Error: A config is not JSON.
    """
    others = (path for path in module_folders(folder, transformer) if (path / "config.json").is_file())
    return [transformer, *(path for path in others if "model_type" in read_json(path / "config.json"))]


def _router_folders(module: Path) -> Iterator[Path]:
    """Yield the folders of the modules that a Router lists."""
    for config in (module / name for name in _ROUTES):
        content = read_json(config) if config.is_file() else None
        types = content.get("types") if isinstance(content, dict) else None
        if isinstance(types, dict):
            yield from (path_inside(module, name, config) for name in types)


def module_configs(folder: Path, transformer: Path) -> list[Path]:
    """Return the JSON files that sentence-transformers reads for its modules and their settings."""
    configs = [path for place in module_folders(folder, transformer) for path in sorted(place.glob("*config.json"))]
    modules = folder / "modules.json"
    return [modules, *configs] if modules.is_file() else configs
