"""What several benchmarks share: data sets, result files, clocks, rankings."""
