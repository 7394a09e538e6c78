"""Recognition of out-of-memory errors, on the host and on accelerators."""

from __future__ import annotations

import errno
from typing import Any

import numpy as np
import pytest
import torch

from pytest_sst2.models.out_of_memory import failed_allocation, is_accelerator_full, is_out_of_memory
from pytest_sst2.utils.errors import Sst2Error

GPU_FULL = torch.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 8 GiB."
)


def raised_by(allocate: Any) -> BaseException:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    return caught.value


class TestRecognition:
    @pytest.mark.parametrize(
        "allocate",
        [lambda: torch.empty(2**55), lambda: np.empty(2**55), lambda: bytearray(2**62)],
        ids=["torch", "numpy", "Python"],
    )
    def test_errors_that_the_libraries_raise_here(self, allocate: Any) -> None:
        error = raised_by(allocate)
        assert is_out_of_memory(error)
        assert not is_accelerator_full(error)

    @pytest.mark.parametrize(
        ("error", "accelerator"),
        [
            (GPU_FULL, True),
            (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)."), True),
            (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
            (OSError(errno.ENOMEM, "Cannot allocate memory"), False),
            (RuntimeError("unable to mmap 51799616 bytes from file <x>: Cannot allocate memory (12)"), False),
        ],
    )
    def test_errors_of_other_machines(self, error: Exception, accelerator: bool) -> None:
        assert is_out_of_memory(error)
        assert is_accelerator_full(error) == accelerator

    def test_a_cause_counts(self) -> None:
        error = Sst2Error("model 'm': its encoder could not be loaded")
        error.__cause__ = MemoryError()
        assert is_out_of_memory(error)

    def test_other_errors_do_not_count(self) -> None:
        for error in (RuntimeError("shapes do not match"), OSError(errno.ENOSPC, "No space left"), Sst2Error("no")):
            assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("error", "size"),
    [
        (GPU_FULL, "2.5 GB"),
        (MemoryError("Unable to allocate 7.45 GiB for an array"), "7.5 GB"),
        (RuntimeError("unable to mmap 51799616 bytes from file <x>: Cannot allocate memory (12)"), "49.4 MB"),
        (MemoryError(), ""),
    ],
)
def test_the_size_of_the_failed_allocation(error: Exception, size: str) -> None:
    assert failed_allocation(error) == size
