"""Loaders: from a ModelSpec to its tokenizer, a classifier with a two-class head, and a sentence encoder.

Weights are in float32 unless asked otherwise, whatever the checkpoint says. The libraries are always given a local
folder of files that ``checkpoints`` has verified, so they ask no network and the resolved commit is known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.bundled import bundled_folder, verify_bundled
from pytest_sst2.models.compatibility_checks import check_answer, check_embedding, check_tokenizer
from pytest_sst2.models.guarded_calls import LibraryCall
from pytest_sst2.models.library_compat import dtype_argument
from pytest_sst2.models.locate import LocatedModel, locate_files
from pytest_sst2.models.max_length import longest_input
from pytest_sst2.models.safety import refuse_unreal_numbers
from pytest_sst2.models.sentence_transformers_config import TASKS, reads_pooler, refuse_other_kind, task_of
from pytest_sst2.utils.errors import Sst2Error


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

        return self._ask(spec)("tokenizer", load)

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

        model, info = self._ask(spec)("classifier", load)
        if replaced := sorted(info["mismatched_keys"]):
            # transformers tells their shapes with the names, but for some releases around 4.57.
            last = replaced[-1]
            key, count = (last, "other") if isinstance(last, str) else (last[0], last[1][0])
            raise Sst2Error(
                f"model {spec.name!r}: its head in {folder} is for {count} classes ({key}), and SST-2 has two, so "
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
        refuse_other_kind(spec.name, folder)

        def load() -> Any:
            return SentenceTransformer(
                str(folder),
                device=self.device,
                model_kwargs={**dtype_argument(getattr(torch, dtype)), "use_safetensors": True},
                **self._safely(),
            )

        encoder = self._ask(spec)("sentence encoder", load)
        if spec not in self._embedding:
            check_embedding(self._ask(spec), folder, encoder)
            self._embedding.add(spec)
        limits = [limit for limit in (encoder.max_seq_length, max_length, longest_input(encoder)) if limit is not None]
        if limits and min(limits) != encoder.max_seq_length:
            encoder.max_seq_length = int(min(limits))
        return encoder

    def _ask(self, spec: ModelSpec) -> LibraryCall:
        return LibraryCall(spec.name, talkative=self.talkative)

    def _safely(self) -> dict[str, bool]:
        return {"trust_remote_code": self.trust_remote_code, "local_files_only": True}

    def _locate(self, spec: ModelSpec) -> LocatedModel:
        located = locate_files(spec, trust_remote_code=self.trust_remote_code)
        refuse_unreal_numbers(spec.name, located.all_weight_files)
        for folder in located.encoders:
            model = self._complete_encoder(spec, folder)
            tokenizer = self._tokenizer(spec, folder)
            check_tokenizer(self._ask(spec), folder, model, tokenizer)
            check_answer(self._ask(spec), folder, model, tokenizer)
        return located

    def _complete_encoder(self, spec: ModelSpec, folder: Path) -> Any:
        """Return the bare encoder, or refuse a checkpoint that lacks some of it and would start from random numbers."""
        import torch
        import transformers

        # What sentence-transformers would load: with a head, where the module's settings say so.
        auto_class = getattr(transformers, TASKS[task_of(folder)])

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = auto_class.from_pretrained(
                str(folder),
                **dtype_argument(torch.float32),
                use_safetensors=True,
                output_loading_info=True,
                **self._safely(),
            )
            return loaded

        try:
            model, info = self._ask(spec)("encoder", load)
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


def _answer_one_of_two(config: Any) -> None:
    """Set what decides a classifier's loss and the form of its answer; a config may say what others wanted of it."""
    config.problem_type = "single_label_classification"
    config.return_dict = True
    if getattr(config, "torchscript", False):  # before transformers 5; it makes tuples of all answers
        config.torchscript = False
    # Nobody reads them, and they are kept for every layer.
    config.output_hidden_states = False
    config.output_attentions = False
