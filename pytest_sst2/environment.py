"""What is installed and what it runs on."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path

from pytest_sst2.errors import Sst2Error
from pytest_sst2.records import Environment

# Whatever can move a number or a time: the libraries themselves and what they compute with.
PACKAGES = (
    "accelerate",
    "datasets",
    "evaluate",
    "huggingface-hub",
    "numpy",
    "pytest",
    "pytest-benchmark",
    "pytest-sst2",
    "safetensors",
    "scikit-learn",
    "scipy",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)


def share_cores() -> None:
    """Give an xdist worker its share of the cores: with all of them each, the workers' threads fight and crawl."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        import torch

        torch.set_num_threads(max(1, _cores() // workers))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(wanted: str) -> str:
    """Return the device to use for ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        Sst2Error: That device is not here.
    """
    import torch

    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, available in here.items() if available)
    if not here[wanted]:
        others = ", ".join(name for name, available in here.items() if available)
        raise Sst2Error(
            f"--sst2-device {wanted}: PyTorch {torch.__version__} finds no such device here. It has: {others}."
        )
    return wanted


@functools.cache
def collect_environment(device: str) -> Environment:
    """Return the environment of this process, with ``device`` as resolved by ``resolve_device``."""
    import torch

    return Environment(
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_package_versions(),
        device=device,
        device_name=torch.cuda.get_device_name() if device == "cuda" else device,
        cpu_model=_cpu_model(),
        cpu_cores=_cores(),
        threads=torch.get_num_threads(),
        blas=_blas(),
        matmul_precision=torch.get_float32_matmul_precision(),
    )


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _blas() -> str:
    """Return the linear algebra libraries numpy and torch have loaded, such as ``openblas 0.3.30``."""
    import threadpoolctl

    pools = threadpoolctl.threadpool_info()
    return ", ".join(
        sorted({f"{pool['internal_api']} {pool['version']}" for pool in pools if pool["user_api"] == "blas"})
    )
