"""From the result files to ``docs/benchmarks.md``: one module a section."""
