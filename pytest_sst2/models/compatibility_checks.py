"""Whether a model that was loaded is fit for use: with its tokenizer, by its answer, by the embedding it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.models.guarded_calls import LibraryCall
from pytest_sst2.models.max_length import longest_input
from pytest_sst2.models.out_of_memory import is_out_of_memory
from pytest_sst2.models.sentence_transformers_config import SHORTEST
from pytest_sst2.results.probe_sentences import fixed_sentences
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted

# Embedding tables are rounded up to a multiple of 64 or 128, or keep room for tokens to come.
_ROUNDED_UP = 0.01
# So many tokens of a sentence are enough to see whether a model answers.
_FEW = 16


def check_tokenizer(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that leaves no room for a word, cannot pad, or belongs to another model.

    Args:
        call: Asks the libraries.
        folder: The model's, or its module's.
        model: The encoder.
        tokenizer: What lies beside it.

    Raises:
        Sst2Error: What is wrong, and what to do.
    """
    _check_lengths(call.name, folder, model, tokenizer)
    _check_padding(call.name, folder, model, tokenizer)
    _check_vocabulary(call, folder, model, tokenizer)


def _check_lengths(name: str, folder: Path, model: Any, tokenizer: Any) -> None:
    longest = tokenizer.model_max_length
    if not isinstance(longest, int | float) or longest < SHORTEST:
        raise Sst2Error(
            f"model {name!r}: the tokenizer in {folder} allows {longest!r} tokens "
            f"(model_max_length); at least {SHORTEST} are needed for one word between the two special ones."
        )
    positions = longest_input(model)
    if positions is not None and positions < SHORTEST:
        raise Sst2Error(
            f"model {name!r}: the encoder in {folder} has positions for {positions} tokens of a sentence "
            f"(max_position_embeddings, less those that padding takes); at least {SHORTEST} are needed. "
            "Use another checkpoint."
        )


def _check_padding(name: str, folder: Path, model: Any, tokenizer: Any) -> None:
    if tokenizer.pad_token_id is not None:
        return
    wanted = getattr(model.config, "pad_token_id", None)
    is_known = isinstance(wanted, int) and 0 <= wanted < len(tokenizer)
    token = repr(tokenizer.convert_ids_to_tokens(wanted)) if is_known else "tokenizer.eos_token"
    raise Sst2Error(
        f"model {name!r}: the tokenizer in {folder} has no padding token, without which sentences of several lengths "
        f"are no batch. Give it one, as tokenizer.pad_token = {token}, and save it: tokenizer.save_pretrained(folder)."
    )


def _check_vocabulary(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that belongs to another model: every id would be looked up as some other word.

    It is another's when it has ids that the model has no embedding for, or when it knows another number of
    tokens and pads with another of them than the model's config says. Either alone is common: embedding tables
    are rounded up, and configs keep the padding id of the model they were copied from.
    """
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except (AttributeError, NotImplementedError):  # a model of characters or hashes has no such table
        return
    wanted_pad, pad = getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id
    highest = call("tokenizer", lambda: _highest_id(tokenizer), done="used")
    known = len(tokenizer)
    other_pad = None not in (wanted_pad, pad) and wanted_pad != pad
    if highest < rows and not (other_pad and abs(known - rows) > rows * _ROUNDED_UP):
        return
    reason = f"has ids up to {highest:,}" if highest >= rows else f"pads with token {pad}, not {wanted_pad}"
    raise Sst2Error(
        f"model {call.name!r}: the tokenizer in {folder} knows {known:,} tokens and {reason}, but the model has "
        f"embeddings for {rows:,}. They do not belong together; put the model's own tokenizer files there."
    )


def check_answer(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse an encoder that cannot answer one short sentence: a config can ask for arithmetic that cannot be.

    Raises:
        Sst2Error: It fails, or answers with what are no numbers.
    """
    import torch

    if model.config.is_encoder_decoder:  # its encoder alone is asked, by those who know how
        return

    def answer() -> Any:
        length = min(_FEW, tokenizer.model_max_length, longest_input(model) or _FEW)
        inputs = tokenizer(fixed_sentences()[0], truncation=True, max_length=int(length), return_tensors="pt")
        with torch.inference_mode():
            return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]

    if not torch.isfinite(call("encoder", answer, done="used")).all():
        raise Sst2Error(
            f"model {call.name!r}: the encoder in {folder} answers a sentence with NaN or infinity, although its "
            "weights are numbers: a value in its config.json, such as an epsilon, cannot be right."
        )


def check_embedding(call: LibraryCall, folder: Path, encoder: Any) -> None:
    """Refuse modules that make no embedding of a sentence: an encoder that nothing pools, a pooling before it.

    Args:
        call: Asks the libraries.
        folder: The model's.
        encoder: A ``SentenceTransformer``.

    Raises:
        Sst2Error: They fail, or give something else than one vector.
    """

    def embed() -> Any:
        return encoder.encode([fixed_sentences()[0]], convert_to_tensor=True, show_progress_bar=False)

    try:
        embeddings = call("sentence encoder", embed, done="used")
    except Sst2Error as error:
        if is_out_of_memory(error):
            raise
        modules = ", ".join(type(module).__name__ for module in encoder)
        raise Sst2Error(
            f"{error} Its modules in {folder} are {modules or 'none'}; wanted is a Transformer and then what makes "
            "one vector of its tokens, as a Pooling does."
        ) from error
    if getattr(embeddings, "ndim", 0) != 2:
        given = quoted(getattr(embeddings, "shape", embeddings))
        raise Sst2Error(
            f"model {call.name!r}: its modules in {folder} give {given} for one sentence, and not one vector. "
            "Pool its tokens: add a Pooling to modules.json."
        )


def _highest_id(tokenizer: Any) -> int:
    """Return the highest id that a text can be given: of any word, of the fixed sentences, special tokens included.

    Special tokens that no sentence has may lie beyond a model's embeddings; some models never trained any for them.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    words = (number for number in tokenizer.get_vocab().values() if number not in special)
    sentences = tokenizer(list(fixed_sentences()), truncation=True, max_length=64)["input_ids"]
    return max(0, *map(int, words), *(int(number) for sentence in sentences for number in sentence))
