"""Record: one measured cell, immutable, to and from versioned JSON.

Schema history of a results file:

1 (0.1.0)  ``{"schema_version": 1, "records": [...], "failures": [...]}``; a record is the fields of ``Record``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any, NamedTuple

from pytest_sst2.errors import Sst2Error
from pytest_sst2.floors import Floor, FloorKey
from pytest_sst2.recipes import Recipe

SCHEMA_VERSION = 1

_HEADLINE_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn")


class Interval(NamedTuple):
    """A confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True)
class Phase:
    """A named stretch of work: load, tokenize, train, evaluate (the learning curve), encode, fit, predict.

    ``seconds`` is wall time without the phases inside it; ``examples`` is 0 where the work is not per example.
    """

    name: str
    seconds: float
    examples: int = 0

    @property
    def examples_per_second(self) -> float | None:
        """Examples per second of wall time, or None where there are no examples or no time."""
        return self.examples / self.seconds if self.examples and self.seconds > 0 else None


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
    """Which weights were used: where from, the resolved commit, and the SHA-256 of the weight files."""

    hub_id: str
    source: str
    revision: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Environment:
    """What ran the cell. ``packages`` maps distribution to version; sizes of thread pools are in ``threads``."""

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

    @property
    def headline(self) -> str:
        """The versions a reader looks for first: ``torch 2.13.0, transformers 5.23.0, ...``."""
        found = [f"{name} {self.packages[name]}" for name in _HEADLINE_PACKAGES if name in self.packages]
        return ", ".join(found)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One measured cell.

    ``predictions`` (0 or 1) and ``probabilities`` (of the positive class, six digits) are in the order of the
    evaluation rows. ``phases`` are those of the median round, ``rounds_seconds`` the total of each.
    ``peak_bytes`` is the highest resident memory of the process while the cell ran, ``device_peak_bytes`` the
    highest allocated on the accelerator, None without one. ``settings`` are the effective training arguments or
    classifier parameters.
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
    weights: Weights | None
    settings: Mapping[str, Any]
    predictions: Sequence[int]
    probabilities: Sequence[float]
    phases: Sequence[Phase]
    rounds_seconds: Sequence[float]
    latency: Latency
    peak_bytes: int
    device_peak_bytes: int | None = None
    epochs: Sequence[Epoch] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    floor: Floor | None = None
    warnings: Sequence[str] = ()

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
        """Return the record as plain dicts, lists, texts and numbers."""
        # The detour through JSON turns tuples into lists, so that what is sent equals what is read back.
        # What JSON has no word for, in the settings of somebody's method say, becomes text.
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str), parse_constant=str)
        return plain


@dataclass(frozen=True)
class Failure:
    """A cell that has no number: what it was and the sentence that says why."""

    cell: str
    model: str | None
    method: str
    seed: int
    error: str


_PLAIN_FIELDS: dict[str, type | tuple[type, ...]] = {
    "cell": str,
    "model": (str, NoneType),
    "method": str,
    "seed": int,
    "accuracy": float,
    "correct": int,
    "total": int,
    "recipe_label": str,
    "peak_bytes": int,
    "phases": list,
    "metrics": dict,
    "settings": dict,
}


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Build a Record from what ``Record.to_json`` gave.

    Raises:
        Sst2Error: A field is missing, unknown or of another shape.
    """
    try:
        fields = dict(data)
        for name, wanted in _PLAIN_FIELDS.items():
            if not isinstance(fields[name], wanted):
                raise TypeError(f"{name} is {fields[name]!r}")  # noqa: TRY301 - one message for all shapes
        fields["accuracy_interval"] = Interval(*fields["accuracy_interval"])
        fields["dataset"] = DatasetInfo(**fields["dataset"])
        fields["recipe"] = Recipe(**{**fields["recipe"], "seeds": tuple(fields["recipe"]["seeds"])})
        fields["environment"] = Environment(**fields["environment"])
        fields["weights"] = Weights(**fields["weights"]) if fields["weights"] else None
        fields["phases"] = tuple(Phase(**phase) for phase in fields["phases"])
        fields["latency"] = Latency(**fields["latency"])
        fields["epochs"] = tuple(Epoch(**epoch) for epoch in fields["epochs"])
        fields["floor"] = Floor(**fields["floor"]) if fields["floor"] else None
        for name in ("predictions", "probabilities", "rounds_seconds", "warnings"):
            fields[name] = tuple(fields[name])
        return Record(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise Sst2Error(f"not a record of schema version {SCHEMA_VERSION}: {error}.") from error


def results_text(records: Sequence[Record], failures: Sequence[Failure]) -> str:
    """Return the text of a results file: one record a line, so that two files can be compared line by line."""
    lines = ",\n".join(json.dumps(record.to_json(), ensure_ascii=False) for record in records)
    failed = json.dumps([asdict(failure) for failure in failures], ensure_ascii=False)
    return f'{{"schema_version": {SCHEMA_VERSION}, "records": [\n{lines}\n],\n"failures": {failed}}}\n'


def records_from_text(text: str, origin: str) -> tuple[list[Record], list[Failure]]:
    """Read the text of a results file.

    Args:
        text: The whole file.
        origin: Its name, for messages.

    Raises:
        Sst2Error: It is not JSON, not a results file, or of a newer schema.
    """
    try:
        data = json.loads(text)
        version = data["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise Sst2Error(f"{origin} is not a results file written by --sst2-json: {error}.") from error
    if version != SCHEMA_VERSION:
        raise Sst2Error(
            f"{origin} has schema version {version!r}; this pytest-sst2 reads version {SCHEMA_VERSION}. "
            "Upgrade pytest-sst2 to read it."
        )
    try:
        records = [record_from_json(record) for record in data["records"]]
        return records, [Failure(**failure) for failure in data["failures"]]
    except (Sst2Error, KeyError, TypeError) as error:
        raise Sst2Error(f"{origin}: {error}") from error
