"""General helpers that know nothing of SST-2.

- ``errors``: ``Sst2Error``, the error that is printed without a traceback.
- ``redact``, ``sanitize``: remove secrets and control characters from text before it is printed or written.
- ``formatting``, ``suggest``: plurals, shortened lists, quoted values, numbers; the nearest known name.
- ``safe_read``: read text and JSON that others may have written; ``typed_json``: build checked dataclasses from it.
- ``atomic_write``: write a whole file or nothing; temporary folders. ``locks``: locks between processes.
- ``hashing``: digests of texts and files. ``paths``: paths as typed on the command line.
- ``processes``: the cores and GPUs of a pytest-xdist worker.
"""
