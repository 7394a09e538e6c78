"""Training a trimmed word embedding gives the same result as training all of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.methods.fast.trimmed_embedding import TrimmedEmbedding, embedding_trimmer
from pytest_sst2.models.loader import ModelLoader
from tests.support.tiny_models import write_encoder

IDS = [[2, 7, 9, 3], [2, 11, 7, 3], [2, 30, 31, 32, 3]]


@pytest.fixture(params=["bert", "distilbert"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    folder = write_encoder(tmp_path / "model", request.param)
    return ModelLoader("cpu").sequence_classifier(ModelSpec("tiny", folder=folder)).eval()


def batch() -> dict[str, torch.Tensor]:
    longest = max(map(len, IDS))
    ids = torch.tensor([[*each, *[0] * (longest - len(each))] for each in IDS])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": torch.tensor([0, 1, 1])}


def trained(model: Any, *, reduced: bool) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Return the losses of five steps of Adam, and the weights after them."""
    model = copy.deepcopy(model)
    trimmer = embedding_trimmer(model, IDS if reduced else [range(100)])
    assert (trimmer.embedding is not None) is reduced
    losses = []
    with trimmer.trimmed():
        parameters = list(model.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
        for _ in range(5):
            loss = model(**batch()).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses, model.state_dict()


def test_losses_and_weights_are_those_of_training_the_whole_table(model: Any) -> None:
    losses, weights = trained(model, reduced=False)
    fewer_losses, fewer_weights = trained(model, reduced=True)
    assert fewer_losses == pytest.approx(losses, abs=1e-6)
    assert losses[-1] < losses[0]
    assert fewer_weights.keys() == weights.keys()
    for name, weight in weights.items():
        assert torch.allclose(fewer_weights[name], weight, atol=1e-6), name


def test_the_optimiser_sees_only_the_rows_in_use_and_padding(model: Any) -> None:
    whole = model.get_input_embeddings()
    trimmer = embedding_trimmer(model, IDS)
    with trimmer.trimmed():
        assert model.get_input_embeddings() is trimmer.embedding
        assert trimmer.embedding is not None
        assert trimmer.embedding.weight.shape == (9, 32)
        assert whole.weight not in set(model.parameters())
    assert model.get_input_embeddings() is whole


def test_any_token_can_be_looked_up_while_it_is_restored(model: Any) -> None:
    trimmer = embedding_trimmer(model, IDS)
    other = torch.tensor([[2, 50, 51, 3]])
    before = model(input_ids=other).logits
    with trimmer.trimmed():
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=other)
        with torch.no_grad():
            trimmer.embedding.weight += 1.0  # type: ignore[union-attr]
        with trimmer.restored():
            assert not torch.equal(model(input_ids=other).logits, before)  # [CLS] and [SEP] were in use
            assert torch.equal(model.get_input_embeddings().weight[50], trimmer._whole.weight[50])  # type: ignore[union-attr]


def test_padding_learns_nothing(model: Any) -> None:
    before = model.get_input_embeddings().weight[0].clone()
    _, weights = trained(model, reduced=True)
    name = next(name for name in weights if name.endswith("word_embeddings.weight"))
    assert torch.equal(weights[name][0], before)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: setattr(table, "max_norm", 1.0),
        lambda table: setattr(table, "scale_grad_by_freq", True),
        lambda table: setattr(table, "sparse", True),
        lambda table: table.weight.requires_grad_(False),
        lambda table: table.register_forward_hook(lambda *_: None),
    ],
)
def test_a_table_whose_rows_are_not_independent_is_left_alone(model: Any, change: Any) -> None:
    change(model.get_input_embeddings())
    assert embedding_trimmer(model, IDS).embedding is None


def test_a_shared_table_and_a_foreign_model_are_left_alone(model: Any) -> None:
    assert embedding_trimmer(nn.Linear(2, 2), IDS).embedding is None
    model.output = nn.Linear(32, 83, bias=False)
    model.output.weight = model.get_input_embeddings().weight
    assert embedding_trimmer(model, IDS).embedding is None


def test_a_table_of_which_most_is_used_is_left_alone(model: Any) -> None:
    rows = model.get_input_embeddings().num_embeddings
    assert embedding_trimmer(model, [range(rows - 3)]).embedding is None


def test_an_exception_leaves_the_model_whole(model: Any) -> None:
    whole = model.get_input_embeddings()
    with pytest.raises(KeyboardInterrupt), embedding_trimmer(model, IDS).trimmed():
        raise KeyboardInterrupt
    assert model.get_input_embeddings() is whole


def test_rows_keep_their_type_and_place() -> None:
    whole = nn.Embedding(10, 4, padding_idx=0).bfloat16()
    used = TrimmedEmbedding(whole, torch.tensor([0, 3, 7]))
    assert used.weight.dtype == torch.bfloat16
    assert torch.equal(used(torch.tensor([[7, 3]])), whole(torch.tensor([[7, 3]])))
    assert used.padding_idx == 0
