"""Declare every option once; ``settings`` parses them.

Each option has an ini twin: ``--sst2-train-size`` is ``sst2_train_size`` in an ini file. Nothing is computed here,
because pytest declares the options in every run.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytest

from pytest_sst2.config.declared import changes
from pytest_sst2.config.option_parsers import (
    byte_size,
    names,
    one_of,
    pair_of_names,
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
from pytest_sst2.config.recipes import DTYPES, EVALUATION_SPLITS, PATHS, PRESETS

# What can fail a comparison. Missing cells are not in the default: -k and --methods leave cells out on purpose.
FAIL_ON = ("regressed", "undecided", "slower", "more-memory", "drifted", "incomparable", "missing")
# Old words that still work in this release, with a warning.
RENAMED_FAIL_ON = {"heavier": "more-memory"}
FAIL_ON_DEFAULT = "regressed,incomparable"

ALPHA = 0.01  # one-sided, of every test and bound
TOLERANCE = 0.01  # accuracy that may be lost, as a share

DATA_SOURCES = ("auto", "hub", "pocket")
DEVICES = ("auto", "cpu", "cuda", "mps")
EXECUTORS = ("local", "ray")
# Value of an ini option that is not in the file. It is compared by identity, because the file may hold an empty list.
UNSET: list[str] = []
# Short forms, declared if no other plugin has them.
BARE_FLAGS = {"models": "--models", "methods": "--methods"}


@dataclass(frozen=True)
class Option:
    """One option of the command line and of the ini file.

    Attributes:
        parse: Parses the value; None for a switch.
        default: The value if the option is not given, in the form a user would type.
        old_name: The name in earlier releases, which still works with a warning.
        group: Title of the group in ``pytest --help`` that starts with this option; empty: that of the option before.
    """

    name: str
    help: str
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    default: str | None = None
    old_name: str = ""
    group: str = ""

    @property
    def flag(self) -> str:
        """The flag, ``--sst2-train-size``."""
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
        """The type of the ini option, as pytest names it."""
        if self.parse is None:
            return "bool"
        return "args" if "," in (self.metavar or "") else "string"


SAVE = Option("save", "save this run as a baseline in .sst2/", text, "NAME", group="baselines")
OPTIONS: tuple[Option, ...] = (
    Option(
        "models",
        "models to measure: aliases, Hub ids (org/name[@revision]) or folders; MODEL:VARIANT for a variant",
        names,
        "A,B",
        "minilm",
        group="models, methods and data",
    ),
    Option("methods", "methods to measure (default: all except as-is)", names, "M,N"),
    Option("data", "source of the data: auto, hub, pocket, a folder or a file", text, "SOURCE", "auto"),
    Option("columns", "columns of the sentence and the label in a folder's files", pair_of_names, "SENTENCE,LABEL"),
    Option(
        "labels",
        "values of the negative and the positive label in a folder's files",
        pair_of_names,
        "NEGATIVE,POSITIVE",
    ),
    Option(
        "recipe",
        f"preset of sizes and training: {', '.join(PRESETS)}",
        one_of(tuple(PRESETS)),
        "NAME",
        "quick",
        group="training and evaluation",
    ),
    Option("train_size", "number of training rows (default: the recipe's)", positive_int, "N"),
    Option(
        "eval",
        "evaluation rows: validation, or heldout, a slice of train (default: the recipe's)",
        one_of(EVALUATION_SPLITS),
        "SPLIT",
    ),
    Option("eval_size", "number of evaluation rows (default: the recipe's)", positive_int, "N"),
    Option(
        "seeds",
        "a cell per seed, or auto: as many as the verdict needs, up to 8 (default: the recipe's)",
        seeds,
        "42,7|auto",
    ),
    Option("epochs", "passes over the training rows in fine-tuning (default: the recipe's)", positive_int, "N"),
    Option("batch_size", "rows per training step in fine-tuning (default: the recipe's)", positive_int, "N"),
    Option("learning_rate", "peak learning rate in fine-tuning (default: the recipe's)", positive_float, "X"),
    Option("max_length", "longest input, in tokens (default: the recipe's)", token_count, "N"),
    Option(
        "dtype", "floating-point type: float32, bfloat16 or float16 (default: the recipe's)", one_of(DTYPES), "TYPE"
    ),
    Option("device", "device to run on: auto, cpu, cuda or mps", one_of(DEVICES), "DEVICE", "auto"),
    Option("path", "code to train and embed: fast, or stock, the libraries' own", one_of(PATHS), "PATH", "fast"),
    Option("metrics", "metrics to record in addition to accuracy", names, "f1,..."),
    Option("trust_remote_code", "allow models and metrics to run their own code"),
    Option(
        "rounds",
        "runs of each cell; more runs measure its times better",
        positive_int,
        "N",
        "1",
        group="times and cache",
    ),
    Option("cache_size", "size limit of the embedding cache, such as 500MB", byte_size, "SIZE", "2GB"),
    Option("no_cache", "compute all embeddings and store none"),
    Option("floors", "file of minimum accuracies (default: benchmarks/floors.toml)", text, "FILE", group="floors"),
    Option("min_accuracy", "one floor for every cell, from 0 to 1, instead of the file", share, "X"),
    Option("calibrate_floors", "write the floors file from the seeds of this run", old_name="calibrate"),
    SAVE,
    Option(
        "compare",
        "compare with a baseline, a file or a commit's file, and set the exit status",
        text,
        "NAME|FILE|REF:PATH",
    ),
    Option("changed", "what changed on purpose: model, recipe, or OLD=NEW names", changes, "A,B"),
    Option(
        "against",
        "compare cells of this run: all others with NAME, or B with A",
        names,
        "NAME|A=B,...",
    ),
    Option(
        "fail_on",
        f"what fails a comparison: {', '.join(FAIL_ON)}, or none",
        several_of(FAIL_ON, RENAMED_FAIL_ON),
        "A,B",
        FAIL_ON_DEFAULT,
    ),
    Option("anyway", "measure even if the baseline cannot be compared with any cell"),
    Option("tolerance", "accuracy that may be lost, in percentage points", points, "X", f"{100 * TOLERANCE:g}"),
    Option("alpha", "one-sided significance level, corrected for the number of cells", probability, "X", f"{ALPHA:g}"),
    Option("drop_cells", "cells or patterns that a saved baseline may lack", names, "CELL,..."),
    Option("overwrite", "replace a saved baseline; lower floors"),
    Option("json", "write this run's records to a file, or to stdout (-)", text, "FILE|-", group="results"),
    Option("report", "write a report as HTML, Markdown and CSV to a folder", text, "FOLDER"),
    Option("resume", "reuse the cells in a results file, and add the others to it", text, "FILE"),
    Option(
        "executor",
        "where cells run: local, or ray for a Ray cluster",
        one_of(EXECUTORS),
        "NAME",
        "local",
        group="several machines and processes",
    ),
    Option("ray_address", "Ray cluster: auto, HOST:PORT or ray://HOST:PORT (default: a new one)", text, "ADDRESS"),
    Option("ray_cpus", "cores per cell on Ray", positive_int, "N", "1"),
    Option("exclusive", "measure one cell at a time, even with several workers"),
    Option("shard", "measure one part of the cells, such as 3/8; pytest-sst2 merge joins the parts", shard, "K/N"),
)


# Options of two names, the first of which may start with a minus.
PAIR_FLAGS = frozenset(option.flag for option in OPTIONS if option.parse is pair_of_names)


def join_minus_values(words: list[str]) -> None:
    """Join ``--sst2-labels -1,1`` to ``--sst2-labels=-1,1`` in place, because argparse reads -1,1 as an option."""
    for index in reversed(range(len(words) - 1)):
        flag, value = words[index : index + 2]
        if flag in PAIR_FLAGS and value.startswith("-") and "," in value:
            words[index : index + 2] = [f"{flag}={value}"]


def add_options(parser: pytest.Parser) -> None:
    """Declare every prefixed option and its ini twin."""
    for option in OPTIONS:
        if option.group:
            group = parser.getgroup(f"sst2 {option.group}", f"SST-2: {option.group}")
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
        # A value such as -1,1 is missing until pytest has called join_minus_values; [] is refused as a missing value.
        missing: dict[str, Any] = {"nargs": "?", "const": []} if option.flag in PAIR_FLAGS else {}
        group.addoption(
            option.flag, dest=option.dest, type=option.parse, metavar=option.metavar, help=help_text, **missing
        )
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
    """Declare ``--models`` and ``--methods``, unless another plugin or a conftest has; call it after all others."""
    group = parser.getgroup(f"sst2 {OPTIONS[0].group}")
    for option in OPTIONS:
        bare = BARE_FLAGS.get(option.name)
        if bare and not _is_taken(parser, bare):
            group.addoption(
                bare, dest=option.dest, type=option.parse, metavar=option.metavar, help=f"short for {option.flag}"
            )


def _is_taken(parser: pytest.Parser, flag: str) -> bool:
    """Return whether ``flag`` is declared already; declaring it twice could break the other plugin."""
    try:
        _, unknown = parser.parse_known_and_unknown_args([flag, "x"])
    except (pytest.UsageError, argparse.ArgumentError):
        return True  # the flag is known, and rejects the value
    return flag not in unknown


def bare_values(args: Sequence[str]) -> set[str]:
    """Return the values of ``--models`` and ``--methods`` on a command line."""
    return {value for flag, value in itertools.pairwise(args) if flag in BARE_FLAGS.values()}
