"""The training step in plain NumPy: what the kernels must compute."""
