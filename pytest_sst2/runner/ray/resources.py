"""Capacity: what a cell asks of a node, and what the nodes of a cluster have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_sst2.config.specs import Cell
from pytest_sst2.utils.errors import Sst2Error


@dataclass(frozen=True)
class Needs:
    """What a cell asks of the node that it runs on."""

    cpus: int
    gpus: int
    memory_bytes: int


class Capacity:
    """What the nodes of a cluster have.

    Args:
        nodes: As ``ray.nodes()`` describes them.
    """

    def __init__(self, nodes: Sequence[dict[str, Any]]) -> None:
        self._nodes = [node["Resources"] for node in nodes if node["Alive"]]

    @property
    def gpus(self) -> float:
        """All GPUs together."""
        return float(sum(node.get("GPU", 0) for node in self._nodes))

    def at_most(self, memory_bytes: int, cpus: int, gpus: int) -> int:
        """Return an amount of memory that a node with so many cores and GPUs has, 0 where there is no such node.

        A cell that is thought to need more gets the largest of them to itself.
        """
        return int(min(memory_bytes, max((node.get("memory", 0) for node in self._with(cpus, gpus)), default=0)))

    def _with(self, cpus: int, gpus: int) -> list[dict[str, float]]:
        return [node for node in self._nodes if node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus]

    def check(self, needs: Needs, cell: Cell) -> None:
        """Refuse a cell that would wait for ever.

        Raises:
            Sst2Error: No node has as many cores or GPUs.
        """
        if self._with(needs.cpus, needs.gpus):
            return
        found = "; ".join(f"{node.get('CPU', 0):g} cores, {node.get('GPU', 0):g} GPUs" for node in self._nodes)
        raise Sst2Error(
            f"{cell.id} needs {needs.cpus} cores and {needs.gpus} GPUs of one node, and no node of the cluster has as "
            f"many ({found}). Lower --sst2-ray-cpus, choose another --sst2-device, or add a node."
        )
