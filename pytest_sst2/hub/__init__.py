"""Download a repository from the Hugging Face Hub, or find it in the Hub's cache. Knows nothing of SST-2.

- ``snapshot``: returns a verified snapshot from the cache or the Hub. Start here.
- ``verify``: checks a snapshot's files against the digests that the Hub lists.
- ``client``: calls huggingface_hub; ``errors`` turns its failures into one clause.
- ``process``: runs the client in a process that is killed if a download makes no progress; ``worker`` is that process.
- ``lock``: lets one process at a time download a repository.
"""
