"""Record: one measured cell, immutable, and as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from pytest_sst2.config.recipes import Recipe
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.floors import Floor, FloorKey
from pytest_sst2.utils.redact import redacted

_HEADLINE_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn")

# What stands in the settings' ``code`` for a method whose source nobody can read: it may be another each time.
UNREADABLE_CODE = "unreadable"


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Phase:
    """A named stretch of work: load, tokenize, train, evaluate (the learning curve), encode, store, fit, predict.

    ``seconds`` is wall time without the phases inside it; ``examples`` is 0 where the work is not per example.
    ``cached`` says that the result was taken from a cache, so that the seconds say nothing of the work.
    """

    name: str
    seconds: float
    examples: int = 0
    cached: bool = False

    @property
    def examples_per_second(self) -> float | None:
        """Examples per second of wall time; None where there are none, where no time passed, or where it is cached."""
        return self.examples / self.seconds if self.examples and self.seconds > 0 and not self.cached else None


@dataclass(frozen=True)
class Round:
    """What one repetition of a cell cost.

    Attributes:
        seconds: Wall time of training and predicting, without the taking of fingerprints.
        phases: Where it went.
        machine_seconds: What a GFLOP of fixed work took beside it: the unit in which machines and moments compare.
            None where it was not measured.
        peak_bytes: The highest resident memory of the process.
        peak_growth_bytes: How much higher that is than at the start of the round; None where it was not measured.
        machine_spread: How unsteady the machine was: the range of its seconds, measured between the phases, by their
            mean.
        device_peak_bytes: The highest allocated on the accelerator; None without one.
    """

    seconds: float
    phases: Sequence[Phase]
    machine_seconds: float | None
    peak_bytes: int
    peak_growth_bytes: int | None
    device_peak_bytes: int | None = None
    machine_spread: float = 0.0


@dataclass(frozen=True)
class Epoch:
    """One pass of training: mean training loss, and loss and accuracy on the evaluation rows after it."""

    number: int
    train_loss: float
    eval_loss: float
    eval_accuracy: float


@dataclass(frozen=True)
class Latency:
    """Seconds from one sentence to its prediction, one at a time: median and 95th percentile of ``samples``."""

    p50_seconds: float
    p95_seconds: float
    samples: int


@dataclass(frozen=True)
class DatasetInfo:
    """Which sentences were used.

    Attributes:
        name: ``sst2`` when the content is that of SST-2, ``pocket`` for the built-in set, else the folder's name.
        source: ``hub``, ``folder`` or ``pocket``.
        revision: Commit on the Hub; ``sha256:...`` of the content for a folder and for the pocket set.
        split: ``validation`` or ``heldout``.
        train_size: Rows trained on.
        eval_size: Rows evaluated on.
        digest: SHA-256 of the training and evaluation rows in the order used.
        note: What a reader must know of it (a substitution, a clipped size); empty if nothing.
    """

    name: str
    source: str
    revision: str
    split: str
    train_size: int
    eval_size: int
    digest: str
    note: str = ""


@dataclass(frozen=True)
class Weights:
    """Which weights were used.

    Attributes:
        hub_id: The repository; empty for a folder.
        source: ``hub``, ``cache``, ``bundled`` or ``folder``.
        revision: The resolved commit; ``sha256:...`` of the files beside the weights for a folder.
        sha256: Of the weight files.
        licence: As the model card states it.
    """

    hub_id: str
    source: str
    revision: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Environment:
    """What ran the cell.

    ``packages`` maps every installed distribution to its version; sizes of thread pools are in ``threads``;
    ``variables`` are those environment variables that change precision or threads and were set.
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

    @property
    def headline(self) -> str:
        """The versions a reader looks for first: ``torch 2.13.0, transformers 5.23.0, ...``."""
        found = [f"{name} {self.packages[name]}" for name in _HEADLINE_PACKAGES if name in self.packages]
        return ", ".join(found)


@dataclass(frozen=True)
class Placement:
    """Where a cell ran, when, and beside what.

    Attributes:
        executor: ``serial``, ``xdist``, ``ray`` or ``torchrun``.
        node: The name of the machine; empty where it is not known.
        worker: The process among several, such as ``gw1``; empty where there was one.
        concurrent_workers: How many other workers may have been at work on the same cores while it was timed.
        processes: How many processes trained it together.
        attempt: 1, or more where earlier ones were lost with their node or process.
        started: When its work began, in seconds since 1970; None where it is not known.
        finished: When its record was made, likewise.
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
    the evaluation rows. Numbers are those of the first round; ``settings`` are the effective training arguments or
    classifier parameters. ``labels`` is empty and ``fingerprint`` None in a record of the first schema.
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

    @property
    def phases(self) -> Sequence[Phase]:
        """Those of the round with the median total time (the lower of the two middle ones for an even number)."""
        return sorted(self.rounds, key=lambda each: each.seconds)[(len(self.rounds) - 1) // 2].phases

    @property
    def peak_bytes(self) -> int:
        """The highest resident memory of the process in any round."""
        return max(each.peak_bytes for each in self.rounds)

    @property
    def device_peak_bytes(self) -> int | None:
        """The highest memory allocated on the accelerator in any round, None without one."""
        return max(each.device_peak_bytes or 0 for each in self.rounds) or None

    @property
    def floor_key(self) -> FloorKey:
        """What a floor for this cell is kept under."""
        return FloorKey(self.dataset.name, self.recipe_label, self.model or "", self.method)

    @property
    def reaches_floor(self) -> bool:
        """False only where there is a floor and the accuracy is below it."""
        return self.floor is None or self.accuracy >= self.floor.accuracy

    def seconds(self, *names: str) -> float | None:
        """Total seconds of the phases so named, or None if the cell had none of them."""
        found = [phase.seconds for phase in self.phases if phase.name in names]
        return sum(found) if found else None

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain dicts, lists, texts and numbers, no secret in any text."""
        # The detour through JSON turns tuples into lists, so that what is sent equals what is read back.
        # What JSON has no word for, in the settings of somebody's method say, becomes text.
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str), parse_constant=str)
        return redacted(plain)


@dataclass(frozen=True)
class Failure:
    """A cell that has no number: what it was and the sentence that says why."""

    cell: str
    model: str | None
    method: str
    seed: int
    error: str
