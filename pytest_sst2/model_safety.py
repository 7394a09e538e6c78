"""What a model's files may not do: point out of their folder, bring code, lie about their size, hold no numbers.

All of it is read from names, JSON and the headers of safetensors files, before a library loads anything;
``refuse_unreal_numbers`` alone reads the weights themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pytest_sst2.errors import Sst2Error, quoted
from pytest_sst2.plain_values import shown
from pytest_sst2.text_files import NotJsonError, json_of, text_of

# Where configs of the common architectures say how wide they are; each has a tensor with a side of that length.
_WIDTHS = (
    *("hidden_size", "intermediate_size", "vocab_size", "embedding_size"),
    *("dim", "hidden_dim", "d_model", "d_ff", "n_embd", "ffn_dim"),
)
# Of a file, in bytes, on every usual system.
_LONGEST_NAME = 255
_DEPTH = re.compile(r"(?:num_|n_|_)layers?$")


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


def refuse_links_out(name: str, folder: Path) -> None:
    """Refuse symbolic links that leave a model's folder; those of the Hub's cache lead to its own blobs.

    Raises:
        Sst2Error: One does.
    """
    folder = folder.resolve()
    home = folder.parent.parent if folder.parent.name == "snapshots" else folder
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise Sst2Error(
                f"model {name!r}: {path} is a link to {path.resolve()}, outside of the model's folder. "
                "Copy the file itself there."
            )


def code_brought_along(configs: Iterable[Path], module_types: Iterable[Any]) -> str:
    """Return which file of a model names code to import, and which; empty where none does.

    Args:
        configs: Its JSON files.
        module_types: The classes that its modules.json names.
    """
    for path in configs:
        content = read_json(path)
        if isinstance(content, dict) and "auto_map" in content:
            return f"auto_map in its {path.name}"
    for module_type in module_types:
        if not str(module_type or "").startswith("sentence_transformers."):
            return f"{module_type} in its modules.json"
    return ""


def refuse_lying_sizes(name: str, config: dict[str, Any], weight_files: Sequence[Path]) -> None:
    """Refuse weights whose header is not true, and a config that asks for more than the weights have.

    A library would build what the config asks for first, and that may be more than any machine holds.

    Raises:
        Sst2Error: A file is no safetensors file, or a size in the config is larger than any in the weights.
    """
    shapes = [shape for path in weight_files for shape in _shapes(name, path)]
    longest = max((side for shape in shapes for side in shape), default=0)
    for key, value in sorted(config.items()):
        if not isinstance(value, int):
            continue
        if key in _WIDTHS and value > longest:
            raise _asks_too_much(name, key, value, f"no tensor of its weights has a side longer than {longest:,}")
        if _DEPTH.search(key) and value > len(shapes):
            raise _asks_too_much(name, key, value, f"its weights are {len(shapes):,} tensors in all")


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
                real = torch.isfinite(tensor if tensor.element_size() > 1 else tensor.float())
                if not real.all():
                    count = int(real.numel() - real.sum())
                    raise Sst2Error(
                        f"model {name!r}: {count:,} of the {real.numel():,} numbers of {key} in {path} are NaN or "
                        "infinite, so the training that made it diverged, or the file is damaged. Use another "
                        "checkpoint."
                    )


def read_json(path: Path) -> Any:
    """Return a JSON file's content.

    Raises:
        Sst2Error: It cannot be read, or is not JSON.
    """
    try:
        return json_of(text_of(path))
    except NotJsonError as error:
        raise Sst2Error(f"{path} is not readable JSON: {error.placed}.") from error


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
    asked = f"{value:,}" if value.bit_length() < 100 else shown(value)
    return Sst2Error(
        f"model {name!r}: its config.json asks for {key} = {asked}, but {held}. "
        "Its config and its weights do not belong together."
    )
