"""Registry: look up models and methods by name, and suggest a name for a misspelt one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.specs import MethodSpec, ModelSpec, former_name
from pytest_sst2.config.variants import VARIANTS, split_variant, unknown_variant
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.paths import folder_at, slashes_hint
from pytest_sst2.utils.safe_read import is_utf8
from pytest_sst2.utils.suggest import closest, did_you_mean

_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


class Registry:
    """The built-in models and methods, and those that conftests and plugins added.

    A later entry replaces an earlier one of the same name, so that a conftest can pin its own revision of ``minilm``.
    A replaced built-in method does not count as added: the benchmark that names it runs it.
    """

    def __init__(self, models: Iterable[ModelSpec], methods: Iterable[MethodSpec], added: Iterable[str] = ()) -> None:
        self.models: Mapping[str, ModelSpec] = {spec.name: spec for spec in models}
        self.methods: Mapping[str, MethodSpec] = {spec.name: spec for spec in methods}
        self.added_methods = frozenset(added) - {spec.name for spec in METHODS}

    def method(self, name: str) -> MethodSpec:
        """Return the method called ``name``.

        Raises:
            Sst2Error: The name is unknown; the message suggests the closest one and lists all.
        """
        if name not in self.methods:
            raise Sst2Error(_unknown("method", name, {known: known for known in self.methods}))
        return self.methods[name]

    def model(self, text: str, *, base: Path) -> ModelSpec:
        """Return the model that ``text`` names: an alias, a local folder, or ``org/name[@revision]`` on the Hub.

        Each may be followed by a colon and a variant.

        A Hub id without a revision that has an alias is that alias, so that its floors and baselines apply. A relative
        path starts from ``base``.

        Raises:
            Sst2Error: It is none of the three, or a folder without a model, or the variant is unknown.
        """
        if text in self.models:
            return self.models[text]
        folder = folder_at(base, text)
        if folder is not None and ("/" in text or "\\" in text or text in (".", "..") or _looks_like_model(folder)):
            return self._folder(text, folder)
        if (variant := self._variant(text, base)) is not None:
            return variant
        if _is_path(text):
            raise Sst2Error(
                f"no folder {quoted(text)} below {base}.{slashes_hint(text)} --models takes aliases "
                "(`pytest-sst2 models` lists them), Hub ids (org/name or org/name@revision) and folders with a "
                "config.json."
            )
        if match := _HUB_ID.fullmatch(text):
            return self._hub(text, match["id"], match["revision"])
        former = [spec for spec in self.models.values() if text and former_name(spec.hub_id).lower() == text.lower()]
        if former:
            return former[0]
        # Any other Hub name without its owner suggests the alias.
        names = {name: name for name in self.models}
        for spec in self.models.values():
            names.setdefault(spec.hub_id.partition("/")[2].lower(), spec.name)
        raise Sst2Error(_unknown("model", text, names, "Hub ids (org/name[@revision]) and folders work too."))

    def _variant(self, text: str, base: Path) -> ModelSpec | None:
        """Return the model of ``NAME:VARIANT``; None if the text is not of this form, or names no model."""
        name, word = split_variant(text)
        if word in VARIANTS:
            plain = self.model(name, base=base)
            if plain.variant:
                raise Sst2Error(f"model {quoted(text)} names two variants, {plain.variant} and {word}. Name one.")
            return dataclasses.replace(plain, name=f"{plain.name}:{word}", variant=word)
        if word and self._is_model(name, base):
            raise unknown_variant(name, word)
        return None

    def _is_model(self, text: str, base: Path) -> bool:
        try:
            self.model(text, base=base)
        except Sst2Error:
            return False
        return True

    def _folder(self, text: str, folder: Path) -> ModelSpec:
        if not _looks_like_model(folder):
            raise Sst2Error(
                f"{text!r} is a folder without a config.json, so it contains no model. Save one there with "
                "save_pretrained(), or name another folder."
            )
        if not is_utf8(str(folder)):
            raise Sst2Error(
                f"the path of {quoted(text)} is not valid UTF-8, and the libraries that load models cannot open such "
                "files. Rename the folder, or copy the model to another one."
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
    """Return the error message for an unknown name; ``known`` maps every accepted spelling to its name."""
    guess = did_you_mean(known.get(closest(name.lower(), known), ""))
    names = [correct for spelling, correct in known.items() if spelling == correct]
    return f"unknown {kind} {quoted(name)}.{guess} {kind.capitalize()}s: {', '.join(names)}. {tail}".rstrip()
