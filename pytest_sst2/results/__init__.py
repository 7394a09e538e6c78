"""Results: what was measured, and the files that store it. Loads neither NumPy nor PyTorch.

- ``record``: ``Record``, the result of one cell, and its parts; ``fingerprint``, ``probe_sentences``: its fingerprint.
- ``file``: ``Results``, the content of a results file; read and write its text.
- ``packing``, ``migrations``, ``validation``: packed files, files of older schema versions, damaged files.
- ``schema.json``: the JSON Schema of results files, generated from the records.
- ``writer``: writes the results file while the run goes on; ``output_checks``: what it must not overwrite.
- ``baselines``: results files with a name, in ``.sst2/``; ``git_baseline`` reads one of a commit.
- ``floors``, ``calibration``: minimum accuracies, and measuring them over several seeds.
- ``resume``, ``merge``: continue an interrupted run; join the files of its shards.
- ``environment_diff``: differences of two environments.
"""
