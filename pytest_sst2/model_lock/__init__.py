"""A small file to commit that describes a loaded model, and whether the model is still the same.

- ``lock_file``: ``ModelLock``, and how it is written and read.
- ``observe``: makes a lock of a loaded sentence encoder. Needs torch.
- ``vectors``: embeddings as short projections; how far two sets of them are apart.
- ``check``: what differs between two locks, as causes and as figures for an index of vectors.
"""
