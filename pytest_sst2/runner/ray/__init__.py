"""Runs cells on a Ray cluster.

- ``driver``: ``RayExecutor`` submits all cells, collects their records, and retries cells of lost nodes.
- ``connection``: connects to a cluster or starts one, and shortens Ray's errors.
- ``resources``: cores, GPUs and memory of cells and nodes.
- ``transfer``: data set, model files and conftest code on their way to a node.
- ``tasks``, ``worker``: what runs on a node; only ``tasks`` knows Ray.
"""
