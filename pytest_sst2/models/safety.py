"""Refuse unsafe model files: paths outside the folder, remote code, wrong sizes, NaN or infinite weights.

The checks read names, JSON and safetensors headers, before a library loads anything. Only ``refuse_nonfinite_weights``
reads the weights themselves.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

# Config keys for widths in common architectures. Each width is the size of some tensor dimension.
_WIDTHS = (
    *("hidden_size", "intermediate_size", "vocab_size", "embedding_size", "num_labels"),
    *("dim", "hidden_dim", "d_model", "d_ff", "n_embd", "ffn_dim"),
)
# Config keys for layer widths in modules of sentence-transformers.
_LAYER_WIDTHS = (
    *("in_features", "out_features", "hidden_dim", "in_word_embedding_dimension", "out_channels", "dimension"),
)
# In bytes, on all common file systems.
_MAX_NAME_BYTES = 255
_DEPTH = re.compile(r"(?:num_|n_|_)layers?$")
# Table sizes. Models with rotary or relative positions have no such table, even if their config has a size.
_TABLES = ("max_position_embeddings", "n_positions", "type_vocab_size")
_HIDDEN = ("hidden_size", "dim", "d_model", "n_embd")
_MAX_TABLE_TO_WEIGHTS = 10
# Config keys such as attn_implementation, which can name compiled code in a repository (``org/name``).
_KERNEL = re.compile(r"_implementation(?:_internal)?$")


def path_inside(folder: Path, name: str, source: Path) -> Path:
    """Return the path of a file or folder that a model's JSON file names relative to ``folder``.

    Args:
        folder: The folder that must contain it.
        name: The relative path.
        source: The JSON file, for the message.

    Raises:
        Sst2Error: The path is outside the folder, or no file can have that name.
    """
    path = PureWindowsPath(name)  # accepts both separators, drives, and absolute paths of both systems
    if path.is_absolute() or path.drive or path.root or ".." in path.parts:
        raise Sst2Error(
            f"{source} names {name!r}, which is outside the model's folder; only files in {folder} are allowed."
        )
    if "\0" in name or any(len(part.encode(errors="replace")) > _MAX_NAME_BYTES for part in path.parts):
        raise Sst2Error(f"{source} names {quoted(name)}, which is not a valid file name. Copy or download it again.")
    return folder / name


def refuse_unsafe_paths(name: str, folder: Path) -> None:
    """Refuse symbolic links out of a model's folder, and entries that are neither files nor folders.

    Opening a pipe would block forever. Links of the Hub's cache to its own blobs are allowed.

    Raises:
        Sst2Error: There is such an entry, at any depth.
    """
    folder = folder.resolve()
    home = folder.parent.parent if folder.parent.name == "snapshots" else folder
    for path in sorted(folder.rglob("*")):
        try:
            leads_to = path.resolve() if path.is_symlink() else path
            mode = leads_to.stat().st_mode if leads_to.exists() else stat.S_IFREG  # a broken link is harmless
        except (OSError, RuntimeError) as error:  # RuntimeError: a circular link before Python 3.13
            raise Sst2Error(f"model {name!r}: {path} cannot be read ({error}). Remove it.") from error
        if not leads_to.is_relative_to(home):
            raise Sst2Error(
                f"model {name!r}: {path} is a link to {leads_to}, outside the model's folder. Replace the link by the "
                "file."
            )
        # A git clone can contain the socket of git's file-system monitor, which cannot be opened and so cannot block.
        of_git = stat.S_ISSOCK(mode) and ".git" in path.relative_to(folder).parts
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or of_git):
            raise Sst2Error(
                f"model {name!r}: {path} is neither a file nor a folder but a pipe, a socket or a device, which could "
                "block forever. Remove it."
            )


def remote_code(configs: Iterable[Path]) -> str:
    """Return the code that a config of transformers would import and the file that names it, or an empty string.

    Args:
        configs: JSON files of the transformer and its tokenizer.
    """
    for path in configs:
        for key, value in config_settings(read_json(path)):
            if key == "auto_map":
                return f"auto_map in its {path.name}"
            if _KERNEL.search(key) and "/" in str(value):
                return f"{value}, the {key.strip('_')} in its {path.name}"
    return ""


def refuse_oversized_config(name: str, config: dict[str, Any], weight_files: Sequence[Path]) -> None:
    """Refuse weights with a wrong header, and a config with sizes larger than those of the weights.

    A library builds the model of the config first, which may need more memory than any machine has.

    Raises:
        Sst2Error: A file is not safetensors, or a size in the config is larger than the weights allow.
    """
    shapes = [shape for path in weight_files for shape in _shapes(name, path)]
    longest = max((side for shape in shapes for side in shape), default=0)
    numbers = sum(math.prod(shape) for shape in shapes)
    settings = sorted(config_settings(config), key=lambda setting: setting[0])
    width = max((value for key, value in settings if key in _HIDDEN and isinstance(value, int)), default=1)
    for key, value in settings:
        if not isinstance(value, int):
            continue
        if key in _WIDTHS and value > longest:
            raise _too_large(name, key, value, f"no dimension of its weights is larger than {longest:,}")
        if _DEPTH.search(key) and value > len(shapes):
            raise _too_large(name, key, value, f"its weights have only {len(shapes):,} tensors")
        if key in _TABLES and value * width > _MAX_TABLE_TO_WEIGHTS * numbers:
            raise _too_large(name, key, value, f"its weights have only {numbers:,} numbers")


def refuse_oversized_module(name: str, config: dict[str, Any], weight_files: Sequence[Path]) -> None:
    """Refuse a sentence-transformers module whose config has sizes larger than those of its weights.

    Args:
        name: The model's name.
        config: The module's config.
        weight_files: The module's weight files. Most modules have none.

    Raises:
        Sst2Error: A file is not safetensors, or a size in the config is larger than the weights allow.
    """
    shapes = [shape for path in weight_files for shape in _shapes(name, path)]
    longest = max((side for shape in shapes for side in shape), default=0)
    for key, value in sorted(config_settings(config), key=lambda setting: setting[0]):
        is_size = key in _LAYER_WIDTHS or (_DEPTH.search(key) and bool(shapes))
        if is_size and isinstance(value, int) and value > max(longest, len(shapes)):
            raise _too_large(name, key, value, f"no dimension of the module's weights is larger than {longest:,}")


def refuse_unverified_weights(name: str, folder: Path, config: dict[str, Any]) -> None:
    """Refuse weights that the libraries would load in addition to, or instead of, the verified ones.

    Raises:
        Sst2Error: The folder contains an adapter, or its config names another weight file.
    """
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        raise Sst2Error(
            f"model {name!r}: {adapter} makes it an adapter, which has an effect only if peft is installed. "
            "Install peft, merge the adapter into its model, and save the result: "
            "model.merge_and_unload().save_pretrained(folder)."
        )
    if other := config.get("transformers_weights"):
        raise Sst2Error(
            f"model {name!r}: its config.json loads the weights from {other!r} (transformers_weights); only "
            "model.safetensors and its shards are allowed. Rename the file and remove this setting."
        )


def refuse_nonfinite_weights(name: str, weight_files: Sequence[Path]) -> None:
    """Refuse weights with NaN or infinity. Otherwise all predictions would be equal, without an error.

    Raises:
        Sst2Error: A tensor contains NaN or infinity.
    """
    import torch
    from safetensors import safe_open

    for path in weight_files:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                tensor = file.get_tensor(key)
                if not tensor.is_floating_point():
                    continue
                # In float32, as used for arithmetic: larger float64 numbers become infinite.
                finite = torch.isfinite(tensor.float())
                if not finite.all():
                    count = int(finite.numel() - finite.sum())
                    raise Sst2Error(
                        f"model {name!r}: {count:,} of the {finite.numel():,} numbers of {key} in {path} are NaN or "
                        "infinite in float32. Its training diverged, or the file is damaged. Use another checkpoint."
                    )


def config_settings(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of every setting of a config, nested configs included."""
    parts = [content]
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            yield from part.items()
            parts += part.values()
        elif isinstance(part, list):
            parts += part


def _shapes(name: str, path: Path) -> Iterator[list[int]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                yield file.get_slice(key).get_shape()
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Sst2Error(
            f"model {name!r}: {path} is not a valid safetensors file ({reason}). Copy or download it again, or save it "
            "again with save_pretrained() from a checkpoint that you trust."
        ) from error


def _too_large(name: str, key: str, value: int, limit: str) -> Sst2Error:
    size = f"{value:,}" if value.bit_length() < 100 else quoted(value)
    return Sst2Error(
        f"model {name!r}: its config.json sets {key} = {size}, but {limit}. Config and weights do not belong together. "
        "Use files of one checkpoint."
    )
