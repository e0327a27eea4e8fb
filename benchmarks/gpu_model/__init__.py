"""A model of how fast the CUDA kernels train, for GPUs that we do not have."""
