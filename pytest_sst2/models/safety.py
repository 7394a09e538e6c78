"""Refuse unsafe model files: paths outside the folder, remote code, damaged, NaN or infinite weights.

The checks read names and JSON before a library loads anything. Only ``refuse_invalid_weights`` reads the weights.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

# In bytes, on all common file systems.
_MAX_NAME_BYTES = 255
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


def refuse_invalid_weights(name: str, weight_files: Sequence[Path]) -> None:
    """Refuse weights that are not safetensors, and NaN or infinity, which would make all predictions equal.

    Raises:
        Sst2Error: A file is not safetensors, or a tensor contains NaN or infinity.
    """
    import torch

    for path in weight_files:
        for key, tensor in _tensors(name, path):
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


def json_settings(name: str, path: Path) -> dict[str, Any]:
    """Return the settings of a JSON file of a model; empty if there is no such file.

    Raises:
        Sst2Error: The file is not a JSON object.
    """
    settings = read_json(path) if path.is_file() else {}
    if not isinstance(settings, dict):
        raise Sst2Error(f"model {name!r}: {path} does not contain a JSON object. Copy or download it again.")
    return settings


def _tensors(name: str, path: Path) -> Iterator[tuple[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                yield key, file.get_tensor(key)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Sst2Error(
            f"model {name!r}: {path} is not a valid safetensors file ({reason}). Copy or download it again, or save it "
            "again with save_pretrained() from a checkpoint that you trust."
        ) from error
