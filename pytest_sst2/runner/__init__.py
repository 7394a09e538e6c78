"""A cell in, a Record out.

- ``context``: ``RunContext`` holds what the cells of a run share: data, device, models, floors and caches.
- ``cell_runner``: trains and measures one cell; ``measured_round`` holds the outcome of one round.
- ``result_warnings``: the warnings of a record.
- ``latency``, ``metrics``, ``predictions``: latency, metrics, and validation of probabilities.
- ``out_of_memory``: the error message of a cell that runs out of memory.
- ``placement``: where a cell is measured.
- ``sharding``: divides the cells among CI jobs (``--sst2-shard``).
- ``executor``: the protocol of what measures cells elsewhere; ``ray`` implements it.
"""
