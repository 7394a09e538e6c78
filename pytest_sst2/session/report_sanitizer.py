"""Tracebacks: what pytest tells of a benchmark test, without secrets and without control characters.

A traceback quotes whatever an error was raised with, and with ``--showlocals`` every variable; captured output is what
libraries print. Both reach terminals, JUnit files and the logs of CI.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from pytest_sst2.utils.sanitize import printable

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def clean(report: Any) -> None:
    """Clean the traceback and the captured output of a test's report, in place."""
    report.longrepr = _cleaned(report.longrepr)
    report.sections = _cleaned(report.sections)


def _cleaned(value: Any) -> Any:
    """Return a part of a report with every text in it cleaned: pytest keeps tracebacks as data classes of lines."""
    if isinstance(value, str):
        # Libraries write in colour; what is left of a colour without its first character is noise.
        return printable(_COLOUR.sub("", value))
    if isinstance(value, list | tuple):
        return type(value)([_cleaned(each) for each in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            setattr(value, field.name, _cleaned(getattr(value, field.name)))
    return value
