// Compiled once for each number of chunks (CML_CHUNKS).
#include "kernel.cuh"

#define CML_JOIN(a, b) a##b
#define CML_KERNELS_OF(chunks) CML_JOIN(cuda_kernels_, chunks)

namespace cml {

CudaKernels CML_KERNELS_OF(CML_CHUNKS)() {
    return {reinterpret_cast<const void*>(&async_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&censor_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&sync_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&contribute_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&apply_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&step_kernel<CML_CHUNKS>)};
}

}  // namespace cml
