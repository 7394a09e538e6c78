"""Resources that a cell needs, and resources of the nodes of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_sst2.config.specs import Cell
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error

# Memory of Python, torch and transformers before a model is loaded.
_PROCESS_BYTES = 900 * 2**20
# Memory of training in multiples of the weights: the weights, their gradients, two moments of AdamW, and as much again
# for activations. minilm, with 87 MB of weights, took 1,190 MB trained and 837 MB frozen.
_TRAINING_FACTOR = 6


@dataclass(frozen=True)
class Needs:
    """Cores, GPUs and memory that a cell needs on one node."""

    cpus: int
    gpus: int
    memory_bytes: int


class MemoryEstimate:
    """Estimates the memory of a cell: its highest peak in the baseline, otherwise from the size of its weights.

    Args:
        records: Records of the baseline.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self._peaks: dict[tuple[str | None, str, bool], int] = {}
        for record in records:
            key = (record.model, record.method, record.environment.device == "cuda")
            self._peaks[key] = max(record.peak_bytes, self._peaks.get(key, 0))

    def __call__(self, cell: Cell, weights_bytes: int, *, on_gpu: bool) -> int:
        """Return the memory of the process in bytes.

        Args:
            cell: The cell.
            weights_bytes: Size of its model's weights, 0 without a model.
            on_gpu: Whether the weights are trained on a GPU.
        """
        if peak := self._peaks.get((cell.model_name, cell.method.name, on_gpu)):
            return peak
        return _PROCESS_BYTES + weights_bytes * (1 if cell.method.frozen or on_gpu else _TRAINING_FACTOR)


class Capacity:
    """The resources of a cluster's nodes.

    Args:
        nodes: The list that ``ray.nodes()`` returns. Dead nodes are ignored.
    """

    def __init__(self, nodes: Sequence[dict[str, Any]]) -> None:
        self._nodes = [node["Resources"] for node in nodes if node["Alive"]]

    @property
    def gpus(self) -> float:
        """Number of GPUs of all nodes."""
        return float(sum(node.get("GPU", 0) for node in self._nodes))

    def limit_memory(self, memory_bytes: int, cpus: int, gpus: int) -> int:
        """Return the memory to request: at most that of the largest node with enough cores and GPUs, 0 without one.

        A cell with a higher estimate then gets the largest node to itself.
        """
        return int(min(memory_bytes, max((node.get("memory", 0) for node in self._with(cpus, gpus)), default=0)))

    def check(self, needs: Needs, cell: Cell) -> None:
        """Refuse a cell that Ray would never start.

        Raises:
            Sst2Error: No node has enough cores and GPUs.
        """
        if self._with(needs.cpus, needs.gpus):
            return
        nodes = "; ".join(f"{node.get('CPU', 0):g} cores, {node.get('GPU', 0):g} GPUs" for node in self._nodes)
        raise Sst2Error(
            f"{cell.name} needs {needs.cpus} cores and {needs.gpus} GPUs of one node, and no node of the cluster has "
            f"as many ({nodes}). Lower --sst2-ray-cpus, choose another --sst2-device, or add a node."
        )

    def _with(self, cpus: int, gpus: int) -> list[dict[str, float]]:
        return [node for node in self._nodes if node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus]
