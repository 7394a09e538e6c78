"""Head-to-head measurements of ``peers.py``: one module per kind of work, done by this package and by its peers."""
