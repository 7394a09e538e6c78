"""Find what differs between two records of one cell, as sentences.

- ``causes``: walks the chain from rows to predictions. Start here.
- ``evidence``: ``Cause``, a sentence with the evidence that implies it.
- ``effects``: ranks the causes by what was measured of their effect.
- ``tokens``, ``encoder``, ``training``, ``prediction``: the sentences for one step of the chain.
- ``answers``: the evaluation rows that are answered otherwise. ``probe_logits``: the log-odds of the probe sentences.
- ``similarity``: cosine and correlation.
"""
