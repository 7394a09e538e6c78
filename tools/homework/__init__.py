"""The published homework beside ours: what its three bugs were, each shown by a run, and what mending them changes."""
