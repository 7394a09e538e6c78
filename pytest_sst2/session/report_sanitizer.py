"""Remove secrets and control characters from the tracebacks and the captured output of benchmark tests.

A traceback quotes the message of an error and, with ``--showlocals``, every variable. Captured output is what libraries
print. pytest writes both to terminals, JUnit files and CI logs.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from pytest_sst2.utils.sanitize import printable

_COLOR = re.compile("\x1b\\[[0-9;]*m")


def sanitize_report(report: Any) -> None:
    """Sanitize the traceback and the captured output of a test report, in place."""
    report.longrepr = _sanitized(report.longrepr)
    report.sections = _sanitized(report.sections)


def _sanitized(value: Any) -> Any:
    """Return a value with every text in it sanitized; pytest stores tracebacks as dataclasses of lines."""
    if isinstance(value, str):
        # Remove color sequences whole: without its escape character, the rest of one would be printed.
        return printable(_COLOR.sub("", value))
    if isinstance(value, list | tuple):
        return type(value)([_sanitized(part) for part in value])
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            setattr(value, field.name, _sanitized(getattr(value, field.name)))
    return value
