"""Benchmarks of cml_fast, grouped by what they measure; see README.md."""
