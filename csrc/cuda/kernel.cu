// Compiled once for each number of chunks (CML_CHUNKS).
#include "kernel.cuh"

#include "pairs.cuh"
#include "tiles.cuh"

#define CML_JOIN(a, b) a##b
#define CML_KERNELS_OF(chunks) CML_JOIN(cuda_kernels_, chunks)

namespace cml {

template <class Worker>
static CudaKernels kernels_of() {
    return {reinterpret_cast<const void*>(&async_kernel<Worker>),
            reinterpret_cast<const void*>(&censor_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&sync_kernel<Worker>),
            reinterpret_cast<const void*>(&contribute_kernel<Worker>),
            reinterpret_cast<const void*>(&apply_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&step_kernel<CML_CHUNKS>)};
}

CudaKernels CML_KERNELS_OF(CML_CHUNKS)(Loss loss) {
    return loss == Loss::kWarp ? kernels_of<PairWorker<CML_CHUNKS>>()
                               : kernels_of<TileWorker<CML_CHUNKS>>();
}

}  // namespace cml
