"""FingerprintRecorder: takes a cell's fingerprints while the cell runs, from the very objects it works with."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import hashlib
import unicodedata
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.instruments.encoder_fingerprint import (
    autocast_type,
    first_linear,
    ids_digests,
    of_fixed_sentences,
    see_encoder,
    tokens_fingerprint,
    weights_of,
)
from pytest_sst2.results.fingerprint import (
    EncoderFingerprint,
    Fingerprint,
    RowsFingerprint,
    TokensFingerprint,
    TrainingFingerprint,
)
from pytest_sst2.results.packing import packed_bits, packed_floats
from pytest_sst2.results.probe_sentences import fixed_sentences, fixed_sentences_digest
from pytest_sst2.utils.hashing import short_digest

if TYPE_CHECKING:
    from pytest_sst2.data.splits import Examples
    from pytest_sst2.instruments.phase_clock import PhaseClock

PHASE = "fingerprint"
# A probability of 0 or 1 has no log-odds; what no float32 softmax tells from it stands for it.
_LEAST_PROBABILITY = 1e-12
# Options of an optimiser that decide its steps; the rest say how they are computed.
_DECISIVE = ("betas", "eps", "weight_decay", "momentum", "nesterov", "amsgrad", "maximize", "alpha", "rho")
# So many of the fixed sentences, the shortest, are asked for twice more.
_ASKED_TWICE = 16
# The first step is looked at in tensors up to this size: biases, norms, a head.
_SMALL_TENSOR = 5000


@dataclass(frozen=True)
class EncoderObservation:
    """What a witness saw of an encoder and its tokenizer.

    Attributes:
        tokens: What the tokenizer makes of the fixed sentences; None for encoders without one.
        encoder: The encoder's fingerprint.
        identity: Tells it from every other encoder, to the last bit of what it makes of the fixed sentences.
    """

    tokens: TokensFingerprint | None
    encoder: EncoderFingerprint
    identity: str


class FingerprintRecorder:
    """What the methods of one round let it see.

    Args:
        clock: Its work is phase ``fingerprint`` there, which is counted to nothing else.
        enabled: False in later rounds: the same cell leaves the same fingerprints.
        whole_batches: False where several processes share each batch out: the part that the model is given in this one
            compares with nothing.
    """

    def __init__(self, clock: PhaseClock, *, enabled: bool = True, whole_batches: bool = True) -> None:
        self._clock = clock
        self.enabled = enabled
        self._whole_batches = whole_batches
        self.tokens: TokensFingerprint | None = None
        self.encoder: EncoderFingerprint | None = None
        self.training: TrainingFingerprint | None = None
        self.sight: EncoderObservation | None = None
        self._tokenizer: Any = None
        self._ids: Sequence[Sequence[int]] | None = None
        # Not kept alive: the model of a round is let go before the next.
        self._module: Callable[[], Any] = lambda: None
        self._steps = _Steps()
        self._first_batch = _FirstBatch()

    def record_tokenizer(self, tokenizer: Any, tokenize: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """Take the fingerprint of a tokenizer.

        Args:
            tokenizer: The tokenizer itself.
            tokenize: From sentences to their token ids, cut to length as the method cuts them.
        """
        if self.enabled:
            with self._clock.phase(PHASE):
                self._ids = tokenize(fixed_sentences())
                self.tokens = tokens_fingerprint(tokenizer, self._ids)
                self._tokenizer = tokenizer

    def record_encoder(self, module: Any, embed: Callable[[Sequence[str]], np.ndarray]) -> None:
        """Take the fingerprint of an encoder as it was loaded, and from here on watch the steps of its training.

        Args:
            module: A ``torch.nn.Module`` with all its weights, a head that is to be trained included.
            embed: From n sentences to an array of shape (n, d).
        """
        if self.enabled:
            with self._clock.phase(PHASE):
                seen = see_encoder(module, embed, self._ids)
                tokens = self.tokens
                if self._tokenizer is not None and seen.ids is not None and seen.ids is not self._ids:
                    tokens = tokens_fingerprint(self._tokenizer, seen.ids)
                self._tokenizer = None
                self.recall(module, EncoderObservation(tokens, seen.fingerprint, seen.identity))

    def recall(self, module: Any, sight: EncoderObservation) -> None:
        """Take what another witness saw of the very same encoder; from here on watch the steps of a training."""
        if not self.enabled:
            return
        self.sight, self.tokens, self.encoder = sight, sight.tokens, sight.encoder
        with contextlib.suppress(TypeError):  # not everything can be referred to weakly
            self._module = weakref.ref(module)
        self._steps.watch()
        self._first_batch.watch(module)

    def record_training(self, course: TrainingFingerprint) -> None:
        """Keep how the optimisation went, with what was seen of its steps and of what they changed."""
        self._steps.stop()
        self._first_batch.stop()
        batch = self._first_batch
        self.training = dataclasses.replace(
            course,
            **self._steps.found(),
            first_batch=batch.digests if self._whole_batches else "",
            autocast=batch.autocast,
        )
        module = self._module()
        if self.enabled and module is not None and self.encoder is not None:
            with self._clock.phase(PHASE):
                now = weights_of(module).parts
                changed = tuple(part for part, digest in self.encoder.parts.items() if now.get(part) != digest)
                weights = short_digest(repr(sorted(now.items())))
                self.training = dataclasses.replace(self.training, trained=changed, weights=weights)

    def fingerprint(
        self, train: Examples, evaluation: Examples, predict: Callable[[Sequence[str]], np.ndarray]
    ) -> Fingerprint:
        """Ask the trained classifier for the fixed sentences, some of them twice; return the whole fingerprint."""
        self._steps.stop()
        with _watched_reading() as read:
            first = of_fixed_sentences(predict)
        # Among the same neighbours both times: padding that is attended to is another fault.
        few = sorted(fixed_sentences(), key=len)[:_ASKED_TWICE]
        once, again = (np.asarray(predict(few), dtype=np.float64) for _ in range(2))
        clipped = np.clip(first, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return Fingerprint(
            fixed_sentences=fixed_sentences_digest(),
            train=rows_fingerprint(train),
            evaluation=rows_fingerprint(evaluation),
            logits=packed_floats(np.log(clipped / (1 - clipped)).tolist()),
            repeat_max_diff=round(float(np.abs(once - again).max()), 6),
            tokens=self.tokens,
            encoder=self.encoder,
            training=self.training,
            prediction_token_ids=_asked(read),
        )


@functools.lru_cache(maxsize=16)  # the cells of a run share their rows
def rows_fingerprint(rows: Examples) -> RowsFingerprint:
    """Return the fingerprint of training or evaluation rows."""
    pairs = sorted(zip(rows.sentences, rows.labels.tolist(), strict=True))
    return RowsFingerprint(
        sentences=_digest(sentence for sentence, _ in pairs),
        labels=packed_bits([label for _, label in pairs]),
        order=_digest(rows.sentences),
        count=len(rows),
        distinct=len(set(rows.sentences)),
        normalized_digest=_digest(sorted(_letters(sentence) for sentence in rows.sentences)),
    )


def _letters(sentence: str) -> str:
    """Return the sentence without spaces, case and accents."""
    parts = unicodedata.normalize("NFKD", sentence).casefold()
    return "".join(char for char in parts if not char.isspace() and not unicodedata.combining(char))


def _digest(sentences: Any) -> str:
    return short_digest("".join(f"{sentence}\n" for sentence in sentences))


@contextlib.contextmanager
def _watched_reading() -> Iterator[dict[int, list[list[int]]]]:
    """Gather, in the body, the rows of ids that embedding tables are given, by the table's size and without padding."""
    from torch.nn import Embedding
    from torch.nn.modules.module import register_module_forward_pre_hook

    read: dict[int, list[list[int]]] = {}

    def look(module: Any, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, Embedding) and module.padding_idx is not None and inputs and inputs[0].ndim == 2:
            rows = [[token for token in row if token != module.padding_idx] for row in inputs[0].tolist()]
            read.setdefault(module.num_embeddings, []).extend(rows)

    handle = register_module_forward_pre_hook(look)
    try:
        yield read
    finally:
        handle.remove()


