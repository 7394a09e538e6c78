"""The benchmark suite: pytest benchmarks in a checkout, pytest --pyargs pytest_sst2.benchmarks where installed."""
