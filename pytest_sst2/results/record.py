"""Record: the result of one measured cell, immutable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from pytest_sst2.config.recipes import ComputationPath, Recipe
from pytest_sst2.config.specs import training_name
from pytest_sst2.results.commit import Commit
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.floors import Floor, FloorKey
from pytest_sst2.utils.redact import redact_fields

_HEADLINE_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn")
# The settings' ``code`` of a method whose source cannot be read. Such methods are never assumed to be unchanged.
UNREADABLE_CODE = "unreadable"
# Fields of a record that can contain any text.
_FREE_TEXT = frozenset({"note", "provenance", "settings", "variables", "warnings"})


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Phase:
    """A phase of a cell: load, tokenize, train, evaluate (for the learning curve), encode, store, fit or predict.

    Attributes:
        name: The name of the phase.
        seconds: Wall time without the phases inside it.
        examples: Number of examples; 0 if the work is not per example.
        cached: Whether the result came from a cache, so that the seconds are not those of the work.
        delay_seconds: Seconds in which a thread could run and no core was free, summed over the threads; None if it
            was not measured. Linux counts them.
    """

    name: str
    seconds: float
    examples: int = 0
    cached: bool = False
    delay_seconds: float | None = None

    @property
    def examples_per_second(self) -> float | None:
        """Examples per second of wall time; None if there are no examples, no time passed, or the phase is cached."""
        return self.examples / self.seconds if self.examples and self.seconds > 0 and not self.cached else None


@dataclass(frozen=True)
class Round:
    """Time and memory of one repetition of a cell.

    Attributes:
        seconds: Wall time of training and predicting, without recording fingerprints.
        phases: The phases of that time.
        machine_seconds: Seconds per GFLOP of fixed work during the round, the unit in which times of different machines
            and moments are compared. None if it was not measured.
        peak_bytes: The highest resident memory of the process.
        peak_growth_bytes: The increase of ``peak_bytes`` since the start of the round; None if it was not measured.
        machine_spread: Range of the machine's seconds measured between the phases, divided by their mean.
        device_peak_bytes: The highest memory allocated on the accelerator; None without one.
        turn: The pair of processes, one in each environment, that ran their rounds by turns; empty outside of ``upgrade
            --time``.
    """

    seconds: float
    phases: Sequence[Phase]
    machine_seconds: float | None
    peak_bytes: int
    peak_growth_bytes: int | None
    device_peak_bytes: int | None = None
    machine_spread: float = 0.0
    turn: str = ""


@dataclass(frozen=True)
class Epoch:
    """One epoch of training: mean training loss, and loss and accuracy on the evaluation rows after it."""

    number: int
    train_loss: float
    eval_loss: float
    eval_accuracy: float


@dataclass(frozen=True)
class Latency:
    """Seconds from a sentence to its prediction, one sentence at a time: median and 95th percentile of ``samples``.

    ``delay_seconds`` is that of a phase, per sentence; None if it was not measured.
    """

    p50_seconds: float
    p95_seconds: float
    samples: int
    delay_seconds: float | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """The sentences of a cell.

    Attributes:
        name: ``sst2`` if the content is that of SST-2, ``pocket`` for the built-in set, else the name of the folder.
        source: ``hub``, ``folder`` or ``pocket``.
        revision: The commit on the Hub, or ``sha256:...`` of the content of a folder or of the pocket set.
        split: ``validation`` or ``heldout``.
        train_size: Number of training rows.
        eval_size: Number of evaluation rows.
        digest: SHA-256 of the training and evaluation rows in the order used.
        note: A note for readers, such as a substituted data set or a clipped size; empty without one.
        columns: The columns of sentence and label, if they were given; empty if not, and in files of earlier releases.
        labels: The values of the negative and the positive label, if they were given; else empty.
    """

    name: str
    source: str
    revision: str
    split: str
    train_size: int
    eval_size: int
    digest: str
    note: str = ""
    columns: Sequence[str] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Weights:
    """The weights of a model.

    Attributes:
        hub_id: The repository on the Hub; empty for a folder.
        source: ``hub``, ``cache``, ``bundled`` or ``folder``.
        revision: The resolved commit, or for a folder ``sha256:...`` of the files next to the weights.
        sha256: SHA-256 of the weight files.
        licence: The licence that the model card states.
    """

    hub_id: str
    source: str
    revision: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Environment:
    """The software and hardware that ran a cell.

    ``packages`` maps every installed distribution to its version. ``threads`` is the size of PyTorch's thread pool.
    ``variables`` has the environment variables that were set and that change precision or threads. ``blas_kernels``
    names the processors that the kernels of each linear algebra library are for; empty if it was not recorded.
    """

    python: str
    implementation: str
    platform: str
    packages: Mapping[str, str]
    device: str
    device_name: str
    cpu_model: str
    cpu_cores: int
    threads: int
    blas: str
    matmul_precision: str
    deterministic: bool
    variables: Mapping[str, str]
    blas_kernels: str = ""

    @property
    def headline(self) -> str:
        """The most important versions: ``torch 2.13.0, transformers 5.23.0, ...``."""
        return ", ".join(f"{name} {self.packages[name]}" for name in _HEADLINE_PACKAGES if name in self.packages)


@dataclass(frozen=True)
class Placement:
    """Where and when a cell ran.

    Attributes:
        executor: ``serial``, ``xdist`` or ``ray``; ``torchrun`` in files of earlier releases.
        node: The name of the machine; empty if unknown.
        worker: The worker process, such as ``gw1``; empty if there was one process only.
        concurrent_workers: Number of other workers that may have used the same cores during the measurement.
        processes: Number of processes that trained the cell together; more than 1 in files of earlier releases only.
        attempt: 1, or more if earlier attempts were lost with their node or process.
        started: Start of the cell in seconds since 1970; None if unknown.
        finished: End of the cell in seconds since 1970; None if unknown.
    """

    executor: str = "serial"
    node: str = ""
    worker: str = ""
    concurrent_workers: int = 0
    processes: int = 1
    attempt: int = 1
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measured cell.

    ``predictions`` (0 or 1), ``probabilities`` (of the positive class, six digits) and ``labels`` are in the order of
    the evaluation rows. The numbers are those of the first round. ``settings`` has the effective training arguments or
    classifier parameters. Files of schema version 1 have no ``labels``, and None as ``fingerprint``. ``commit`` is
    that of the user's repository; None if there is none, and in files of earlier releases. ``path`` is ``stock`` if the
    libraries' own Trainer, modules and ``encode()`` were used as they come, else ``fast``.
    """

    cell: str
    model: str | None
    method: str
    seed: int
    accuracy: float
    accuracy_interval: Interval
    correct: int
    total: int
    majority_accuracy: float
    dataset: DatasetInfo
    recipe: Recipe
    recipe_label: str
    environment: Environment
    placement: Placement
    weights: Weights | None
    settings: Mapping[str, Any]
    fingerprint: Fingerprint | None
    labels: Sequence[int]
    predictions: Sequence[int]
    probabilities: Sequence[float]
    rounds: Sequence[Round]
    latency: Latency
    epochs: Sequence[Epoch] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    floor: Floor | None = None
    warnings: Sequence[str] = ()
    commit: Commit | None = None
    path: ComputationPath = "fast"

    @property
    def phases(self) -> Sequence[Phase]:
        """The phases of the round with the median time, or the lower of the two middle rounds."""
        return sorted(self.rounds, key=lambda measured: measured.seconds)[(len(self.rounds) - 1) // 2].phases

    @property
    def peak_bytes(self) -> int:
        """The highest resident memory of the process in any round."""
        return max(measured.peak_bytes for measured in self.rounds)

    @property
    def device_peak_bytes(self) -> int | None:
        """The highest memory allocated on the accelerator in any round; None without one."""
        return max(measured.device_peak_bytes or 0 for measured in self.rounds) or None

    @property
    def name(self) -> str:
        """What people read: ``minilm × linear-probe seed 42``."""
        return training_name(self.model, self.method, self.seed)

    @property
    def floor_key(self) -> FloorKey:
        """The key of this cell's floor."""
        return FloorKey(self.dataset.name, self.recipe_label, self.model or "", self.method)

    @property
    def reaches_floor(self) -> bool:
        """Whether the accuracy is at least the floor; True without a floor."""
        return self.floor is None or self.accuracy >= self.floor.accuracy

    def seconds(self, *names: str) -> float | None:
        """Return the total seconds of the named phases; None if the cell has none of them."""
        seconds = [phase.seconds for phase in self.phases if phase.name in names]
        return sum(seconds) if seconds else None

    def to_json(self) -> dict[str, Any]:
        """Return the record as dicts, lists, texts and numbers, without secrets."""
        # Converting to JSON and back turns tuples into lists, so the result equals what a file is read as.
        # Values that JSON does not have, such as those in a custom method's settings, become text.
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str), parse_constant=str)
        free: dict[str, Any] = redact_fields(plain, _FREE_TEXT)
        return free


@dataclass(frozen=True)
class Failure:
    """A cell without a number, and the error."""

    cell: str
    model: str | None
    method: str
    seed: int
    error: str

    @property
    def name(self) -> str:
        """What people read: ``minilm × linear-probe seed 42``."""
        return training_name(self.model, self.method, self.seed)
