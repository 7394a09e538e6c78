"""The rows, encoders, and architectures with random weights that candidates work on."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import Recipe, build_recipe
from pytest_sst2.config.registry import Registry
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data.sources import Source, load_source
from pytest_sst2.data.splits import Splits, draw_splits
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.base import Job
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.models.loader import ModelLoader


@dataclass(frozen=True)
class Workload:
    """Data source and scratch folder of one run."""

    data: str
    scratch: Path

    @functools.cached_property
    def source(self) -> Source:
        """The data set."""
        return load_source(self.data)

    @functools.cached_property
    def loader(self) -> ModelLoader:
        """The loader of models."""
        return ModelLoader("cpu")

    def model(self, name: str) -> ModelSpec:
        """Return an encoder by alias or folder."""
        return Registry(CATALOG, METHODS, added=()).model(name, base=Path.cwd())

    def rows(self, seed: int, train_size: int, **changes: Any) -> tuple[Recipe, Splits]:
        """Return the recipe ``quick`` with as many training rows as there are up to ``train_size``, and its rows."""
        size = min(train_size, len(self.source.dataset["train"]))
        recipe = build_recipe("quick", train_size=size, **changes)
        return recipe, draw_splits(self.source, recipe, seed)

    def job(
        self,
        model: str,
        seed: int,
        train_size: int,
        *,
        cache: EmbeddingCache | None = None,
        enabled: bool = False,
        **changes: Any,
    ) -> Job:
        """Return the job of one classifier as the runner makes it; ``enabled`` records fingerprints."""
        recipe, splits = self.rows(seed, train_size, **changes)
        clock = PhaseClock()
        return Job(
            splits.train,
            splits.evaluation,
            recipe,
            seed,
            clock,
            self.loader,
            FingerprintRecorder(clock, enabled=enabled),
            self.model(model),
            cache,
        )

    def tokens(self, name: str, sentences: Sequence[str], most: int = 128) -> int:
        """Return the number of tokens of sentences, without padding."""
        tokenizer = self.loader.tokenizer(self.model(name))
        return sum(map(len, tokenizer(list(sentences), truncation=True, max_length=most)["input_ids"]))

    def matrix_parameters(self, name: str) -> int:
        """Return the number of weights in an encoder's layers that every token is multiplied with."""
        model = self.loader.sequence_classifier(self.model(name))
        layers = [weight for part, weight in model.base_model.named_parameters() if ".layer." in f".{part}"]
        return sum(weight.numel() for weight in layers if weight.ndim == 2)

    def random_model(self, name: str) -> str:
        """Write an architecture with random weights, once, and return its folder."""
        import torch
        from transformers import AutoModel, BertConfig, DistilBertConfig

        configs = {
            "TinyBERT": BertConfig(
                hidden_size=312, num_hidden_layers=4, num_attention_heads=12, intermediate_size=1200
            ),
            "DistilBERT": DistilBertConfig(),
        }
        folder = self.scratch / name
        if not folder.exists():
            torch.manual_seed(0)
            AutoModel.from_config(configs[name]).save_pretrained(folder)
            self.loader.tokenizer(self.model("minilm")).save_pretrained(folder)
        return str(folder)
