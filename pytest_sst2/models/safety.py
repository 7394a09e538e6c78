"""What a model's files may not do: point out of their folder, bring code, lie about their size, hold no numbers.

All of it is read from names, JSON and the headers of safetensors files, before a library loads anything;
``refuse_unreal_numbers`` alone reads the weights themselves.
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

# Where configs of the common architectures say how wide they are; each has a tensor with a side of that length.
_WIDTHS = (
    *("hidden_size", "intermediate_size", "vocab_size", "embedding_size", "num_labels"),
    *("dim", "hidden_dim", "d_model", "d_ff", "n_embd", "ffn_dim"),
)
# Likewise where configs of sentence-transformers' modules say how wide a layer of theirs is.
_LAYER_WIDTHS = (
    *("in_features", "out_features", "hidden_dim", "in_word_embedding_dimension", "out_channels", "dimension"),
)
# Of a file, in bytes, on every usual system.
_LONGEST_NAME = 255
_DEPTH = re.compile(r"(?:num_|n_|_)layers?$")
# Tables that a model with rotary or relative positions does not have, whatever its config says of their length.
_TABLES = ("max_position_embeddings", "n_positions", "type_vocab_size")
_HIDDEN = ("hidden_size", "dim", "d_model", "n_embd")
_TIMES_THE_WEIGHTS = 10
# Where configs of sentence-transformers' modules name a class to import, and whose classes these may be.
_CLASSES = ("activation_function", "tokenizer_class", "type", "types")
_MODULES = "sentence_transformers."
_TRUSTED = (_MODULES, "torch.nn.")
# Attention and the like as compiled code of a repository, ``org/name``: attn_implementation, _attn_implementation.
_KERNEL = re.compile(r"_implementation(?:_internal)?$")


def inside(folder: Path, named: str, told_in: Path) -> Path:
    """Return the path of what a model's file names relative to its folder.

    Raises:
        Sst2Error: It lies outside of the folder.
    """
    path = PureWindowsPath(named)  # which knows both separators, drives, and an absolute path of either system
    if path.is_absolute() or path.drive or path.root or ".." in path.parts:
        raise Sst2Error(
            f"{told_in} names {named!r}, which is outside of the model's folder; only files below {folder} are read."
        )
    if "\0" in named or any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in path.parts):
        raise Sst2Error(f"{told_in} names {quoted(named)}, as no file can be called.")
    return folder / named


def refuse_links_out_and_pipes(name: str, folder: Path) -> None:
    """Refuse what is neither a file nor a folder, and symbolic links that leave a model's folder.

    Who opens a pipe waits for ever for what comes out of it. Links of the Hub's cache lead to its own blobs.

    Raises:
        Sst2Error: There is one, at whatever depth.
    """
    folder = folder.resolve()
    home = folder.parent.parent if folder.parent.name == "snapshots" else folder
    for path in sorted(folder.rglob("*")):
        try:
            leads_to = path.resolve() if path.is_symlink() else path
            mode = leads_to.stat().st_mode if leads_to.exists() else stat.S_IFREG  # a link to nothing is no file at all
        except (OSError, RuntimeError) as error:  # RuntimeError: so Python before 3.13 says of a link in a circle
            raise Sst2Error(f"model {name!r}: {path} cannot be looked at ({error}). Remove it.") from error
        if not leads_to.is_relative_to(home):
            raise Sst2Error(
                f"model {name!r}: {path} is a link to {leads_to}, outside of the model's folder. "
                "Copy the file itself there."
            )
        # A clone may have the socket of git's own watcher, which nobody could wait for: a socket cannot be opened.
        of_git = stat.S_ISSOCK(mode) and ".git" in path.relative_to(folder).parts
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or of_git):
            raise Sst2Error(
                f"model {name!r}: {path} is neither a file nor a folder but a pipe, a socket or a device, for which a "
                "library would wait without end. Remove it."
            )


def code_brought_along(configs: Iterable[Path], module_configs: Iterable[Path]) -> str:
    """Return which file of a model names code to import, and which; empty where none does.

    Args:
        configs: JSON files of the transformer and its tokenizer.
        module_configs: JSON files of sentence-transformers, modules.json among them.
    """
    for path in configs:
        for key, value in _settings(read_json(path)):
            if key == "auto_map":
                return f"auto_map in its {path.name}"
            if _KERNEL.search(key) and "/" in str(value):
                return f"{value}, the {key.strip('_')} in its {path.name}"
    for path in module_configs:
        are_modules = path.name == "modules.json"
        for key, value in _settings(read_json(path)):
            for named in value.values() if isinstance(value, dict) else (value,):
                is_class = key in _CLASSES and (are_modules or "." in str(named))
                if is_class and not str(named).startswith(_MODULES if are_modules else _TRUSTED):
                    return f"{named} in its {path.name}"
    return ""


def refuse_lying_sizes(name: str, config: dict[str, Any], weight_files: Sequence[Path]) -> None:
    """Refuse weights whose header is not true, and a config that asks for more than the weights have.

    A library would build what the config asks for first, and that may be more than any machine holds.

    Raises:
        Sst2Error: A file is no safetensors file, or a size in the config is larger than any in the weights.
    """
    shapes = [shape for path in weight_files for shape in _shapes(name, path)]
    longest = max((side for shape in shapes for side in shape), default=0)
    numbers = sum(math.prod(shape) for shape in shapes)
    settings = sorted(_settings(config), key=lambda setting: setting[0])
    width = max((value for key, value in settings if key in _HIDDEN and isinstance(value, int)), default=1)
    for key, value in settings:
        if not isinstance(value, int):
            continue
        if key in _WIDTHS and value > longest:
            raise _asks_too_much(name, key, value, f"no tensor of its weights has a side longer than {longest:,}")
        if _DEPTH.search(key) and value > len(shapes):
            raise _asks_too_much(name, key, value, f"its weights are {len(shapes):,} tensors in all")
        if key in _TABLES and value * width > _TIMES_THE_WEIGHTS * numbers:
            raise _asks_too_much(name, key, value, f"its weights are {numbers:,} numbers in all")


def refuse_lying_layers(name: str, config: dict[str, Any], weight_files: Sequence[Path]) -> None:
    """Refuse a sentence-transformers module that asks for layers its weights do not have.

    Args:
        name: The model's.
        config: The module's settings.
        weight_files: Its own; most modules have none and ask for nothing.

    Raises:
        Sst2Error: A file is no safetensors file, or a size in the config is larger than any in the weights.
    """
    shapes = [shape for path in weight_files for shape in _shapes(name, path)]
    longest = max((side for shape in shapes for side in shape), default=0)
    for key, value in sorted(_settings(config), key=lambda setting: setting[0]):
        counts = key in _LAYER_WIDTHS or (_DEPTH.search(key) and bool(shapes))
        if counts and isinstance(value, int) and value > max(longest, len(shapes)):
            raise _asks_too_much(name, key, value, f"no tensor of that module's weights has a side above {longest:,}")


def refuse_other_weights(name: str, folder: Path, config: dict[str, Any]) -> None:
    """Refuse weights that the libraries would read beside, or instead of, those that are verified.

    Raises:
        Sst2Error: The folder holds an adapter, or its config names another file of weights.
    """
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        raise Sst2Error(
            f"model {name!r}: {adapter} makes it an adapter, which changes the weights of another model if the package "
            "peft is installed, and does nothing if it is not. Merge the two where peft is, and save that: "
            "model.merge_and_unload().save_pretrained(folder)."
        )
    if other := config.get("transformers_weights"):
        raise Sst2Error(
            f"model {name!r}: its config.json takes the weights from {other!r} (transformers_weights); only "
            "model.safetensors and the shards of its index are read. Rename the file and remove that setting."
        )


def refuse_unreal_numbers(name: str, weight_files: Sequence[Path]) -> None:
    """Refuse weights with NaN or infinity in them: every answer would be the same, and no error would say so.

    Raises:
        Sst2Error: A tensor has one.
    """
    import torch
    from safetensors import safe_open

    for path in weight_files:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - it is no dictionary
                tensor = file.get_tensor(key)
                if not tensor.is_floating_point():
                    continue
                # In the type of the arithmetic: a float64 may hold numbers that are infinite there.
                real = torch.isfinite(tensor.float())
                if not real.all():
                    count = int(real.numel() - real.sum())
                    raise Sst2Error(
                        f"model {name!r}: {count:,} of the {real.numel():,} numbers of {key} in {path} are NaN or "
                        "infinite in float32, so the training that made it diverged, or the file is damaged. Use "
                        "another checkpoint."
                    )


def _settings(content: Any) -> Iterator[tuple[str, Any]]:
    """Give every setting of a config with its name, those of configs inside it too."""
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
            for key in file.keys():  # noqa: SIM118 - it is no dictionary
                yield file.get_slice(key).get_shape()
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Sst2Error(
            f"model {name!r}: {path} is not a sound safetensors file ({reason}). Copy or download it again, or write "
            "it anew with save_pretrained() from a checkpoint you trust."
        ) from error


def _asks_too_much(name: str, key: str, value: int, held: str) -> Sst2Error:
    asked = f"{value:,}" if value.bit_length() < 100 else quoted(value)
    return Sst2Error(
        f"model {name!r}: its config.json asks for {key} = {asked}, but {held}. "
        "Its config and its weights do not belong together."
    )
