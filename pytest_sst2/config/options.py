"""Every option, declared once; ``settings`` parses them.

Each option has an ini twin: ``--sst2-train-size`` is ``sst2_train_size`` in an ini file. Nothing is computed while
options are declared, since that happens in every pytest run of everybody who has the plugin installed.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from pytest_sst2.config.option_parsers import (
    byte_size,
    names,
    one_of,
    points,
    positive_float,
    positive_int,
    probability,
    seeds,
    several_of,
    shard,
    share,
    text,
    token_count,
)
from pytest_sst2.config.recipes import DTYPES, EVALUATION_SPLITS, PRESETS

# What can fail a comparison. Missing cells are not in the default: -k and --methods leave cells out on purpose.
FAIL_ON = ("regressed", "slower", "more-memory", "drifted", "incomparable", "missing")
# Old words that still work in this release, with a warning.
RENAMED_FAIL_ON = {"heavier": "more-memory"}
FAIL_ON_DEFAULT = "regressed,incomparable"

ALPHA = 0.01  # share of unchanged cells that may be reported as changed
TOLERANCE = 0.005  # accuracy share; half a percentage point

DATA_SOURCES = ("auto", "hub", "pocket")
DEVICES = ("auto", "cpu", "cuda", "mps")
EXECUTORS = ("local", "ray")
# What an ini file says that has no such option: one object, since an empty list may also be what it says.
UNSET: list[str] = []
# What people type besides the prefixed options, where nobody else has taken it.
BARE_FLAGS = {"models": "--models", "methods": "--methods"}


@dataclass(frozen=True)
class Option:
    """One option of the command line and of the ini file.

    Attributes:
        name: ``train_size`` for ``--sst2-train-size`` and ``sst2_train_size``.
        help: The help text.
        parse: Parses the value; None for a switch.
        metavar: The placeholder of the value in the help.
        default: The value without the option, as typed.
        old_name: The name in earlier releases, which still works with a warning.
    """

    name: str
    help: str
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    default: str | None = None
    old_name: str = ""

    @property
    def flag(self) -> str:
        """What is typed: ``--sst2-train-size``."""
        return f"--sst2-{self.name.replace('_', '-')}"

    @property
    def dest(self) -> str:
        """The name in ``config.option`` and in an ini file."""
        return f"sst2_{self.name}"

    @property
    def old(self) -> Option | None:
        """The same option under its old name; None if it was never renamed."""
        return replace(self, name=self.old_name, old_name="") if self.old_name else None

    @property
    def ini_kind(self) -> Literal["args", "bool", "string"]:
        """What pytest is told of the value in an ini file."""
        if self.parse is None:
            return "bool"
        return "args" if "," in (self.metavar or "") else "string"


OPTIONS: tuple[Option, ...] = (
    Option("models", "aliases, Hub ids (org/name[@revision]) or folders", names, "A,B", "minilm"),
    Option("methods", "how classifiers are made; default: all", names, "M,N"),
    Option("data", "where SST-2 comes from: auto, hub, pocket or a folder", text, "SOURCE", "auto"),
    Option("recipe", f"preset: {', '.join(PRESETS)}", one_of(tuple(PRESETS)), "NAME", "quick"),
    Option("train_size", "rows to train on", positive_int, "N"),
    Option("eval", "validation, or heldout: a slice of train", one_of(EVALUATION_SPLITS), "SPLIT"),
    Option("eval_size", "rows to evaluate on", positive_int, "N"),
    Option("seeds", "one cell is run for each", seeds, "42,7"),
    Option("epochs", "passes over the training rows when fine-tuning", positive_int, "N"),
    Option("batch_size", "examples in a training step when fine-tuning", positive_int, "N"),
    Option("learning_rate", "peak learning rate when fine-tuning", positive_float, "X"),
    Option("max_length", "longest input in tokens", token_count, "N"),
    Option("dtype", "arithmetic: float32, bfloat16 or float16", one_of(DTYPES), "TYPE"),
    Option("device", "auto, cpu, cuda or mps", one_of(DEVICES), "DEVICE", "auto"),
    Option("rounds", "times each cell is repeated for its timing", positive_int, "N", "1"),
    Option("cache_size", "how much disk embeddings kept from run to run may take", byte_size, "SIZE", "2GB"),
    Option("no_cache", "embed every sentence anew, and keep nothing"),
    Option("metrics", "further metrics beside accuracy", names, "f1,..."),
    Option("floors", "minimum accuracies; default: benchmarks/floors.toml", text, "FILE"),
    Option("min_accuracy", "one floor for every cell instead of the file's", share, "X"),
    Option("calibrate_floors", "write the floors file from the seeds measured in this run", old_name="calibrate"),
    Option("save", "keep the records of this run as a baseline in .sst2/", text, "NAME"),
    Option("compare", "compare with a baseline or results file and set the exit status", text, "NAME|FILE"),
    Option(
        "fail_on",
        f"what fails a comparison: {', '.join(FAIL_ON)}",
        several_of(FAIL_ON, RENAMED_FAIL_ON),
        "A,B",
        FAIL_ON_DEFAULT,
    ),
    Option("tolerance", "percentage points of accuracy that may be lost", points, "X", f"{100 * TOLERANCE:g}"),
    Option("alpha", "level of significance, after Holm's correction", probability, "X", f"{ALPHA:g}"),
    Option("overwrite", "replace a saved baseline, lower a floor"),
    Option("trust_remote_code", "allow models and metrics to run code they bring along"),
    Option("json", "write the records of this run to a file", text, "FILE"),
    Option("report", "write a report to a folder: HTML, Markdown and CSV", text, "FOLDER"),
    Option("resume", "take the cells that a results file has from it, and write the others to it", text, "FILE"),
    Option("executor", "where cells run: local, or ray: on a cluster", one_of(EXECUTORS), "NAME", "local"),
    Option("ray_address", "Ray's cluster: auto, HOST:PORT, ray://HOST:PORT; default: a new one", text, "ADDRESS"),
    Option("ray_cpus", "cores that each cell owns on Ray", positive_int, "N", "1"),
    Option("exclusive", "measure one cell at a time, however many workers there are"),
    Option("shard", "measure one part of the cells, say 3/8; pytest-sst2 merge joins them", shard, "K/N"),
)


def add_options(parser: pytest.Parser) -> None:
    """Declare every prefixed option and its ini twin."""
    group = parser.getgroup("sst2", "SST-2 benchmarks")
    for option in OPTIONS:
        text = f"{option.help} (default: {option.default})" if option.default else option.help
        _add_option(parser, group, option, text, text)
        if option.old is not None:
            _add_option(parser, group, option.old, argparse.SUPPRESS, f"deprecated: use {option.dest}")


def _add_option(
    parser: pytest.Parser, group: pytest.OptionGroup, option: Option, help_text: str, ini_help: str
) -> None:
    if option.parse is None:
        group.addoption(option.flag, dest=option.dest, action="store_true", default=None, help=help_text)
    else:
        group.addoption(option.flag, dest=option.dest, type=option.parse, metavar=option.metavar, help=help_text)
    default = None if option.parse is None else UNSET
    parser.addini(option.dest, ini_help, type=option.ini_kind, default=default)


def is_set(config: pytest.Config, option: Option) -> bool:
    """Return whether the command line or the ini file sets an option, or its old name; a switch must be on."""
    if option.old is not None and is_set(config, option.old):
        return True
    if getattr(config.option, option.dest, None) is not None:
        return True
    try:
        ini = config.getini(option.dest)
    except (TypeError, ValueError, pytest.UsageError):  # reported when the value is read
        return True
    return bool(ini) if option.parse is None else ini is not UNSET


def add_bare_options(parser: pytest.Parser) -> None:
    """Declare ``--models`` and ``--methods`` where no plugin and no conftest has taken them.

    Called when all of those have had their say, so that ours is the one to give way.
    """
    group = parser.getgroup("sst2")
    for option in OPTIONS:
        bare = BARE_FLAGS.get(option.name)
        if bare and not _is_taken(parser, bare):
            group.addoption(bare, dest=option.dest, type=option.parse, metavar=option.metavar, help=option.flag)


def _is_taken(parser: pytest.Parser, flag: str) -> bool:
    """Tell whether somebody has declared ``flag``: asking is safer than declaring it too and seeing what breaks."""
    try:
        _, unknown = parser.parse_known_and_unknown_args([flag, "x"])
    except (pytest.UsageError, argparse.ArgumentError):
        return True  # it is known, and has its own idea of what may follow
    return flag not in unknown


def bare_values(args: Sequence[str]) -> set[str]:
    """Return the words of a command line that follow a bare ``--models`` or ``--methods``."""
    return {value for flag, value in itertools.pairwise(args) if flag in BARE_FLAGS.values()}