def _asked(read: Mapping[int, list[list[int]]]) -> str:
    """Return the digests of what the largest table, that of the words, was given: sorted, for batches have an order."""
    rows = read[max(read)] if read else []
    digests = base64.b64decode(ids_digests(rows))
    each = sorted(digests[start : start + 4] for start in range(0, len(digests), 4))
    return base64.b64encode(b"".join(each)).decode() if len(each) == len(fixed_sentences()) else ""


class _Steps:
    """Sees every step of every PyTorch optimiser while it watches: its options, its rates, what the first changed."""

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._rates: list[float] = []
        self._options: dict[str, Any] = {}
        self._before: list[tuple[Any, Any]] = []
        self._first_update: float | None = None

    def watch(self) -> None:
        """Watch until ``stop``, or until nobody holds this object any more."""
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        me = weakref.ref(self)

        def before(optimizer: Any, *_: Any) -> None:
            if (steps := me()) is not None:
                steps._before_step(optimizer)

        def after(*_: Any) -> None:
            if (steps := me()) is not None:
                steps._after_step()

        self._handles = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(after)]
        for handle in self._handles:
            weakref.finalize(self, handle.remove)

    def stop(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._before = [], []

    def found(self) -> dict[str, Any]:
        """Return fields of ``TrainingFingerprint``; none where there were no steps."""
        if not self._rates:
            return {}
        mean = float(f"{sum(self._rates) / len(self._rates):.6g}")
        return {"mean_learning_rate": mean, "optimizer": self._options, "first_update": self._first_update}

    def _before_step(self, optimizer: Any) -> None:
        groups = optimizer.param_groups
        self._rates.append(max(float(group["lr"]) for group in groups))
        if len(self._rates) > 1:
            return
        self._options = {"optimizer": type(optimizer).__name__}
        for name in _DECISIVE:
            values = dict.fromkeys(_plain(group[name]) for group in groups if name in group)
            if values:
                self._options[name] = " / ".join(values)
        small = [weight for group in groups for weight in group["params"] if weight.numel() <= _SMALL_TENSOR]
        self._before = [(weight, weight.detach().clone()) for weight in small if weight.grad is not None]

    def _after_step(self) -> None:
        if not self._before:
            return
        squares = sum(float((weight.detach() - old).double().square().sum()) for weight, old in self._before)
        count = sum(old.numel() for _, old in self._before)
        self._before = []
        self._first_update = float(f"{(squares / count) ** 0.5:.4g}")


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) else str(value)


