"""Check that a loaded model works: with its tokenizer, on one sentence, and as a sentence encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.models.guarded_calls import LibraryCall
from pytest_sst2.models.kinds import refuse_other_inputs
from pytest_sst2.models.max_length import max_input_length
from pytest_sst2.models.out_of_memory import is_out_of_memory
from pytest_sst2.models.sentence_transformers_config import MIN_TOKENS
from pytest_sst2.results.probe_sentences import probe_sentences
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted

# Embedding tables are rounded up to a multiple of 64 or 128, or reserve rows for new tokens.
_MAX_RELATIVE_PADDING = 0.01
# Maximum length of the sentence that checks whether a model can answer.
_CHECK_TOKENS = 16


def check_tokenizer(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer of a wrong class, limited to too few tokens, without padding, or of another model.

    Args:
        call: Calls the libraries for the model.
        folder: The folder of the model or of its module.
        model: The encoder.
        tokenizer: The tokenizer from the same folder.

    Raises:
        Sst2Error: The tokenizer does not fit the model.
    """
    _check_class(call.name, folder, tokenizer)
    _check_lengths(call.name, folder, model, tokenizer)
    _check_padding(call.name, folder, model, tokenizer)
    _check_vocabulary(call, folder, model, tokenizer)


def _check_class(name: str, folder: Path, tokenizer: Any) -> None:
    """Refuse an object that is no tokenizer: ``tokenizer_class`` can name any class of transformers."""
    from transformers import PreTrainedTokenizerBase

    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise Sst2Error(
            f"model {name!r}: tokenizer_config.json in {folder} loads a {type(tokenizer).__name__}, which is not a "
            "tokenizer. Correct its tokenizer_class."
        )


def _check_lengths(name: str, folder: Path, model: Any, tokenizer: Any) -> None:
    limit = tokenizer.model_max_length
    if not isinstance(limit, int | float) or limit < MIN_TOKENS:
        raise Sst2Error(
            f"model {name!r}: the tokenizer in {folder} allows {limit!r} tokens (model_max_length); at least "
            f"{MIN_TOKENS} are needed for one word and two special tokens. Correct tokenizer_config.json."
        )
    positions = max_input_length(model)
    if positions is not None and positions < MIN_TOKENS:
        raise Sst2Error(
            f"model {name!r}: the encoder in {folder} has positions for {positions} tokens of a sentence "
            f"(max_position_embeddings, minus those reserved for padding); at least {MIN_TOKENS} are needed. "
            "Use another checkpoint."
        )


def _check_padding(name: str, folder: Path, model: Any, tokenizer: Any) -> None:
    if tokenizer.pad_token_id is not None:
        return
    pad_id = getattr(model.config, "pad_token_id", None)
    is_known = isinstance(pad_id, int) and 0 <= pad_id < len(tokenizer)
    token = repr(tokenizer.convert_ids_to_tokens(pad_id)) if is_known else "tokenizer.eos_token"
    raise Sst2Error(
        f"model {name!r}: the tokenizer in {folder} has no padding token, which batches of sentences need. Set one, "
        f"for example tokenizer.pad_token = {token}, and save it: tokenizer.save_pretrained(folder)."
    )


