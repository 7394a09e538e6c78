"""The built-in models and methods."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.registry import Registry

REGISTRY = Registry(CATALOG, METHODS)
MINILM, ALBERT = REGISTRY.models["minilm"], REGISTRY.models["albert"]


def test_every_name_can_be_typed_after_models() -> None:
    assert [spec.name for spec in CATALOG if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", spec.name)] == []
    assert len({spec.name for spec in CATALOG}) == len({spec.hub_id.lower() for spec in CATALOG}) == len(CATALOG)


def test_every_entry_says_what_a_person_choosing_wants_to_know() -> None:
    assert {spec.licence for spec in CATALOG} <= {"apache-2.0", "mit", "unstated"}
    assert [spec.name for spec in CATALOG if not spec.parameters_millions or not spec.notes] == []


def test_a_revision_is_pinned_to_a_commit_and_only_where_weights_were_verified() -> None:
    for spec in CATALOG:
        assert bool(spec.revision) == bool(spec.weights_sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", spec.revision or 40 * "0")


def bert_parameters(hidden: int, layers: int, inner: int, **sizes: Any) -> int:
    """Return the parameters of a BERT-like encoder, summed over its matrices."""
    words, places, types = sizes.get("words", 30_522), sizes.get("places", 512), sizes.get("types", 2)
    embeddings = (words + places + types + 2) * hidden
    attention = 4 * (hidden * hidden + hidden)
    feed_forward = hidden * inner + inner + inner * hidden + hidden
    layer = attention + feed_forward + 4 * hidden
    pooler = hidden * hidden + hidden if sizes.get("pooler", True) else 0
    return embeddings + layers * layer + pooler


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("tinybert", bert_parameters(312, 4, 1200)),
        ("tinybert-6l", bert_parameters(768, 6, 3072)),
        ("distilbert", bert_parameters(768, 6, 3072, types=0, pooler=False)),
        ("bert-base", bert_parameters(768, 12, 3072)),
        ("roberta", bert_parameters(768, 12, 3072, words=50_265, places=514, types=1)),
        ("distilroberta", bert_parameters(768, 6, 3072, words=50_265, places=514, types=1)),
        ("minilm", bert_parameters(384, 6, 1536)),
        ("minilm-l12", bert_parameters(384, 12, 1536)),
        ("paraphrase-minilm-l3", bert_parameters(384, 3, 1536)),
        ("bert-tiny", bert_parameters(128, 2, 512)),
        ("bert-mini", bert_parameters(256, 4, 1024)),
        ("bert-small", bert_parameters(512, 4, 2048)),
        ("bert-medium", bert_parameters(512, 8, 2048)),
        # MPNet has 32 relative positions for each of its 12 heads, and no token types.
        ("mpnet", bert_parameters(768, 12, 3072, words=30_527, places=514, types=0) + 32 * 12),
        ("bge-small", bert_parameters(384, 12, 1536)),
        ("e5-small", bert_parameters(384, 12, 1536)),
        ("gte-small", bert_parameters(384, 12, 1536)),
        # ELECTRA has no pooler; the small one embeds in 128 dimensions and projects to 256.
        ("electra-base", bert_parameters(768, 12, 3072, pooler=False)),
        (
            "electra-small",
            bert_parameters(256, 12, 1024, words=-2, places=0, types=0, pooler=False)
            + (30_522 + 512 + 2 + 2) * 128
            + 128 * 256
            + 256,
        ),
        # ALBERT embeds in 128 dimensions, and its twelve layers are one.
        (
            "albert",
            bert_parameters(768, 1, 3072, words=-2, places=0, types=0) + (30_000 + 512 + 2 + 2) * 128 + 128 * 768 + 768,
        ),
    ],
)
def test_the_parameter_count_is_that_of_the_architecture(name: str, count: int) -> None:
    assert REGISTRY.models[name].parameters_millions == pytest.approx(count / 1e6, abs=0.05)


def test_the_bundled_package_carries_the_weights_of_the_pinned_revision() -> None:
    found = importlib.util.find_spec(MINILM.bundled)
    if found is None or found.origin is None:
        pytest.skip("needs the extra 'bundled'")
    with (Path(found.origin).parent / "model" / "model.safetensors").open("rb") as weights:
        assert hashlib.file_digest(weights, "sha256").hexdigest() == MINILM.weights_sha256
