"""The upgrade check: two environments, the same benchmarks in both, and which package is to blame."""
