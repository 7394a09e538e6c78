"""What is run: pytest commands, as a reader of the page would type them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from homework.published import PUBLISHED

SEED = 42
MORE = "-more-seeds"
# Names that stand on the page for folders that lie elsewhere on every machine.
DATA, WORK = "SST-2", "WORK"
OWN = f"{WORK}/own/all-MiniLM-L6-v2"
FOREIGN = f"{WORK}/foreign/all-MiniLM-L6-v2"
ROBERTA_SHAPE = f"{WORK}/roberta-shape"
# What changes no accuracy, and would only be in the way of reading the others.
ALWAYS = ("--sst2-min-accuracy=0", "--sst2-no-cache")


@dataclass(frozen=True)
class Run:
    """One pytest command.

    Attributes:
        name: What its results file is called.
        models: As typed after ``--models``.
        methods: As typed after ``--methods``.
        recipe: The preset.
        evaluation: ``heldout``, as the presets have it, or ``validation``.
        seeds: One cell is run for each.
        may_fail: Whether a cell without a number is an answer too.
    """

    name: str
    models: tuple[str, ...]
    methods: tuple[str, ...]
    recipe: str = "homework9"
    evaluation: str = "heldout"
    seeds: tuple[int, ...] = (SEED,)
    may_fail: bool = False

    def arguments(self, places: Mapping[str, str]) -> list[str]:
        """Return what follows ``pytest benchmarks``.

        Args:
            places: What stands for a folder, or begins its name, and where it is; empty for the command as shown.
        """
        models = ",".join(_placed(model, places) for model in self.models)
        flags = ["--models", models, "--methods", ",".join(self.methods), f"--sst2-data={_placed(DATA, places)}"]
        flags.append(f"--sst2-recipe={self.recipe}")
        if self.evaluation != "heldout":
            flags.append(f"--sst2-eval={self.evaluation}")
        if self.seeds != (SEED,):
            flags.append(f"--sst2-seeds={','.join(map(str, self.seeds))}")
        return flags

    @property
    def command(self) -> str:
        """The command as the page shows it."""
        return " ".join(["pytest benchmarks", *self.arguments({})])


def _placed(name: str, places: Mapping[str, str]) -> str:
    for shown, real in places.items():
        if name == shown or name.startswith(f"{shown}/"):
            return real + name[len(shown) :]
    return name


@dataclass(frozen=True)
class Extras:
    """What is measured beyond the necessary, for the time it takes.

    Attributes:
        also: Folders of further sentence encoders, as the page shows them.
        more_seeds: Further seeds of minilm on the validation set. One seed is one drawing of training rows and one
            training; more of them show whether a difference outlasts both.
    """

    also: tuple[str, ...] = ()
    more_seeds: tuple[int, ...] = ()

    @property
    def flags(self) -> list[str]:
        """What is typed for them."""
        seeds = ",".join(map(str, self.more_seeds))
        return [*(f"--also={each}" for each in self.also), *([f"--more-seeds={seeds}"] if seeds else [])]


def own_runs(extras: Extras) -> tuple[Run, ...]:
    """Return the runs that need no weights but those at hand."""
    encoders = ("minilm", *extras.also)
    probed = ("fine-tune", "linear-probe")
    whole = Run("whole", encoders, (*probed, "tfidf", "majority"))
    validation = replace(whole, name="whole-validation", evaluation="validation")
    five = Run("five-tokens", encoders, ("fine-tune",), "homework9-as-published")
    more = Run(f"{validation.name}{MORE}", ("minilm",), probed, evaluation="validation", seeds=extras.more_seeds)
    return (
        Run("refused", (ROBERTA_SHAPE,), ("fine-tune",), may_fail=True),
        whole,
        five,
        validation,
        *([more] if extras.more_seeds else []),
        replace(five, name="five-tokens-validation", evaluation="validation"),
        Run("own", (OWN,), ("linear-probe",)),
        Run("foreign", (FOREIGN,), probed),
        Run("foreign-five-tokens", (FOREIGN,), ("fine-tune",), "homework9-as-published"),
    )


def notebook_runs(models: Sequence[str] | None = None) -> tuple[Run, ...]:
    """Return the runs of the notebook's own fine-tuned models, whose weights are on the Hub alone.

    Args:
        models: Those whose weights could be had; None for all.
    """
    wanted = tuple(cell.model for cell in PUBLISHED if cell.method == "fine-tune") if models is None else tuple(models)
    five = Run("notebook-five-tokens", wanted, ("fine-tune",), "homework9-as-published", may_fail=True)
    whole = replace(five, name="notebook-whole", recipe="homework9")
    return five, whole, replace(whole, name="notebook-whole-validation", evaluation="validation")
