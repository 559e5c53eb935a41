"""The benchmarks, a module each, which offers its `BENCHMARK`."""
