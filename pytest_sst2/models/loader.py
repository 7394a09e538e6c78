"""Load a model's tokenizer, classifier with a two-class head, or sentence encoder.

Weights are loaded in float32 by default, whatever the checkpoint's dtype. The libraries always load a local folder of
files that ``locate`` verified. Therefore they never use the network, and the commit is known.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.models.bundled import bundled_folder, verify_bundled
from pytest_sst2.models.classifier_head import check_head, set_single_label
from pytest_sst2.models.compatibility_checks import check_answer, check_classifier, check_embedding, check_tokenizer
from pytest_sst2.models.guarded_calls import LibraryCall
from pytest_sst2.models.head_labels import SWAPPED, is_reversed, swap_classes
from pytest_sst2.models.kinds import encoder_class, saved_from
from pytest_sst2.models.library_compat import disable_chat_templates, dtype_argument
from pytest_sst2.models.locate import LocatedModel, locate_files
from pytest_sst2.models.max_length import limit_input
from pytest_sst2.models.not_a_model import no_transformer, wrapped
from pytest_sst2.models.safety import refuse_invalid_weights
from pytest_sst2.models.sentence_transformers_config import TASKS, refuse_other_model_type, task_of, uses_pooler
from pytest_sst2.models.trial_load import try_to_load
from pytest_sst2.models.variants import backend_of, check_variant, dtype_of, quiet, transform
from pytest_sst2.models.word_vectors import check_word_vectors, convert_word_vectors
from pytest_sst2.utils.errors import Sst2Error


class ModelLoader:
    """Locates, verifies and loads the models of one run.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        trust_remote_code: Allow code from model repositories to run.
        verbose: Show the libraries' log messages and progress bars.
    """

    def __init__(self, device: str = "cpu", *, trust_remote_code: bool = False, verbose: bool = False) -> None:
        self.device = device
        self.trust_remote_code = trust_remote_code
        self.verbose = verbose
        self._located: dict[ModelSpec, LocatedModel] = {}
        # Models whose embedding or classifier was checked. One check is enough because their files cannot change.
        self._checked_encoders: set[ModelSpec] = set()
        self._checked_classifiers: set[ModelSpec] = set()
        # Models whose head had the classes in reverse order.
        self._swapped: set[ModelSpec] = set()

    def locate(self, spec: ModelSpec) -> LocatedModel:
        """Return the model's verified files, which are in ``.folder``. They must not change during the run.

        A model's folder is used as it is. Otherwise the order is the Hub's cache, the Hub, the bundled package. Files
        of the bundled package are verified at every load.

        Raises:
            Sst2Error: The model is not available, its files are refused, or they changed since.
        """
        spec = spec.plain
        if spec not in self._located:
            self._located[spec] = self._locate(spec)
        located = self._located[spec]
        if located.weights.source == "bundled" and located.folder == bundled_folder(spec.bundled):
            verify_bundled(spec.bundled, located.folder)
        located.refuse_changes()
        return located

    def is_located(self, spec: ModelSpec) -> bool:
        """Return whether a model's files are already located."""
        return spec.plain in self._located

    def adopt(self, spec: ModelSpec, located: LocatedModel) -> None:
        """Use files that were located elsewhere, instead of locating them."""
        self._located[spec.plain] = located

    def tokenizer(self, spec: ModelSpec) -> Any:
        """Return the model's own tokenizer (a ``PreTrainedTokenizerBase``).

        Raises:
            Sst2Error: As ``locate``, or the tokenizer cannot be loaded.
        """
        return self._tokenizer(spec, self._transformer(spec))

    def _transformer(self, spec: ModelSpec) -> Path:
        """Return the folder of the model's transformer; refuse a model that has none, or several."""
        located = self.locate(spec)
        if located.transformer is not None:
            return located.transformer
        raise Sst2Error(f"model {spec.name!r}: {no_transformer(located.folder)}.")

    def _tokenizer(self, spec: ModelSpec, folder: Path) -> Any:
        from transformers import AutoTokenizer

        def load() -> Any:
            return AutoTokenizer.from_pretrained(str(folder), **self._load_options())  # nosec B615 - local files

        return self._library_call(spec)("tokenizer", load)

    def sequence_classifier(self, spec: ModelSpec, *, needs_head: bool = False) -> Any:
        """Return the encoder with a two-class head (a ``PreTrainedModel``), in float32, on the device.

        The head is initialized from torch's global generator, unless the checkpoint has a two-class head. With
        ``needs_head``, a checkpoint that lacks any of its tensors is refused. If the checkpoint names the head's
        classes in reverse order, they are swapped: class 1 is positive. The loss is that of single-label
        classification, whatever the checkpoint was trained with.

        Raises:
            NoHeadError: The checkpoint has no head for two classes, and ``needs_head``.
            Sst2Error: As ``locate``, or the model cannot be loaded, or its head has another number of classes.
        """
        import torch
        from transformers import AutoModelForSequenceClassification

        check_variant(spec, self.device)
        folder = self._transformer(spec)

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = AutoModelForSequenceClassification.from_pretrained(  # nosec B615
                str(folder),
                num_labels=2,
                ignore_mismatched_sizes=True,  # reported below; locate has checked the encoder itself
                output_loading_info=True,
                **dtype_argument(torch.float32),
                use_safetensors=True,
                **self._load_options(),
            )
            return loaded

        model, info = self._library_call(spec)("classifier", load)
        has_head = check_head(spec.name, folder, model, info, is_needed=needs_head)
        if has_head and is_reversed(spec.name, folder):
            swap_classes(spec.name, model)
            self._swapped.add(spec)
        set_single_label(model.config)
        model.to(self.device)
        self._transform(spec, model)
        if spec not in self._checked_classifiers:
            check_classifier(self._library_call(spec), model, self._tokenizer(spec, folder))
            self._checked_classifiers.add(spec)
        return model

    def _transform(self, spec: ModelSpec, model: Any) -> None:
        if spec.variant:
            with contextlib.nullcontext() if self.verbose else quiet():
                self._library_call(spec)("transformer", lambda: transform(spec, model), done="transformed")

    def head_warnings(self, spec: ModelSpec) -> tuple[str, ...]:
        """Warn if the classes of the head that ``sequence_classifier`` returned were swapped."""
        return (SWAPPED,) if spec in self._swapped else ()

    def sentence_encoder(self, spec: ModelSpec, *, dtype: str = "float32", max_length: int | None = None) -> Any:
        """Return a ``SentenceTransformer`` on the device, of at most ``max_length`` tokens per input.

        A repository without sentence-transformers modules uses mean pooling over the last hidden states.

        Args:
            spec: The model.
            dtype: Dtype of weights and arithmetic.
            max_length: Maximum input length in tokens. None is the encoder's own limit. The encoder's own limit and
                its number of positions are never exceeded. Static embeddings have no limit, and none can be set.

        Raises:
            Sst2Error: As ``locate``, or the encoder cannot be loaded, or it returns no sentence embedding.
        """
        import torch
        from sentence_transformers import SentenceTransformer

        check_variant(spec, self.device)
        located = self.locate(spec)
        folder, backend = located.folder, backend_of(spec, located)
        dtype = dtype_of(spec, dtype)
        refuse_other_model_type(spec.name, folder)

        def load() -> Any:
            return SentenceTransformer(
                str(folder),
                device=self.device,
                model_kwargs={**backend.model_kwargs}
                or {**dtype_argument(getattr(torch, dtype)), "use_safetensors": True},
                **backend.arguments,
                **self._load_options(),
            )

        with quiet() if spec.variant and not self.verbose else contextlib.nullcontext():
            encoder = self._library_call(spec)("sentence encoder", load)
        disable_chat_templates(encoder)
        convert_word_vectors(encoder, getattr(torch, dtype))
        if spec.variant and not backend.arguments:
            self._transform(spec, encoder[0].auto_model)
        if spec not in self._checked_encoders:
            check_word_vectors(spec.name, folder, encoder)
            check_embedding(self._library_call(spec), folder, encoder)
            self._checked_encoders.add(spec)
        limit_input(encoder, max_length)
        return encoder

    def variant_settings(self, spec: ModelSpec) -> dict[str, str]:
        """Return how a variant is served, for the settings of its record; empty for a plain model."""
        return dict(backend_of(spec, self.locate(spec)).settings)

    def _library_call(self, spec: ModelSpec) -> LibraryCall:
        return LibraryCall(spec.name, verbose=self.verbose)

    def _load_options(self) -> dict[str, bool]:
        return {"trust_remote_code": self.trust_remote_code, "local_files_only": True}

    def _locate(self, spec: ModelSpec) -> LocatedModel:
        located = locate_files(spec, trust_remote_code=self.trust_remote_code)
        refuse_invalid_weights(spec.name, located.all_weight_files)
        if not (self.trust_remote_code or _is_known(located)):
            try_to_load(located)
        self.check_encoders(located)
        return located

    def check_encoders(self, located: LocatedModel) -> None:
        """Load each encoder of a model once, and check it with its tokenizer.

        Raises:
            Sst2Error: It lacks tensors, does not belong to its tokenizer, or cannot encode a sentence.
        """
        spec = located.spec
        for folder in located.encoders:
            model = self._complete_encoder(spec, folder)
            tokenizer = self._tokenizer(spec, folder)
            check_tokenizer(self._library_call(spec), folder, model, tokenizer)
            check_answer(self._library_call(spec), folder, model, tokenizer)

    def _complete_encoder(self, spec: ModelSpec, folder: Path) -> Any:
        """Return the encoder; refuse a checkpoint without all its tensors, which would be initialized randomly."""
        import torch
        import transformers

        # The class that sentence-transformers would load, with a head if the module's settings request one.
        auto_class = getattr(transformers, encoder_class(folder) or TASKS[task_of(folder)])

        def load() -> tuple[Any, dict[str, Any]]:
            loaded: tuple[Any, dict[str, Any]] = auto_class.from_pretrained(
                str(folder),
                **dtype_argument(torch.float32),
                use_safetensors=True,
                output_loading_info=True,
                **self._load_options(),
            )
            return loaded

        try:
            model, info = self._library_call(spec)("encoder", load)
        except Sst2Error as error:
            if "mismatch" not in str(error.__cause__):
                raise
            raise Sst2Error(
                f"model {spec.name!r}: tensors in {folder} have other shapes than config.json requires. Config and "
                "weights do not belong together. Use files of one checkpoint."
            ) from error
        needs_pooler = uses_pooler(folder)
        missing = sorted(key for key in info["missing_keys"] if needs_pooler or "pooler" not in key)
        if missing and (clause := wrapped(missing, info["unexpected_keys"])):
            raise Sst2Error(f"model {spec.name!r}: the names of the tensors in {folder} {clause}.")
        if missing:
            raise Sst2Error(
                f"model {spec.name!r}: the checkpoint in {folder} lacks {len(missing)} of the encoder's "
                f"{len(model.state_dict())} tensors (first: {missing[0]}), which would be initialized randomly. "
                f"{saved_from(folder, model, missing)}"
            )
        return model


def _is_known(located: LocatedModel) -> bool:
    """Return whether the files are those of a model in the catalogue, from the Hub or a package."""
    return located.weights.source != "folder" and located.spec.hub_id in {spec.hub_id for spec in CATALOG}
