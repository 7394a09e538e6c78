"""FingerprintRecorder: records the fingerprint of a cell while it runs, from the objects that the cell uses."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pytest_sst2.instruments.data_fingerprint import (
    SINGLE_ROWS,
    id_digests,
    overlap,
    rows_fingerprint,
    tokens_fingerprint,
)
from pytest_sst2.instruments.encoder_fingerprint import embedded, measure_encoder
from pytest_sst2.instruments.fixed_batch import LossOf, measure_fixed_batch
from pytest_sst2.instruments.forward_watch import FirstBatchWatch, watch_embedding_tables
from pytest_sst2.instruments.measured_encoder import MeasuredEncoder
from pytest_sst2.instruments.optimizer_watch import OptimizerWatch
from pytest_sst2.instruments.row_sketch import RowWatch, SketchedRows, row_sketches, sketch_rows
from pytest_sst2.instruments.weights_fingerprint import part_of, weights_fingerprint
from pytest_sst2.results.fingerprint import (
    SAME_TOKEN_IDS,
    EncoderFingerprint,
    Fingerprint,
    TokensFingerprint,
    TrainingFingerprint,
)
from pytest_sst2.results.packing import packed_digests, packed_floats, unpacked_digests
from pytest_sst2.results.probe_sentences import (
    answered_sentences,
    probe_sentences,
    probe_sentences_digest,
    sentences_by_length,
)
from pytest_sst2.results.training_steps import FixedBatch
from pytest_sst2.utils.hashing import short_digest

if TYPE_CHECKING:
    from pytest_sst2.data.splits import Examples
    from pytest_sst2.instruments.phase_clock import PhaseClock

PHASE = "fingerprint"
# Log-odds of 0 and 1 are infinite. A float32 softmax cannot tell this probability from 0.
_LEAST_PROBABILITY = 1e-12
# The shortest probe sentences, which the classifier predicts after each epoch.
_AFTER_EPOCH = 16
# Sentences that are predicted twice more, to measure nondeterminism.
_REPEATED = 4


@dataclass(frozen=True)
class EncoderObservation:
    """The fingerprints of an encoder and of its tokenizer, None without one.

    ``identity`` is a digest that differs between encoders whose weights or embeddings differ in any bit.
    """

    tokens: TokensFingerprint | None
    encoder: EncoderFingerprint
    identity: str


class FingerprintRecorder:
    """Records the fingerprint of one round of a cell. A method passes its objects to the ``record_`` methods.

    Args:
        clock: Times the recorder's work as phase ``fingerprint``, so that no other phase includes it.
        enabled: False in later rounds, whose fingerprint would be the same.
        whole_batches: False if batches are split after an out-of-memory error: then the first batch is not comparable.
        before: The encoder that another cell measured; None to measure every encoder.
    """

    def __init__(
        self,
        clock: PhaseClock,
        *,
        enabled: bool = True,
        whole_batches: bool = True,
        before: MeasuredEncoder | None = None,
    ) -> None:
        self._before = before
        self._clock = clock
        self.enabled = enabled
        self._whole_batches = whole_batches
        self.tokens: TokensFingerprint | None = None
        self.encoder: EncoderFingerprint | None = None
        self.training: TrainingFingerprint | None = None
        self.observation: EncoderObservation | None = None
        self._tokenizer: Any = None
        self._tokenize: Callable[[Sequence[str]], Sequence[Sequence[int]]] | None = None
        self._rows: dict[str, SketchedRows] = {}
        self._row_watch = RowWatch()
        self._ids: Sequence[Sequence[int]] | None = None
        # A weak reference, because the model of a round is freed before the next round.
        self._module: Callable[[], Any] = lambda: None
        self._optimizer = OptimizerWatch()
        self.fixed_batch: FixedBatch | None = None
        self._epoch_logits: list[float] = []
        self._first_batch = FirstBatchWatch()

    def _phase(self) -> contextlib.AbstractContextManager[None]:
        return self._clock.phase(PHASE, is_timed=False)

    def record_tokenizer(self, tokenizer: Any, tokenize: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """Record a tokenizer; ``tokenize`` maps n sentences to n lists of token ids, truncated as in the method."""
        if self.enabled:
            with self._phase():
                self._ids = tokenize(probe_sentences())
                self.tokens = tokens_fingerprint(tokenizer, self._ids)
                self._tokenizer, self._tokenize = tokenizer, tokenize

    def record_encoder(
        self, module: Any, embed: Callable[[Sequence[str]], np.ndarray], conditions: Hashable = None
    ) -> None:
        """Record the fingerprint of an encoder as loaded, and start to watch its training.

        ``module`` has all its weights, including a head that will be trained; ``embed`` maps n sentences to (n, d).
        If ``conditions`` name all that decides what ``embed`` computes, except the module's state, then the encoder is
        measured once for all cells that load it.
        """
        if self.enabled:
            with self._phase():
                measured = measure_encoder(module, embed, self._ids, before=self._before, conditions=conditions)
                tokens = self.tokens
                if self._tokenizer is not None and measured.ids is not None and measured.ids is not self._ids:
                    tokens = tokens_fingerprint(self._tokenizer, measured.ids)
                self._tokenizer = None
                self.reuse(module, EncoderObservation(tokens, measured.fingerprint, measured.identity))

    def reuse(self, module: Any, observation: EncoderObservation) -> None:
        """Use the observation of the same encoder by another recorder, and start to watch its training."""
        if not self.enabled:
            return
        self.observation, self.tokens, self.encoder = observation, observation.tokens, observation.encoder
        with contextlib.suppress(TypeError):  # some objects have no weak references
            self._module = weakref.ref(module)
        self._optimizer.watch(self._names)
        self._first_batch.watch(module)

    def record_fixed_batch(self, model: Any, batch: Mapping[str, Any], backward: LossOf, forward: LossOf) -> None:
        """Record what a training computes for a batch of probe sentences, as ``measure_fixed_batch`` describes."""
        if self.enabled:
            with self._phase(), self._first_batch.paused(), contextlib.suppress(Exception):  # as above
                self.fixed_batch = measure_fixed_batch(model, batch, backward, forward)

    def record_loss(self, loss: Any, *, total: int) -> None:
        """Record the loss of the next step, one of ``total``, and its gradient, which is not yet clipped."""
        module = self._module()
        if self.enabled and module is not None:
            with contextlib.suppress(Exception):  # as above
                self._optimizer.record_loss(loss, module.parameters(), total=total)

    def record_epoch(self, predict: Callable[[Sequence[str]], np.ndarray] | None) -> None:
        """Record the weights' distance from the start after an epoch, and the predictions unless it is the last."""
        if not self.enabled:
            return
        with self._phase(), contextlib.suppress(Exception):  # as above
            self._optimizer.record_epoch(part_of)
            if predict is not None:
                sentences = [probe_sentences()[number] for number in sentences_by_length()[:_AFTER_EPOCH]]
                self._epoch_logits += _log_odds(np.asarray(predict(sentences), dtype=np.float64))

    def _names(self) -> dict[int, str]:
        module = self._module()
        return {id(weight): name for name, weight in module.named_parameters()} if module is not None else {}

    def record_rows(
        self, which: Literal["train", "evaluation"], ids: Sequence[Sequence[int]], embeddings: np.ndarray
    ) -> None:
        """Record n lists of token ids and embeddings of shape (n, d): of all ``train`` or ``evaluation`` rows.

        ``load_features`` does it.
        """
        if self.enabled:
            with self._phase(), contextlib.suppress(Exception):  # no measurement may end a run
                self._rows[which] = sketch_rows(ids, embeddings)

    @contextlib.contextmanager
    def predicting(self) -> Iterator[None]:
        """Watch what a trained transformers model reads and computes during the body, which predicts all rows."""
        module = self._module() if self.enabled else None
        with self._row_watch.watching(module):
            yield

    def record_training(self, training: TrainingFingerprint, *, later_order: str = "") -> None:
        """Record the fingerprint of a training when it has ended.

        Steps of a PyTorch optimiser since ``record_encoder``, and the parts whose weights changed, are added.
        ``later_order`` is the digest of the rows after the first epoch.
        """
        steps = self._optimizer.training_steps(training.steps)
        if steps is not None:
            steps = dataclasses.replace(steps, later_order=later_order, logits=packed_floats(self._epoch_logits))
        self._optimizer.stop()
        self._first_batch.stop()
        batch = self._first_batch
        self.training = dataclasses.replace(
            training,
            **self._optimizer.training_fields(),
            first_batch=batch.digests if self._whole_batches else "",
            autocast=batch.autocast,
            fixed_batch=self.fixed_batch,
            watched=steps,
        )
        module = self._module()
        if self.enabled and module is not None and self.encoder is not None:
            with self._phase():
                now = weights_fingerprint(module).parts
                changed = tuple(part for part, digest in self.encoder.parts.items() if now.get(part) != digest)
                weights = short_digest(repr(sorted(now.items())))
                self.training = dataclasses.replace(self.training, trained=changed, weights=weights)

    def fingerprint(
        self, train: Examples, evaluation: Examples, predict: Callable[[Sequence[str]], np.ndarray]
    ) -> Fingerprint:
        """Return the whole fingerprint; ``predict`` maps n sentences to n probabilities of the positive class."""
        self._optimizer.stop()
        if "evaluation" not in self._rows and self._tokenize is not None:
            with contextlib.suppress(Exception):  # as above
                rows = self._row_watch.rows(self._tokenize(evaluation.sentences))
                self._rows |= {} if rows is None else {"evaluation": rows}
        with watch_embedding_tables() as rows_by_size:
            probabilities = embedded(predict, answered_sentences())
        # Both times in the same batch: an effect of padding is measured elsewhere.
        first, second = (embedded(predict, answered_sentences()[:_REPEATED]) for _ in range(2))
        return Fingerprint(
            fixed_sentences=probe_sentences_digest(),
            train=rows_fingerprint(train),
            evaluation=rows_fingerprint(evaluation, *(() if "evaluation" in self._rows else (SINGLE_ROWS,))),
            logits=packed_floats(_log_odds(probabilities)),
            repeat_max_diff=round(float(np.abs(first - second).max()), 6),
            tokens=self.tokens,
            encoder=self.encoder,
            training=self.training,
            prediction_token_ids=_prediction_token_ids(rows_by_size, self.tokens),
            rows=row_sketches(self._rows.get("evaluation"), self._rows.get("train")),
            overlap=overlap(train, evaluation),
        )


def _log_odds(probabilities: np.ndarray) -> list[float]:
    clipped = np.clip(probabilities, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return [float(value) for value in np.log(clipped / (1 - clipped))]


def _prediction_token_ids(rows_by_size: Mapping[int, list[list[int]]], tokens: TokensFingerprint | None) -> str:
    """Return the digests of the rows that the largest embedding table read, which is the table of tokens.

    The digests are sorted, because batches change the order. Empty if the table did not read one row per sentence.
    """
    rows = rows_by_size[max(rows_by_size)] if rows_by_size else []
    if len(rows) != len(answered_sentences()):
        return ""
    digests = sorted(id_digests(rows))
    known = unpacked_digests(tokens.ids) if tokens is not None else [b""] * len(probe_sentences())
    is_same = digests == sorted(known[number] for number in answered_sentences())
    return SAME_TOKEN_IDS if is_same else packed_digests(digests)
