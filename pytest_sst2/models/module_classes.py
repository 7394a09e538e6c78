"""Refuse classes of sentence-transformers that load other files than those of their own folder.

sentence-transformers imports every class that a model's JSON files name. Some of its classes load a whole model:
``SentenceTransformer`` reads a second ``modules.json``, and ``CLIPModel`` reads the tokenizer of any repository. The
lists below hold for the releases 3.0 to 6.2, whose loading code was read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.models.layout import listed_modules
from pytest_sst2.models.safety import config_settings
from pytest_sst2.models.sentence_transformers_config import is_sentence_encoder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.safe_read import read_json

# Class names with the names of their files since sentence-transformers 5.4. Earlier files have the name of the class.
_MODULES = {
    "Asym": "router",
    "BoW": "bow",
    "CNN": "cnn",
    "Dense": "dense",
    "Dropout": "dropout",
    "LSTM": "lstm",
    "LayerNorm": "layer_norm",
    "Normalize": "normalize",
    "Pooling": "pooling",
    "Router": "router",
    "StaticEmbedding": "static_embedding",
    "Transformer": "transformer",
    "WeightedLayerPooling": "weighted_layer_pooling",
    "WordEmbeddings": "word_embeddings",
    "WordWeights": "word_weights",
}
_TOKENIZERS = {"PhraseTokenizer": "phrase", "WhitespaceTokenizer": "whitespace"}
_OLD = "sentence_transformers.models"
_NEW = ("sentence_transformers.base.modules", "sentence_transformers.sentence_transformer.modules")
# Without arguments, each is a function of one tensor.
_ACTIVATIONS = (
    *("CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish"),
    *("PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink"),
)


def _paths(classes: dict[str, str], part: str = "") -> frozenset[str]:
    """Return the paths of classes in all releases: in the package, in the class's old file, and in its new file."""
    return frozenset(
        path
        for name, file in classes.items()
        for path in (
            *(f"{package}{part}.{name}" for package in (_OLD, *_NEW)),
            f"{_OLD}{part}.{name}.{name}",
            *(f"{package}{part}.{file}.{name}" for package in _NEW),
        )
    )


MODULE_CLASSES = _paths(_MODULES)
"""Modules that turn sentences or tokens into vectors."""

TOKENIZER_CLASSES = _paths(_TOKENIZERS, ".tokenizer")
"""Tokenizers of ``WordEmbeddings``."""

ACTIVATION_CLASSES = frozenset(
    f"{package}.{name}"
    for package, names in (
        ("torch.nn", ("Identity", *_ACTIVATIONS)),
        ("torch.nn.modules.activation", _ACTIVATIONS),
        ("torch.nn.modules.linear", ("Identity",)),
    )
    for name in names
)
"""Activation functions of ``Dense``."""

_LIBRARY = "sentence_transformers."
_CLASS_PATH = re.compile(r"\s*[^\W\d]\w*(?:\s*\.\s*[^\W\d]\w*)+\s*")
# A file of the encoder, which can be in the same folder.
_NOT_A_MODULE = "tokenizer_config.json"


class NamedClass(NamedTuple):
    """A class that a JSON file names, and that file."""

    name: Any
    source: Path
    allowed: frozenset[str]

    @property
    def is_allowed(self) -> bool:
        """Whether the class loads nothing but files of its own folder."""
        return isinstance(self.name, str) and self.name in self.allowed


def named_classes(folder: Path) -> list[NamedClass]:
    """Return the classes that sentence-transformers would import for a model: modules, tokenizers, activations.

    The list is empty for a model of another type, for example a sparse encoder, because no module of it is loaded.

    Raises:
        Sst2Error: As ``listed_modules``.
    """
    if not is_sentence_encoder(folder):
        return []
    modules = listed_modules(folder)
    classes = [NamedClass(module.class_name, module.source, MODULE_CLASSES) for module in modules]
    for place in dict.fromkeys(module.folder for module in modules if not module.is_transformer):
        classes += _classes_in_configs(place)
    return classes


def refuse_nested_models(name: str, folder: Path) -> None:
    """Refuse modules that would load another model, or other weights than the verified ones.

    Raises:
        Sst2Error: A class of sentence-transformers is not listed in this module, a module has its own
            ``modules.json``, or a module that is no transformer has sharded weights.
    """
    for named in named_classes(folder):
        if named.is_allowed or (isinstance(named.name, str) and not named.name.strip().startswith(_LIBRARY)):
            continue
        raise Sst2Error(
            f"model {name!r}: {named.source} names the class {quoted(named.name)}, which is not one of those that load "
            "only files of their own folder. Allowed are modules such as Transformer, Pooling, Dense, Normalize and "
            "Router. Save the model with such modules."
        )
    for module in listed_modules(folder):
        if module.folder != folder and os.path.lexists(module.folder / "modules.json"):
            raise Sst2Error(
                f"model {name!r}: its module in {module.folder} has its own modules.json, but only that of the model's "
                "folder is allowed. A module cannot be a whole model: list its modules in the model's modules.json."
            )
        single, index = module.folder / "model.safetensors", module.folder / "model.safetensors.index.json"
        if not module.is_transformer and os.path.lexists(index) and not single.is_file():
            raise Sst2Error(
                f"model {name!r}: its module in {module.folder} has sharded weights, which only a Transformer can "
                "load. Save the module again: its weights belong in one model.safetensors."
            )


def _classes_in_configs(place: Path) -> Iterator[NamedClass]:
    """Yield the classes that the configs of a module name: a tokenizer, and each value that is the path of a class."""
    for config in sorted(place.glob("*config.json")):
        if config.name == _NOT_A_MODULE:
            continue
        for key, value in config_settings(read_json(config)):
            if key == "tokenizer_class":
                yield NamedClass(value, config, TOKENIZER_CLASSES)
            elif isinstance(value, str) and _CLASS_PATH.fullmatch(value):
                is_route = value in MODULE_CLASSES  # a route: ``named_classes`` lists it
                yield NamedClass(value, config, MODULE_CLASSES if is_route else ACTIVATION_CLASSES)
