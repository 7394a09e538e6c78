"""Fuzzing of every reader: what each promises, inputs to begin with, and a coverage-guided run of a million of them."""
