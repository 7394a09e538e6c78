"""Instruments: they observe a cell while it runs, and change nothing about it.

- ``phase_clock``: seconds of each phase; ``machine_speed``: the unit in which times are compared; ``memory``: peaks.
- ``fingerprint_recorder``: ``FingerprintRecorder``, which a method passes its tokenizer, encoder and training to.
- ``data_fingerprint``, ``weights_fingerprint``, ``encoder_fingerprint``: the parts of a fingerprint.
- ``forward_watch``, ``optimizer_watch``: the PyTorch hooks that they use.
- ``function_trace``: a plugin that notes which functions run, for ``pytest-sst2 upgrade``.
- ``environment``: installed packages, device, threads and precision. ``progress``: the current cell, the time left.
"""
