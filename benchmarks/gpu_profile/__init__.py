"""What bounds each CUDA kernel, by Nsight Compute."""