def _check_vocabulary(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that belongs to another model, because its ids would be looked up as other words.

    It belongs to another model if it has ids without an embedding, or if both its number of tokens and its padding
    token differ from the model's. Each difference alone is common: embedding tables are rounded up, and configs keep
    the padding id of the model that they were copied from.
    """
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except (AttributeError, NotImplementedError):  # character and hash models have no such table
        return
    expected_pad, pad = getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id
    highest = call("tokenizer", lambda: _highest_id(tokenizer), done="used")
    tokens = len(tokenizer)
    other_pad = None not in (expected_pad, pad) and expected_pad != pad
    if highest < rows and not (other_pad and abs(tokens - rows) > rows * _MAX_RELATIVE_PADDING):
        return
    reason = f"ids up to {highest:,}" if highest >= rows else f"pads with token {pad}, not {expected_pad}"
    raise Sst2Error(
        f"model {call.name!r}: the tokenizer in {folder} has {tokens:,} tokens and {reason}, but the model has "
        f"embeddings for {rows:,}. They do not belong together. Replace the tokenizer files by the model's own."
    )


def check_answer(call: LibraryCall, folder: Path, model: Any, tokenizer: Any) -> None:
    """Refuse an encoder that cannot encode one short sentence, for example because it reads images.

    Raises:
        Sst2Error: It raises an error, or returns NaN or infinity.
    """
    import torch

    def encode() -> Any:
        network = model.get_encoder() if model.config.is_encoder_decoder else model
        return _answer(network, model, tokenizer)[0]

    try:
        hidden = call("encoder", encode, done="used")
    except Sst2Error as error:
        refuse_other_inputs(call.name, model, error)
        raise
    if not torch.isfinite(hidden).all():
        raise Sst2Error(
            f"model {call.name!r}: the encoder in {folder} returns NaN or infinity for a sentence, although its "
            "weights are finite. Correct its config.json: a value such as an epsilon is wrong."
        )


def check_classifier(call: LibraryCall, model: Any, tokenizer: Any) -> None:
    """Refuse a classifier that raises an error for one short sentence, for example because it lacks an end token.

    Raises:
        Sst2Error: It raises an error.
    """
    call("classifier", lambda: _answer(model, model, tokenizer), done="used")


def _answer(network: Any, model: Any, tokenizer: Any) -> Any:
    """Return the output of a model, or of its part ``network``, for a short sentence."""
    import torch

    length = min(_CHECK_TOKENS, tokenizer.model_max_length, max_input_length(model) or _CHECK_TOKENS)
    inputs = tokenizer(probe_sentences()[0], truncation=True, max_length=int(length), return_tensors="pt")
    inputs = inputs.to(model.device)
    # Not inference_mode: a model may keep tensors of this call, and training cannot use those of that mode.
    with torch.no_grad():
        return network(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])


def check_embedding(call: LibraryCall, folder: Path, encoder: Any) -> None:
    """Refuse modules that produce no sentence embedding, for example an encoder without pooling.

    Args:
        call: Calls the libraries for the model.
        folder: The model's folder.
        encoder: A ``SentenceTransformer``.

    Raises:
        Sst2Error: They raise an error, or return something other than one vector.
    """

    def embed() -> Any:
        return encoder.encode([probe_sentences()[0]], convert_to_tensor=True, show_progress_bar=False)

    try:
        embeddings = call("sentence encoder", embed, done="used")
    except Sst2Error as error:
        if is_out_of_memory(error):
            raise
        raise Sst2Error(f"{error}{_remedy(folder, list(encoder))}") from error
    if getattr(embeddings, "ndim", 0) != 2:
        output = quoted(getattr(embeddings, "shape", embeddings))
        raise Sst2Error(
            f"model {call.name!r}: its modules in {folder} return {output} for one sentence instead of one vector. Add "
            "a Pooling module to modules.json."
        )


def _remedy(folder: Path, modules: list[Any]) -> str:
    """Return a sentence, after a space, on what to change so that the modules embed a sentence; empty if unknown."""
    names = [type(module).__name__ for module in modules]
    first: Any = modules[0] if modules else None
    if getattr(first, "default_route", "") is None:
        routes = ", ".join(first.sub_modules)
        return f" Its Router has no default_route. Set it in router_config.json in {folder} to one of: {routes}."
    if hasattr(processor := getattr(first, "processor", None), "tokenizer"):
        return (
            f" Its sentences pass through a {type(processor).__name__}. Remove processor_config.json and "
            f"preprocessor_config.json from a copy of {folder}, which leaves its tokenizer."
        )
    if "Pooling" in names[1:]:
        return ""
    return (
        f" Its modules in {folder} are {', '.join(names) or 'none'}; it needs a Transformer, followed by a module "
        "that turns its tokens into one vector, such as Pooling."
    )


def _highest_id(tokenizer: Any) -> int:
    """Return the highest id of any word, and of any token in the probe sentences, special tokens included.

    Special tokens that no sentence contains may have no embedding: some models were not trained with them.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    words = (number for number in tokenizer.get_vocab().values() if number not in special)
    sentences = tokenizer(list(probe_sentences()), truncation=True, max_length=64)["input_ids"]
    return max(0, *map(int, words), *(int(number) for sentence in sentences for number in sentence))
