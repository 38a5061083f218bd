"""Benchmarks: ratios side by side in one run; numbers and commands in docs/benchmarks.md."""
