"""Benchmarks: every one compares its arms within one run."""
