"""All that a GPU must show, in one command: see benchmarks/README.md, gpu_check."""
