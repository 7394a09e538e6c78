"""Refuse misspelt options of this package, and warn of misspelt ini options, with the nearest one that exists."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Iterable, Sequence

import pytest

from pytest_sst2.config.option_values import warn_once
from pytest_sst2.config.options import BARE_FLAGS, OPTIONS
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.suggest import closest, did_you_mean

_PREFIX = "sst2"
# A flag without the prefix may be that of a plugin that is not installed, so it has to be more alike.
_SIMILARITY, _SIMILARITY_BARE = 0.6, 0.85


def refuse_misspelt_flag(parser: pytest.Parser, args: Sequence[str]) -> None:
    """Refuse a command line with an unknown flag that looks like one of this package; call it after all declarations.

    Raises:
        pytest.UsageError: There is such a flag. pytest reports any other unknown one.
    """
    unknown: Sequence[str] = ()
    with contextlib.suppress(pytest.UsageError, argparse.ArgumentError):  # pytest reports it
        known, unknown = parser.parse_known_and_unknown_args(args)
        if known.help or known.version:
            return
    flags = {option.name.replace("_", "-"): BARE_FLAGS.get(option.name, option.flag) for option in OPTIONS}
    for flag in (word.partition("=")[0] for word in unknown if word.startswith("--")):
        name = flag.removeprefix("--").replace("_", "-")
        similarity = _SIMILARITY if name.startswith(_PREFIX) else _SIMILARITY_BARE
        if near := closest(name.removeprefix(_PREFIX).strip("-"), flags, similarity):
            raise pytest.UsageError(f"unrecognized argument {flag!r}.{did_you_mean(flags[near])}")


def check_ini_options(config: pytest.Config) -> None:
    """Warn of an ini option with the prefix of this package that nothing declares, and refuse one that ``-o`` sets.

    The ini file may be of a project that also runs with a later release. Each warning replaces pytest's own.

    Raises:
        Sst2Error: ``-o`` sets such an option.
    """
    # Where a release of pytest names the method otherwise, its own warning remains.
    unknown: Iterable[str] = getattr(config, "_get_unknown_ini_keys", tuple)()
    overrides = {word.partition("=")[0] for word in config.option.override_ini or ()}
    for key in sorted(key for key in unknown if key.startswith(f"{_PREFIX}_")):
        guess = did_you_mean(closest(key, [option.dest for option in OPTIONS]))
        if key in overrides:
            raise Sst2Error(f"there is no ini option {key!r}, which -o sets.{guess}")
        sentence = f"there is no ini option {key!r}, which {config.inipath} sets; it has no effect.{guess}"
        warn_once(config, sentence, pytest.PytestConfigWarning)
        # A filter's parts are separated by colons.
        pattern = re.escape(f"Unknown config option: {key}").replace(":", ".")
        config.addinivalue_line("filterwarnings", f"ignore:{pattern}:pytest.PytestConfigWarning")
