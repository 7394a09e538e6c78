"""Fingerprints: read back from JSON without loss, with or without optional parts."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.utils.typed_json import read_plain
from tests.support.record_factory import FINGERPRINT


@pytest.mark.parametrize("missing", [(), ("tokens",), ("encoder",), ("training",), ("tokens", "encoder", "training")])
def test_a_fingerprint_is_read_back_from_json(missing: tuple[str, ...]) -> None:
    fingerprint = dataclasses.replace(FINGERPRINT, **dict.fromkeys(missing))
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(fingerprint)))
    assert read_plain(Fingerprint, plain) == fingerprint


REQUIRED = [field.name for field in dataclasses.fields(FINGERPRINT) if field.default is dataclasses.MISSING]


@pytest.mark.parametrize("field", REQUIRED)
def test_a_fingerprint_that_lacks_a_field_is_refused(field: str) -> None:
    plain = dataclasses.asdict(FINGERPRINT)
    del plain[field]
    with pytest.raises(ValueError, match=field):
        read_plain(Fingerprint, plain)
