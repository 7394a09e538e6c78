"""Find a model's modules: their folders, weight files and configs.

A transformers model is one folder. A sentence-transformers model has a ``modules.json``, which lists one folder per
module. A ``Router`` module contains further modules, which its own config lists. The first module is a transformer,
a ``Router``, or a table of word vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.models.safety import path_inside
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_json

STATIC_FILES = {
    "BoW": "config.json",
    "StaticEmbedding": "tokenizer.json",
    "WordEmbeddings": "wordembedding_config.json",
}
"""Modules that turn words into vectors without a transformer, and the file that each reads next to its weights.

A bag of words (``BoW``) has its weights in that file.
"""

_ROUTERS = ("Asym", "Router")
# Files in which a Router lists its modules; the second is from sentence-transformers before 5.
_ROUTES = ("router_config.json", "config.json")
_MAX_MODULES = 30


class Module(NamedTuple):
    """A module that sentence-transformers loads: its class, its folder, and the JSON file that lists it."""

    class_name: Any
    folder: Path
    source: Path

    @property
    def kind(self) -> str:
        """The name of its class, without the package."""
        return str(self.class_name).rpartition(".")[2]

    @property
    def is_transformer(self) -> bool:
        """Whether transformers loads the module."""
        return self.kind.endswith("Transformer")

    @property
    def is_static(self) -> bool:
        """Whether it turns words into vectors without a transformer."""
        return self.kind in STATIC_FILES


def _modules(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of modules.json, or an empty list without such a file."""
    path = folder / "modules.json"
    if not path.is_file():
        return []
    modules = read_json(path)
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("path", ""), str | None) for module in modules
    ):
        raise Sst2Error(f"{path} does not contain a list of modules. Save the model again with sentence-transformers.")
    # Of two modules with one name, sentence-transformers keeps the last.
    names = [str(module["name"]) for module in modules if "name" in module]
    if len(set(names)) < len(names):
        raise Sst2Error(f"{path} has two modules with one name. Give each module its own name: its position.")
    return modules


def transformer_folder(folder: Path) -> Path | None:
    """Return the folder with config, weights and tokenizer: the model's folder, or that of its first module.

    If both have a config, the module's folder is returned, because sentence-transformers loads that. None if the first
    module is not a single transformer: a Router, or a module of ``STATIC_FILES``.

    Raises:
        Sst2Error: ``modules.json`` contains no list of modules, or names a folder outside the model's folder.
    """
    first = first_module(folder)
    if first is None:
        return folder
    if first.is_static or first.kind in _ROUTERS:
        return None
    is_transformer = first.is_transformer and (first.folder / "config.json").is_file()
    return first.folder if is_transformer or not (folder / "config.json").is_file() else folder


def first_module(folder: Path) -> Module | None:
    """Return the module that reads the sentences; None without ``modules.json``. Raises as ``transformer_folder``."""
    return next(iter(_top_modules(folder)), None)


def weight_files(folder: Path, single: str = "model.safetensors") -> list[Path]:
    """Return the weight files of a module, or an empty list if one is missing: one file, or the shards of an index.

    If there is both a single file and shards, the single file is returned, because the libraries load that.

    Raises:
        Sst2Error: The shard index has no list of files, or names a file outside the folder.
    """
    files, index = [folder / single], folder / f"{single}.index.json"
    if index.is_file() and not files[0].is_file():
        content = read_json(index)
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise Sst2Error(f"{index} has no weight_map from tensors to files. Copy or download it again.")
        files = [path_inside(folder, name, index) for name in sorted(set(weight_map.values()))]
    return files if files and all(path.is_file() for path in files) else []


def pickle_files(folder: Path) -> list[Path]:
    """Return the pickled weights of a module; otherwise as ``weight_files``."""
    return weight_files(folder, "pytorch_model.bin")


def listed_modules(folder: Path) -> list[Module]:
    """Return the modules of a sentence-transformers model, those of its Routers included.

    Raises:
        Sst2Error: A folder is outside the model's folder, there are too many modules, or a config is not JSON.
    """
    modules = _top_modules(folder)
    for module in modules:  # grows in the loop
        modules += _routes(module.folder)
        if len(modules) > _MAX_MODULES:
            raise Sst2Error(
                f"{module.source} leads to more than {_MAX_MODULES} modules, as a Router does that contains itself. "
                "Save the model again with sentence-transformers."
            )
    return modules


def loaded_folders(folder: Path) -> list[Path]:
    """Return the folders whose weights are loaded: the transformer's first, then those of all other modules.

    Raises:
        Sst2Error: As ``listed_modules``.
    """
    transformer = transformer_folder(folder)
    modules = (module.folder for module in listed_modules(folder))
    # A dict as an ordered set: a module can be listed twice.
    return list(dict.fromkeys((*([transformer] if transformer else []), *modules)))


def all_folders(folder: Path) -> list[Path]:
    """Return a model's folder and the folders of all its modules."""
    return list(dict.fromkeys((folder, *loaded_folders(folder))))


def encoder_folders(folder: Path) -> list[Path]:
    """Return the folders of a model's transformers, the main one first: usually one, several with a Router.

    Raises:
        Sst2Error: A config is not JSON.
    """
    modules, main = listed_modules(folder), transformer_folder(folder)
    by_class = {module.folder for module in modules if module.is_transformer} | {main}
    others = {module.folder for module in modules if module.is_static or module.kind in _ROUTERS}

    def is_encoder(place: Path) -> bool:
        config = place / "config.json"
        return place in by_class or (place not in others and config.is_file() and "model_type" in read_json(config))

    return [place for place in loaded_folders(folder) if is_encoder(place)]


def weighted_folders(folder: Path) -> list[Path]:
    """Return the folders that must have weight files: of transformers and of word vectors. Other modules may have none.

    Raises:
        Sst2Error: As ``encoder_folders``.
    """
    static = (module.folder for module in listed_modules(folder) if module.is_static and module.kind != "BoW")
    return list(dict.fromkeys((*encoder_folders(folder), *static)))


def _top_modules(folder: Path) -> list[Module]:
    index = folder / "modules.json"
    return [
        Module(module.get("type"), path_inside(folder, module.get("path") or "", index), index)
        for module in _modules(folder)
    ]


def _routes(folder: Path) -> Iterator[Module]:
    """Yield the modules that a Router lists."""
    for config in (folder / name for name in _ROUTES):
        content = read_json(config) if config.is_file() else None
        types = content.get("types") if isinstance(content, dict) else None
        for name, class_name in types.items() if isinstance(types, dict) else ():
            yield Module(class_name, path_inside(folder, name, config), config)
