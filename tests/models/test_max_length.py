"""How long an input a model has positions for."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_sst2.models.max_length import longest_input

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"vocab_size": 50, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "gpt2": {"vocab_size": 50, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2},
    "xlnet": {"vocab_size": 50, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
    "t5": {"vocab_size": 50, "d_model": 16, "num_layers": 1, "num_heads": 2, "d_ff": 16, "d_kv": 8},
}


def made(architecture: str, **settings: Any) -> Any:
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
        # Positions begin behind the padding token's number: 40 rows, of which 0 and 1 are no word's.
        ("roberta", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        ("xlm-roberta", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        ("mpnet", {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        # Its table has two rows more than its config says, and they are skipped.
        ("nystromformer", {"max_position_embeddings": 38, "segment_means_seq_len": 38}, 38),
        ("modernbert", {"max_position_embeddings": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}, None),
        ("xlnet", {}, None),
        ("t5", {}, None),
    ],
)
def test_of_an_architecture(architecture: str, settings: dict[str, Any], longest: int | None) -> None:
    assert longest_input(made(architecture, **settings)) == longest


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "gpt2"])
def test_an_input_as_long_as_that_is_answered_and_one_longer_is_not(architecture: str) -> None:
    import torch

    settings = {"n_positions": 12} if architecture == "gpt2" else {"max_position_embeddings": 12, "pad_token_id": 1}
    model = made(architecture, **settings).eval()
    longest = longest_input(model)
    assert longest is not None
    with torch.inference_mode():
        assert model(input_ids=torch.full((1, longest), 5))[0].shape[1] == longest
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, longest + 1), 5))
