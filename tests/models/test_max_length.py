"""Test the maximum input length of common architectures."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sst2.models.max_length import max_input_length

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"vocab_size": 50, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "gpt2": {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2},
    "xlnet": {"vocab_size": 50, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
    "t5": {"vocab_size": 50, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 16, "d_kv": 8},
}


def build(architecture: str, **settings: Any) -> Any:
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(architecture, **{**SIZES.get(architecture, SMALL), **settings})
    return AutoModel.from_config(config)


@pytest.mark.parametrize(
    ("architecture", "settings", "longest"),
    [
        ("bert", {"max_position_embeddings": 40}, 40),
        ("electra", {"max_position_embeddings": 40}, 40),
        ("distilbert", {"max_position_embeddings": 40}, 40),
        ("gpt2", {"n_positions": 40}, 40),
        # Positions start after the padding token's id: of 40 rows, 0 and 1 are not used.
        ("roberta", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        ("xlm-roberta", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        ("mpnet", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        # Its table has two more rows than its config declares, and skips them.
        ("nystromformer", {"max_position_embeddings": 38, "segment_means_seq_len": 38}, 38),
        ("modernbert", {"max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, None),
        ("xlnet", {}, None),
        ("t5", {}, None),
    ],
)
def test_the_maximum_of_an_architecture(architecture: str, settings: dict[str, Any], longest: int | None) -> None:
    assert max_input_length(build(architecture, **settings)) == longest


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "gpt2"])
def test_an_input_of_maximum_length_works_and_a_longer_one_fails(architecture: str) -> None:
    import torch

    settings = {"n_positions": 12} if architecture == "gpt2" else {"max_position_embeddings": 12, "pad_token_id": 1}
    model = build(architecture, **settings).eval()
    longest = max_input_length(model)
    assert longest is not None
    with torch.inference_mode():
        assert model(input_ids=torch.full((1, longest), 5))[0].shape[1] == longest
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 5))
