"""Choose the files of a model's repository on the Hub, and find out which one a cached copy lacks.

Read are configs, tokenizer files, the modules of sentence-transformers, and weights in one format: safetensors, or the
pickles of a repository that has nothing else.
"""

from __future__ import annotations

import fnmatch
import importlib.util
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath

from pytest_sst2.config.specs import former_name
from pytest_sst2.models.layout import module_folders, transformer_folder, weight_files
from pytest_sst2.models.not_a_model import ADAPTER
from pytest_sst2.models.pickles import pickle_files
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command
from pytest_sst2.utils.safe_read import read_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spm.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
# Names, and patterns of names, that are read if a folder has them.
SMALL_FILES = (
    *TOKENIZER_FILES,
    *("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("modules.json", "config_sentence_transformers.json", "sentence_*_config.json", "router_config.json"),
)
# Weights by format, the preferred one first; each format as a single file or as an index with shards.
_FORMATS = (
    (("model.safetensors",), ("model.safetensors.index.json", "model-*-of-*.safetensors")),
    (("pytorch_model.bin",), ("pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")),
)
# Copies of the model in other formats, which some repositories keep with a config of their own.
_EXPORTS = frozenset({"onnx", "openvino", "coreml", "tflite", "gguf"})


def names_in_cache(hub_id: str) -> tuple[str, ...]:
    """Return the names under which a repository may be cached: its own, and the one from before it had an owner."""
    former = former_name(hub_id)
    return (hub_id, former) if former else (hub_id,)


def select(sizes: Mapping[str, int | None]) -> list[str]:
    """Return the names of the files to download.

    Args:
        sizes: The size of each file of the repository by name.

    Raises:
        Sst2Error: The repository holds no model, or its tokenizer needs a package that is missing.
    """
    return _select(sizes, SMALL_FILES)


def select_with_code(sizes: Mapping[str, int | None]) -> list[str]:
    """Return the names of the files to download, including Python code; raises the same as ``select``."""
    return _select(sizes, (*SMALL_FILES, "*.py"))


def _select(sizes: Mapping[str, int | None], small: Iterable[str]) -> list[str]:
    folders: dict[str, list[str]] = {}
    for name in sizes:
        path = PurePosixPath(name)
        folders.setdefault(path.parent.as_posix(), []).append(path.name)
    names: list[str] = []
    weights: list[str] = []
    for folder, files in folders.items():
        is_module = folder == "." or not {"config.json", "router_config.json"}.isdisjoint(files)
        if is_module and _EXPORTS.isdisjoint(PurePosixPath(folder).parts):
            prefix = "" if folder == "." else f"{folder}/"
            names += [prefix + name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in small)]
            weights += [prefix + name for name in _weights(files)]
    if "config.json" not in sizes and "modules.json" not in sizes:
        holds = ADAPTER if "adapter_config.json" in sizes else "has no config.json, so it holds no model"
        raise Sst2Error(f"its repository {holds}")
    if not weights:
        raise Sst2Error("its repository has neither model.safetensors nor pytorch_model.bin")
    _check_tokenizer({PurePosixPath(name).name for name in names})
    return [*names, *weights]


def _weights(files: list[str]) -> list[str]:
    """Return the weight files of a folder in the preferred format that it has."""
    for single, sharded in _FORMATS:
        for patterns in (single, sharded):
            if patterns[0] in files:
                return [name for name in files if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    return []


def _check_tokenizer(names: set[str]) -> None:
    if "tokenizer.json" in names or names.isdisjoint({"spm.model", "spiece.model"}) or "vocab.txt" in names:
        return
    missing = [name for name in ("sentencepiece", "google.protobuf") if not _is_installed(name)]
    if missing:
        raise Sst2Error(
            f"its tokenizer needs {' and '.join(missing)}, not installed here (extra pytest-sst2[deberta]): "
            f"{install_command('deberta')}"
        )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False


def check(folder: Path) -> None:
    """Refuse a repository by its small files, before its weights are downloaded.

    Raises:
        Sst2Error: The installed transformers cannot load a config without a model type.
    """
    config = transformer_folder(folder) / "config.json"
    content = read_json(config) if config.is_file() else {}
    if isinstance(content, dict) and "model_type" not in content and int(metadata.version("transformers")[0]) > 4:
        raise Sst2Error(
            "its config.json has no model_type, which transformers 5 needs: name another repository, or a local "
            "copy with model_type added"
        )


def missing_file(folder: Path, *, sentence_encoder: bool) -> str:
    """Return the name of a required file that a cached copy lacks, or an empty string.

    Args:
        folder: The snapshot's folder.
        sentence_encoder: Whether the model is known to have sentence-transformers modules.
    """
    if sentence_encoder and not (folder / "modules.json").is_file():
        return "modules.json"
    try:
        transformer = transformer_folder(folder)
        modules = module_folders(folder, transformer)
        has_weights = bool(weight_files(transformer) or pickle_files(transformer))
    except Sst2Error as error:
        return f"readable settings ({str(error).rstrip('.')})"
    if not (transformer / "config.json").is_file():
        return "config.json"
    if not has_weights:
        return "model.safetensors"
    if not any((transformer / name).is_file() for name in TOKENIZER_FILES):
        return "a tokenizer"
    # A normalization has no files, and so no folder on the Hub.
    empty = (place for place in modules if not place.name.endswith("_Normalize") and not any(place.glob("*")))
    return next((f"{place.relative_to(folder)}/config.json" for place in empty), "")
