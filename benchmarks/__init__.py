"""Measurements: each script prints its result and writes JSON under ``benchmarks/results``."""
