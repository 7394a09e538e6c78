"""Choose the files of a model's repository on the Hub, and find out which one a cached copy lacks.

Read are configs, tokenizer files, the modules of sentence-transformers, and weights in one format: safetensors, or the
pickles of a repository that has nothing else.
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_sst2.hub.worker import Fetch
from pytest_sst2.models.layout import (
    STATIC_FILES,
    all_folders,
    listed_modules,
    loaded_folders,
    pickle_files,
    transformer_folder,
    weight_files,
    weighted_folders,
)
from pytest_sst2.models.not_a_model import ADAPTER, TOKENIZER_FILES, missing_tokenizer
from pytest_sst2.models.safety import config_settings
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command
from pytest_sst2.utils.safe_read import read_json

# Names, and patterns of names, that are read if a folder has them.
SMALL_FILES = (
    *TOKENIZER_FILES,
    *("config.json", "*tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("modules.json", "config_sentence_transformers.json", "sentence_*_config.json", "router_config.json"),
    *("wordembedding_config.json", "cnn_config.json", "lstm_config.json"),
)
# Weights by format, the preferred one first; each format as a single file or as an index with shards.
_FORMATS = (
    ("model.safetensors",),
    ("model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
)


def select(sizes: Mapping[str, int | None], fetch: Fetch) -> list[str]:
    """Return the names of the files to download; see ``hub.worker.Request``.

    The small files are fetched here, because ``modules.json`` and the configs of Routers tell which folders are read.

    Raises:
        Sst2Error: The repository holds no model, its tokenizer needs a package that is missing, or the installed
            transformers cannot load a config without a model type.
    """
    return _select(sizes, fetch, SMALL_FILES)


def select_with_code(sizes: Mapping[str, int | None], fetch: Fetch) -> list[str]:
    """Return the names of the files to download, including Python code; raises the same as ``select``."""
    return _select(sizes, fetch, (*SMALL_FILES, "*.py"))


def _select(sizes: Mapping[str, int | None], fetch: Fetch, patterns: Sequence[str]) -> list[str]:
    if "config.json" not in sizes and "modules.json" not in sizes:
        holds = ADAPTER if "adapter_config.json" in sizes else "has no config.json, so it holds no model"
        raise Sst2Error(f"its repository {holds}")
    names: list[str] = []
    places, found = [], ["."]
    while new := [place for place in found if place not in places]:
        places += new
        small = [name for place in new for name in _matching(sizes, place, patterns)]
        _check_tokenizer({PurePosixPath(name).name for name in small})
        snapshot = fetch(names := [*names, *small])
        found = _relative(all_folders(snapshot), snapshot)
    if transformer := transformer_folder(snapshot):
        place = transformer.relative_to(snapshot).as_posix()
        if clause := missing_tokenizer({PurePosixPath(name).name for name in _matching(sizes, place, ["*"])}):
            raise Sst2Error(f"its repository {clause}")
    _check_model_type(snapshot)
    weights = {place: _weights(sizes, place) for place in _relative(loaded_folders(snapshot), snapshot)}
    for place in _relative(weighted_folders(snapshot), snapshot):
        if not weights[place]:
            where = "repository" if place == "." else f"folder {place}"
            raise Sst2Error(f"its {where} has neither model.safetensors nor pytorch_model.bin")
    return [*names, *(name for files in weights.values() for name in files)]


def _relative(places: Sequence[Path], snapshot: Path) -> list[str]:
    return [place.relative_to(snapshot).as_posix() for place in places]


def _matching(names: Iterable[str], place: str, patterns: Sequence[str]) -> list[str]:
    """Return the names of the files in a folder, without those below it, that match a pattern."""
    paths = [path for path in map(PurePosixPath, names) if path.parent.as_posix() == place]
    return [str(path) for path in paths if any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)]


def _weights(names: Iterable[str], place: str) -> list[str]:
    """Return the weight files of a folder in the preferred format that it has."""
    form = next((form for form in _FORMATS if _matching(names, place, form[:1])), ())
    return _matching(names, place, form)


def _check_tokenizer(names: set[str]) -> None:
    if "tokenizer.json" in names or names.isdisjoint({"spm.model", "spiece.model"}) or "vocab.txt" in names:
        return
    try:
        importlib.import_module("google.protobuf")
        importlib.import_module("sentencepiece")
    except ImportError as error:
        raise Sst2Error(
            "its tokenizer needs protobuf and sentencepiece, which are not both installed here (extra "
            f"pytest-sst2[deberta]): {install_command('deberta')}"
        ) from error


def _check_model_type(folder: Path) -> None:
    config = (transformer_folder(folder) or folder) / "config.json"
    content = read_json(config) if config.is_file() else None
    if isinstance(content, dict) and "model_type" not in content and int(metadata.version("transformers")[0]) > 4:
        raise Sst2Error(
            "its config.json has no model_type, which transformers 5 needs: name another repository, or a local "
            "copy with model_type added"
        )


def missing_file(folder: Path, *, sentence_encoder: bool, with_code: bool) -> str:
    """Return the name of a required file that a cached copy lacks, or an empty string.

    Args:
        folder: The snapshot's folder.
        sentence_encoder: Whether the model is known to have sentence-transformers modules.
        with_code: Whether Python files are required if its configs name some.
    """
    if sentence_encoder and not (folder / "modules.json").is_file():
        return "modules.json"
    try:
        return next(_missing_files(folder, with_code=with_code), "")
    except Sst2Error as error:
        return f"readable settings ({str(error).rstrip('.')})"


def _missing_files(folder: Path, *, with_code: bool) -> Iterator[str]:
    transformer = transformer_folder(folder)
    needed = [module.folder / STATIC_FILES[module.kind] for module in listed_modules(folder) if module.is_static]
    needed += [transformer / "config.json"] if transformer else []
    needed += [
        place / "model.safetensors"
        for place in weighted_folders(folder)
        if not weight_files(place) and not pickle_files(place)
    ]
    yield from (path.relative_to(folder).as_posix() for path in needed if not path.is_file())
    if with_code and any(map(_is_own, _named_code(folder))) and not any(folder.rglob("*.py")):
        yield "its Python code"
    if transformer and not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        yield "a tokenizer"
    for place in loaded_folders(folder):
        # A normalization has no files, and so no folder on the Hub.
        if not place.name.endswith("_Normalize") and not any(place.glob("*")):
            yield (place / "config.json").relative_to(folder).as_posix()


def _named_code(folder: Path) -> Iterator[Any]:
    """Yield the names of the classes outside of the libraries that a model's modules and configs name."""
    yield from (module.class_name for module in listed_modules(folder) if str(module.class_name).count(".") == 1)
    for path in (path for place in all_folders(folder) for path in place.glob("*config.json")):
        for key, value in config_settings(read_json(path)):
            if key == "auto_map":
                values = value.values() if isinstance(value, dict) else [value]
                yield from (name for one in values for name in (one if isinstance(one, list) else [one]))


def _is_own(name: Any) -> bool:
    """Return whether a class is in the model's own repository; the name of another one ends with ``--``."""
    return isinstance(name, str) and "--" not in name
