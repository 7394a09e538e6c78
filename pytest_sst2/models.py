"""Loaders: from a ModelSpec to its tokenizer, a classifier with a two-class head, and a sentence encoder.

Weights are in float32 unless asked otherwise, whatever the checkpoint says. The libraries are always given a local
folder of files that ``checkpoints`` has verified, so they ask no network and the resolved commit is known.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pytest_sst2.bundled import bundled_folder, verify_bundled
from pytest_sst2.checkpoints import LocatedModel, locate_files
from pytest_sst2.errors import Sst2Error
from pytest_sst2.fixed_sentences import fixed_sentences
from pytest_sst2.model_safety import refuse_unreal_numbers
from pytest_sst2.module_settings import SHORTEST, TASKS, reads_pooler, task_of
from pytest_sst2.out_of_memory import is_out_of_memory
from pytest_sst2.plain_values import shown
from pytest_sst2.positions import longest_input
from pytest_sst2.registry import ModelSpec
from pytest_sst2.spellings import dtype_argument

T = TypeVar("T")
# Embedding tables are rounded up to a multiple of 64 or 128, or keep room for tokens to come.
_ROUNDED_UP = 0.01
# What the tokenizers' Rust code raises where it finds itself in a state it did not foresee; it is no Exception.
_PANIC = "PanicException"


class ModelLoader:
    """Finds and loads models for one run.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        trust_remote_code: Allow code from model repositories to run.
        talkative: Let the libraries say what they load, and how far they are.
    """

    def __init__(self, device: str = "cpu", *, trust_remote_code: bool = False, talkative: bool = False) -> None:
        self.device = device
        self.trust_remote_code = trust_remote_code
        self.talkative = talkative
        self._located: dict[ModelSpec, LocatedModel] = {}
        # Those that have made an embedding, which need not be seen again: their files stay what they were.
        self._embedding: set[ModelSpec] = set()

    def locate(self, spec: ModelSpec) -> LocatedModel:
        """Return the model's verified files; they are looked for once a run, and must stay what they were then.

        A folder is taken as it is. Otherwise the Hub's cache comes first, then the Hub, then the bundled package, whose
        files are verified at every load.

        Raises:
            Sst2Error: The model cannot be had, its files are not fit for use, or were changed since.
        """
        if spec not in self._located:
            self._located[spec] = self._locate(spec)
        located = self._located[spec]
        if located.weights.source == "bundled" and located.folder == bundled_folder(spec.bundled):
            verify_bundled(spec.bundled, located.folder)
        located.refuse_changes()
        return located

    def has(self, spec: ModelSpec) -> bool:
        """Tell whether a model's files are known already."""
        return spec in self._located

    def adopt(self, spec: ModelSpec, located: LocatedModel) -> None:
        """Take a model's files from where they are said to be, instead of looking for them."""
        self._located[spec] = located

    def tokenizer(self, spec: ModelSpec) -> Any:
        """Return the model's own tokenizer (a ``PreTrainedTokenizerBase``).

        Raises:
            Sst2Error: As ``locate``, or the tokenizer cannot be built.
        """
        return self._tokenizer(spec, self.locate(spec).transformer)

    def _tokenizer(self, spec: ModelSpec, folder: Path) -> Any:
        from transformers import AutoTokenizer

        def load() -> Any:
            return AutoTokenizer.from_pretrained(str(folder), **self._safely())  # nosec B615 - files that are here

        return self._loaded(spec, "tokenizer", load)

    def sequence_classifier(self, spec: ModelSpec) -> Any:
        """Return the encoder with a two-class head (a ``PreTrainedModel``), in float32, on the device.

        The head is new, drawn from torch's global generator, unless the checkpoint brings one for two classes. Its loss
        is that of one label of two, whatever the checkpoint was trained with.

        Raises:
            Sst2Error: As ``locate``, the model cannot be built, or its head is for another number of classes.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        folder = self.locate(spec).transformer

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = AutoModelForSequenceClassification.from_pretrained(  # nosec B615
                str(folder),
                num_labels=2,
                ignore_mismatched_sizes=True,  # it is told below; the encoder itself was checked by locate
                output_loading_info=True,
                **dtype_argument(torch.float32),
                use_safetensors=True,
                **self._safely(),
            )
            return loaded

        model, info = self._loaded(spec, "classifier", load)
        if replaced := sorted(info["mismatched_keys"]):
            key, theirs, _ = replaced[-1]
            raise Sst2Error(
                f"model {spec.name!r}: its head in {folder} is for {theirs[0]} classes ({key}), and SST-2 has two, so "
                "a new one would stand in its place. To train one on its encoder, save that alone: "
                "AutoModel.from_pretrained(folder).save_pretrained(other_folder), and its tokenizer with it."
            )
        _answer_one_of_two(model.config)
        return model.to(self.device)

    def sentence_encoder(self, spec: ModelSpec, *, dtype: str = "float32", max_length: int | None = None) -> Any:
        """Return a ``SentenceTransformer`` on the device.

        A repository without sentence-transformers modules gets mean pooling over the last hidden states.

        Args:
            spec: The model.
            dtype: Type of weights and arithmetic.
            max_length: Longest input in tokens; None leaves the encoder's own limit, which is never exceeded, nor is
                the number of positions it has.

        Raises:
            Sst2Error: As ``locate``, or the encoder cannot be built, or makes no embedding of a sentence.
        """
        import torch
        from sentence_transformers import SentenceTransformer

        folder = self.locate(spec).folder

        def load() -> Any:
            return SentenceTransformer(
                str(folder),
                device=self.device,
                model_kwargs={**dtype_argument(getattr(torch, dtype)), "use_safetensors": True},
                **self._safely(),
            )

        encoder = self._loaded(spec, "sentence encoder", load)
        if spec not in self._embedding:
            self._check_embedding(spec, folder, encoder)
            self._embedding.add(spec)
        limits = [limit for limit in (encoder.max_seq_length, max_length, longest_input(encoder)) if limit is not None]
        if limits and min(limits) != encoder.max_seq_length:
            encoder.max_seq_length = int(min(limits))
        return encoder

    def _safely(self) -> dict[str, bool]:
        return {"trust_remote_code": self.trust_remote_code, "local_files_only": True}

    def _locate(self, spec: ModelSpec) -> LocatedModel:
        located = locate_files(spec, trust_remote_code=self.trust_remote_code)
        refuse_unreal_numbers(spec.name, located.all_weight_files)
        for folder in located.encoders:
            model = self._complete_encoder(spec, folder)
            tokenizer = self._tokenizer(spec, folder)
            self._check_tokenizer(spec, folder, model, tokenizer)
            self._check_answer(spec, folder, model, tokenizer)
        return located

    def _check_tokenizer(self, spec: ModelSpec, folder: Path, model: Any, tokenizer: Any) -> None:
        """Refuse a tokenizer that belongs to another model: every id would be looked up as some other word.

        It is another's when it has ids that the model has no embedding for, or when it knows another number of
        tokens and pads with another of them than the model's config says. Either alone is common: embedding tables
        are rounded up, and configs keep the padding id of the model they were copied from.
        """
        longest = tokenizer.model_max_length
        if not isinstance(longest, int | float) or longest < SHORTEST:
            raise Sst2Error(
                f"model {spec.name!r}: the tokenizer in {folder} allows {longest!r} tokens "
                f"(model_max_length); at least {SHORTEST} are needed for one word between the two special ones."
            )
        wanted_pad, pad = model.config.pad_token_id, tokenizer.pad_token_id
        if pad is None:
            is_known = isinstance(wanted_pad, int) and 0 <= wanted_pad < len(tokenizer)
            token = repr(tokenizer.convert_ids_to_tokens(wanted_pad)) if is_known else "tokenizer.eos_token"
            raise Sst2Error(
                f"model {spec.name!r}: the tokenizer in {folder} has no padding token, without which sentences of "
                f"several lengths are no batch. Give it one, as tokenizer.pad_token = {token}, and save it: "
                "tokenizer.save_pretrained(folder)."
            )
        positions = longest_input(model)
        if positions is not None and positions < SHORTEST:
            raise Sst2Error(
                f"model {spec.name!r}: the encoder in {folder} has positions for {positions} tokens of a sentence "
                f"(max_position_embeddings, less those that padding takes); at least {SHORTEST} are needed."
            )
        try:
            rows = model.get_input_embeddings().weight.shape[0]
        except (AttributeError, NotImplementedError):  # a model of characters or hashes has no such table
            return
        highest = self._loaded(spec, "tokenizer", lambda: _highest_id(tokenizer), done="used")
        known = len(tokenizer)
        other_pad = None not in (wanted_pad, pad) and wanted_pad != pad
        if highest < rows and not (other_pad and abs(known - rows) > rows * _ROUNDED_UP):
            return
        reason = f"has ids up to {highest:,}" if highest >= rows else f"pads with token {pad}, not {wanted_pad}"
        raise Sst2Error(
            f"model {spec.name!r}: the tokenizer in {folder} knows {known:,} tokens and {reason}, but the model has "
            f"embeddings for {rows:,}. They do not belong together; put the model's own tokenizer files there."
        )

    def _check_answer(self, spec: ModelSpec, folder: Path, model: Any, tokenizer: Any) -> None:
        """Refuse an encoder that cannot answer one short sentence: a config can ask for arithmetic that cannot be."""
        import torch

        if model.config.is_encoder_decoder:  # its encoder alone is asked, by those who know how
            return

        def answer() -> Any:
            length = min(16, tokenizer.model_max_length, longest_input(model) or 16)
            inputs = tokenizer(fixed_sentences()[0], truncation=True, max_length=int(length), return_tensors="pt")
            with torch.inference_mode():
                return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]

        if not torch.isfinite(self._loaded(spec, "encoder", answer, done="used")).all():
            raise Sst2Error(
                f"model {spec.name!r}: the encoder in {folder} answers a sentence with NaN or infinity, although its "
                "weights are numbers: a value in its config.json, such as an epsilon, cannot be right."
            )

    def _check_embedding(self, spec: ModelSpec, folder: Path, encoder: Any) -> None:
        """Refuse modules that make no embedding of a sentence: an encoder that nothing pools, a pooling before it."""

        def embed() -> Any:
            return encoder.encode(fixed_sentences()[0], convert_to_tensor=True, show_progress_bar=False)

        try:
            embedding = self._loaded(spec, "sentence encoder", embed, done="used")
        except Sst2Error as error:
            if is_out_of_memory(error):
                raise
            modules = ", ".join(type(module).__name__ for module in encoder)
            raise Sst2Error(
                f"{error} Its modules in {folder} are {modules or 'none'}; wanted is a Transformer and then what makes "
                "one vector of its tokens, as a Pooling does."
            ) from error
        if getattr(embedding, "ndim", 0) != 1:
            given = shown(getattr(embedding, "shape", embedding))
            raise Sst2Error(
                f"model {spec.name!r}: its modules in {folder} give {given} for a sentence, and not one vector. "
                "Pool its tokens: add a Pooling to modules.json."
            )

    def _complete_encoder(self, spec: ModelSpec, folder: Path) -> Any:
        """Return the bare encoder, or refuse a checkpoint that lacks some of it and would start from random numbers."""
        import torch
        import transformers

        # What sentence-transformers would load: with a head, where the module's settings say so.
        auto_class = getattr(transformers, TASKS[task_of(folder)])

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = auto_class.from_pretrained(  # nosec B615 - as above
                str(folder),
                **dtype_argument(torch.float32),
                use_safetensors=True,
                output_loading_info=True,
                **self._safely(),
            )
            return loaded

        try:
            model, info = self._loaded(spec, "encoder", load)
        except Sst2Error as error:
            if "mismatch" not in str(error.__cause__):
                raise
            raise Sst2Error(
                f"model {spec.name!r}: tensors in {folder} have other sizes than its config.json says. Its config and "
                "its weights do not belong together."
            ) from error
        needs_pooler = reads_pooler(folder)
        missing = sorted(key for key in info["missing_keys"] if needs_pooler or "pooler" not in key)
        if missing:
            raise Sst2Error(
                f"model {spec.name!r}: the checkpoint in {folder} lacks {len(missing)} of the encoder's "
                f"{len(model.state_dict())} tensors (first: {missing[0]}), so part of it would start from random "
                "numbers. Its config and its weights do not belong together."
            )
        return model

    def _loaded(self, spec: ModelSpec, part: str, load: Callable[[], T], *, done: str = "loaded") -> T:
        """Return what ``load`` returns; whatever goes wrong in the libraries becomes one sentence."""
        try:
            with contextlib.nullcontext() if self.talkative else _quiet_transformers():
                return load()
        except BaseException as error:
            if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
                raise
            reason = " ".join(str(error).split()) or "no reason given"
            raise Sst2Error(
                f"model {spec.name!r}: its {part} could not be {done} ({type(error).__name__}: {reason[:300]})."
            ) from error


def _answer_one_of_two(config: Any) -> None:
    """Set what decides a classifier's loss and the form of its answer; a config may say what others wanted of it."""
    config.problem_type = "single_label_classification"
    config.return_dict = True
    if getattr(config, "torchscript", False):  # before transformers 5; it makes tuples of all answers
        config.torchscript = False
    # Nobody reads them, and they are kept for every layer.
    config.output_hidden_states = False
    config.output_attentions = False


def _highest_id(tokenizer: Any) -> int:
    """Return the highest id that a text can be given: of any word, of the fixed sentences, special tokens included.

    Special tokens that no sentence has may lie beyond a model's embeddings; some models never trained any for them.
    """
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    words = (number for number in tokenizer.get_vocab().values() if number not in special)
    sentences = tokenizer(list(fixed_sentences()), truncation=True, max_length=64)["input_ids"]
    return max(0, *map(int, words), *(int(number) for sentence in sentences for number in sentence))


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep load reports and progress bars out of the output, and put the user's choices back afterwards."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    try:
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        disable_progress_bars()
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        # The line above switches the Hub's bars on, and the one before it switched them off.
        (enable_progress_bars if hub_bars else disable_progress_bars)()
