"""Registry: looks up models and methods by name, and suggests the nearest name for a mistake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.paths import folder_at, slashes_hint
from pytest_sst2.utils.safe_read import is_utf8
from pytest_sst2.utils.suggest import closest, did_you_mean

_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


class Registry:
    """The models and methods of this run: the built-in tables and what conftests and plugins added.

    Later entries replace earlier ones of the same name, so that a conftest can pin its own revision of ``minilm``.
    A built-in method that was replaced stays with the benchmark that names it and does not count as added.
    """

    def __init__(self, models: Iterable[ModelSpec], methods: Iterable[MethodSpec], added: Iterable[str] = ()) -> None:
        self.models: Mapping[str, ModelSpec] = {spec.name: spec for spec in models}
        self.methods: Mapping[str, MethodSpec] = {spec.name: spec for spec in methods}
        self.added_methods = frozenset(added) - {spec.name for spec in METHODS}

    def method(self, name: str) -> MethodSpec:
        """Return the method called ``name``.

        Raises:
            Sst2Error: There is none; the message lists all and the nearest.
        """
        if name not in self.methods:
            raise Sst2Error(_unknown("method", name, {known: known for known in self.methods}))
        return self.methods[name]

    def model(self, text: str, *, base: Path) -> ModelSpec:
        """Return the model that ``text`` names: an alias, a local folder, or ``org/name[@revision]`` on the Hub.

        A Hub id that stands in the table, without a revision of its own, is that entry: floors and baselines kept
        under the alias hold for it too.

        Args:
            text: As typed after ``--models``.
            base: The folder that a relative path starts from.

        Raises:
            Sst2Error: It is none of the three, or a folder without a model in it.
        """
        if text in self.models:
            return self.models[text]
        folder = folder_at(base, text)
        if folder is not None and ("/" in text or "\\" in text or text in (".", "..") or _looks_like_model(folder)):
            return self._folder(text, folder)
        if _is_path(text):
            raise Sst2Error(
                f"no folder {quoted(text)} below {base}.{slashes_hint(text)} --models takes aliases "
                "(`pytest-sst2 models` lists them), Hub ids (org/name or org/name@revision) and folders with a "
                "config.json."
            )
        if match := _HUB_ID.fullmatch(text):
            return self._hub(text, match["id"], match["revision"])
        # People type the Hub's name without its owner too: roberta-base means the alias roberta.
        names = {name: name for name in self.models}
        for spec in self.models.values():
            names.setdefault(spec.hub_id.partition("/")[2].lower(), spec.name)
        raise Sst2Error(_unknown("model", text, names, "Hub ids (org/name[@revision]) and folders work too."))

    def _folder(self, text: str, folder: Path) -> ModelSpec:
        if not _looks_like_model(folder):
            raise Sst2Error(
                f"{text!r} is a folder without a config.json, so it holds no model. Save one there with "
                "save_pretrained(), or name another folder."
            )
        if not is_utf8(str(folder)):
            raise Sst2Error(
                f"the path of {quoted(text)} is not valid UTF-8, and the libraries that read models open no such file. "
                "Rename the folder, or copy the model to another."
            )
        name = folder.name if folder.name not in self.models else f"{folder.parent.name}/{folder.name}"
        return ModelSpec(name, folder=folder, notes="local folder")

    def _hub(self, text: str, hub_id: str, revision: str | None) -> ModelSpec:
        known = next((spec for spec in self.models.values() if spec.hub_id.lower() == hub_id.lower()), None)
        if known is None or revision is None:
            return known or ModelSpec(text, hub_id, revision)
        return dataclasses.replace(known, name=text, revision=revision, weights_sha256="", bundled="")


def _looks_like_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() or (folder / "modules.json").is_file()


def _is_path(text: str) -> bool:
    return text.startswith((".", "/", "~", "\\")) or text.partition("@")[0].count("/") > 1 or "\\" in text


def _unknown(kind: str, name: str, known: Mapping[str, str], tail: str = "") -> str:
    """Return the sentence for a name that is not in the table, with the nearest match first.

    Args:
        kind: What the name is of.
        name: As typed.
        known: From every spelling that people use to the name that is right.
        tail: What else is allowed.
    """
    guess = did_you_mean(known.get(closest(name.lower(), known), ""))
    names = [right for spelling, right in known.items() if spelling == right]
    return f"unknown {kind} {quoted(name)}.{guess} {kind.capitalize()}s: {', '.join(names)}. {tail}".rstrip()
