"""One run of pytest: load inputs, schedule cells, collect records, compare, and set the exit status.

- ``stash``: settings, matrix, inputs and run context of the run, each created on first use.
- ``inputs``: the files that the settings name, and checks of where outputs go.
- ``cell_run``: ``CellRun``, the value of the fixture ``sst2_run``; ``benchmark_timer`` times it.
- ``cell_items``: the cells of collected tests; ``shard`` keeps those of one shard.
- ``cluster``: runs the cells on Ray. ``xdist``: hands cells out to the workers of pytest-xdist.
- ``results_plugin``: reads the records from the test reports. ``terminal_sections`` prints them at the end.
- ``auto_seeds``: the seeds of ``--sst2-seeds auto``.
- ``report_sanitizer``: removes secrets from the test reports.
- ``early_check``: what is certain about the comparison before the first cell. ``missing_models``: which models
  cannot be downloaded.
- ``gathered``: the records and failures of the run. ``session`` writes, saves and compares them at its end.
"""
