"""What can be asked for: model and method specs, look-up with suggestions, and the cells they make.

Light on purpose: pytest imports this module in every run of anybody's tests. Loading is in ``models`` and
``methods``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error, quoted
from pytest_sst2.utils.paths import folder_at, slashes_hint
from pytest_sst2.utils.safe_read import is_utf8

_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class ModelSpec:
    """Where a pretrained encoder is found and what is known of it; light, since loading is elsewhere.

    Attributes:
        name: What people type after ``--models`` and what tables and ids show.
        hub_id: ``org/name`` on the Hub; empty for a model that is only a folder.
        revision: A branch, tag or commit; None follows the Hub's main branch. The resolved commit is recorded.
        licence: SPDX identifier as the model card states it, ``unstated`` where it states none.
        parameters_millions: Size of the encoder, for choosing; None where unknown.
        notes: One line a person choosing a model wants to know.
        folder: A local folder with config, weights and tokenizer; wins over ``hub_id``.
        sentence_encoder: True where the repository is known to carry sentence-transformers modules, which decide
            the pooling: a cached copy without them is then incomplete.
        weights_sha256: Digest that ``model.safetensors`` must have; empty where none was verified.
        bundled: Name of an installed package that carries the weights, used when neither cache nor Hub has them.
    """

    name: str
    hub_id: str = ""
    revision: str | None = None
    licence: str = "unstated"
    parameters_millions: float | None = None
    notes: str = ""
    folder: Path | None = None
    sentence_encoder: bool = False
    weights_sha256: str = ""
    bundled: str = ""

    def __post_init__(self) -> None:
        if not self.hub_id and self.folder is None:
            raise Sst2Error(f"model {self.name!r} needs a hub_id ('org/name') or a folder.")


@dataclass(frozen=True)
class MethodSpec:
    """How a classifier is made.

    Attributes:
        name: What people type after ``--methods``.
        train: A callable that takes a ``Job`` and returns a classifier: a callable from a list of sentences to
            an array with the probability of the positive class for each (or a ``Trained`` that carries one).
            ``"package.module:function"`` names one that is imported when the first cell needs it.
        needs_model: False for methods that read the sentences alone; they run once, not once a model.
        frozen: True where the encoder is never trained, so that cells of one model can share it: under pytest-xdist
            they go to one worker.
        notes: One line for ``pytest-sst2 methods``.
        together: True where all processes of torchrun are to train it together; else the first does it alone.
    """

    name: str
    train: str | Callable[[Any], Any]
    needs_model: bool = True
    notes: str = ""
    frozen: bool = False
    together: bool = False


METHODS: tuple[MethodSpec, ...] = (
    MethodSpec(
        "fine-tune",
        "pytest_sst2.methods.fine_tune:train",
        notes="every layer trained with the Hugging Face Trainer",
        together=True,
    ),
    MethodSpec(
        "linear-probe",
        "pytest_sst2.methods.linear_probe:train",
        notes="frozen sentence embeddings and scikit-learn's LogisticRegression",
        frozen=True,
    ),
    MethodSpec(
        "torch-probe",
        "pytest_sst2.methods.torch_probe:train",
        notes="the same embeddings and the same objective, minimised in PyTorch",
        frozen=True,
    ),
    MethodSpec(
        "tfidf",
        "pytest_sst2.methods.tfidf:train",
        needs_model=False,
        notes="TF-IDF unigrams and logistic regression: what words alone can do",
    ),
    MethodSpec(
        "majority",
        "pytest_sst2.methods.majority:train",
        needs_model=False,
        notes="the commoner class of the training rows: what no model at all can do",
    ),
)


@dataclass(frozen=True, repr=False)
class Cell:
    """One square of the matrix: model × method × seed."""

    model: ModelSpec | None
    method: MethodSpec
    seed: int

    @property
    def id(self) -> str:
        """The pytest id: ``minilm-linear-probe-seed42``, or ``tfidf-seed42`` where no model is used."""
        names = [self.model.name] if self.model else []
        return "-".join([*names, self.method.name, f"seed{self.seed}"])

    @property
    def model_name(self) -> str | None:
        """The model's name, None for a method without one."""
        return self.model.name if self.model else None

    @property
    def shared_encoder(self) -> str:
        """The model whose frozen encoder the cell has in common with others; empty where it has none."""
        return self.model.name if self.model and self.method.frozen else ""

    def __repr__(self) -> str:
        # Short, since pytest-benchmark writes it into its files: no paths, no addresses.
        return self.id


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
    import difflib  # only a mistake pays for this import

    near = difflib.get_close_matches(name.lower(), known, n=1)
    guess = f"Did you mean {known[near[0]]!r}? " if near else ""
    names = [right for spelling, right in known.items() if spelling == right]
    return f"unknown {kind} {quoted(name)}. {guess}{kind.capitalize()}s: {', '.join(names)}. {tail}".rstrip()


def plan_cells(models: Sequence[ModelSpec], methods: Sequence[MethodSpec], seeds: Sequence[int]) -> list[Cell]:
    """Return the matrix in the order it is run: method by method, so that alike cells stand together.

    Methods that need no model have one cell a seed, however many models are asked for.
    """
    cells = []
    for method in methods:
        columns: Sequence[ModelSpec | None] = models if method.needs_model else [None]
        cells += [Cell(model, method, seed) for model in columns for seed in seeds]
    return cells


def distinct_models(specs: Iterable[ModelSpec]) -> tuple[ModelSpec, ...]:
    """Return the models without repetition; two folders of one name are told apart by their parent's name."""
    kept: dict[tuple[str, str | None, Path | None], ModelSpec] = {}
    for spec in specs:
        kept.setdefault((spec.hub_id, spec.revision, spec.folder), spec)
    taken: dict[str, ModelSpec] = {}
    for spec in kept.values():
        taken[_free_name(spec, taken)] = spec
    return tuple(_renamed(spec, name) for name, spec in taken.items())


def _free_name(spec: ModelSpec, taken: Mapping[str, ModelSpec]) -> str:
    if spec.name not in taken:
        return spec.name
    named = f"{spec.folder.parent.name}/{spec.name}" if spec.folder else spec.name
    number = 2
    while named in taken:
        named, number = f"{spec.name}#{number}", number + 1
    return named


def _renamed(spec: ModelSpec, name: str) -> ModelSpec:
    return spec if spec.name == name else dataclasses.replace(spec, name=name)
