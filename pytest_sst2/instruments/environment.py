"""Environment of a cell: installed packages, device, CPU, threads and precision."""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

from pytest_sst2.results.record import Environment
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.processes import cores, was_set_here

# Environment variables that change threads, the precision of arithmetic or the order of sets.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_DEFAULT_FPMATH_MODE",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def resolve_device(wanted: str) -> str:
    """Return the device for ``--sst2-device``: ``auto`` is the first available of CUDA, MPS and CPU.

    Raises:
        Sst2Error: The device is not available.
    """
    import torch

    is_available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available = [name for name in is_available if is_available[name]]
    if wanted != "auto" and wanted not in available:
        raise Sst2Error(
            f"--sst2-device {wanted}: PyTorch {torch.__version__} has no such device here. Available: "
            f"{', '.join(available)}."
        )
    return available[0] if wanted == "auto" else wanted


def collect_environment(device: str) -> Environment:
    """Return the environment of this process at this moment, with ``device`` as resolved by ``resolve_device``."""
    return at_this_moment(_environment_at_start(device))


def at_this_moment(environment: Environment) -> Environment:
    """Return the environment with the current threads, precision and determinism, which any test can change."""
    import torch

    return dataclasses.replace(
        environment,
        threads=torch.get_num_threads(),
        matmul_precision=_matmul_precision(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )


@functools.cache
def _environment_at_start(device: str) -> Environment:
    import torch

    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_package_versions(),
        device=device,
        device_name=torch.cuda.get_device_name() if device == "cuda" else device,
        cpu_model=_cpu_model(),
        cpu_cores=cores(),
        threads=torch.get_num_threads(),
        blas=_blas(),
        matmul_precision=_matmul_precision(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        # This process limits the threads of its libraries; only the user's own variables are kept.
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ and not was_set_here(name)},
        blas_kernels=_blas("architecture"),
    )


def _matmul_precision() -> str:
    """Return ``highest``, ``high`` or ``medium``, or the precision of each backend if it was set for one of them.

    PyTorch raises an error in the second case: its two interfaces for the precision exclude each other.
    """
    import torch

    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        backends = {"cuda": torch.backends.cuda, "mkldnn": torch.backends.mkldnn}
        return ", ".join(f"{name} {backend.matmul.fp32_precision}" for name, backend in backends.items())


def _package_versions() -> dict[str, str]:
    """Return the version of every installed distribution by its normalised name."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions(path=_installed_path()):
        described = distribution.metadata  # parsed at each access
        # A partly removed distribution has no name. Of two on the path, Python imports the first.
        if name := described["Name"]:
            versions.setdefault(re.sub(r"[-_.]+", "-", name).lower(), described["Version"] or "")
    return dict(sorted(versions.items()))


def _installed_path() -> list[str]:
    """Return the import path without folders inside installed packages.

    Ray puts its own copies of colorama and psutil on the path when it is imported.
    """
    sites = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return [entry for entry in sys.path if entry.endswith(".egg") or not {*Path(entry).parents} & {*sites}]


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas(what: str = "version") -> str:
    """Return the linear algebra libraries that NumPy and PyTorch loaded, such as ``openblas 0.3.30``.

    With ``architecture``, those that name the processor their kernels are for, such as ``openblas SkylakeX``.
    """
    import threadpoolctl

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return ", ".join(sorted({f"{pool['internal_api']} {pool[what]}" for pool in pools if what in pool}))