class _FirstBatch:
    """Sees the first batch that a model is given while it trains."""

    def __init__(self) -> None:
        self.digests = ""
        self.autocast: str | None = None
        self._handles: list[Any] = []

    def watch(self, module: Any) -> None:
        """Watch the module until ``stop``; one that takes no token ids by name says nothing."""
        if hasattr(module, "base_model") and hasattr(module, "register_forward_pre_hook"):
            self._handles.append(module.register_forward_pre_hook(self._look, with_kwargs=True))
            if (layer := first_linear(module)) is not None:
                self._handles.append(layer.register_forward_pre_hook(self._look_inside))

    def stop(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _look_inside(self, module: Any, _args: tuple[Any, ...]) -> None:
        if module.training and self.autocast is None:
            self.autocast = autocast_type(module)

    def _look(self, module: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        ids, mask, labels = (kwargs.get(name) for name in ("input_ids", "attention_mask", "labels"))
        if self.digests or not module.training or ids is None or mask is None or ids.shape != mask.shape:
            return
        rows = [row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True)]
        classes = labels.tolist() if labels is not None and len(labels) == len(rows) else []
        pairs = sorted(zip(rows, classes or [0] * len(rows), strict=True))
        given = [[row for row, _ in pairs], [label for _, label in pairs] if classes else []]
        texts = [short_digest(repr(each)) if each else "" for each in given]
        self.digests = self.digests or ":".join(texts)


class OrderDigest:
    """Digests of the first ``limit`` training rows: in the order an optimiser sees them, and whatever their order."""

    def __init__(self, limit: int) -> None:
        self._rows: list[bytes] = []
        self._left = limit

    def add(self, token_ids: Sequence[int]) -> None:
        """Take the next row; those beyond the limit are passed over."""
        if self._left:
            self._left -= 1
            self._rows.append(repr(list(token_ids)).encode())

    def __str__(self) -> str:
        row_digests = sorted(hashlib.sha256(row).digest()[:8] for row in self._rows)
        return f"{short_digest(b''.join(self._rows))}:{short_digest(b''.join(row_digests))}"
