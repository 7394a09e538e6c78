"""Find what differs between two records of one cell, as sentences.

- ``causes``: walks the chain from rows to predictions. Start here.
- ``tokens``, ``encoder``, ``training``: the sentences for one step of the chain.
- ``similarity``: cosine and correlation.
"""
