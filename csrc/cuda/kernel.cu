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
            reinterpret_cast<const void*>(&project_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&sync_kernel<Worker>),
            reinterpret_cast<const void*>(&accumulate_kernel<Worker>),
            reinterpret_cast<const void*>(&apply_kernel<CML_CHUNKS>),
            reinterpret_cast<const void*>(&step_kernel<CML_CHUNKS>)};
}

template <class... Policies>
static CudaKernels pair_kernels_of(LossList<Policies...>, Loss loss) {
    const CudaKernels kernels[] = {kernels_of<PairWorker<Policies, CML_CHUNKS>>()...};
    return kernels[static_cast<int>(loss)];
}

CudaKernels CML_KERNELS_OF(CML_CHUNKS)(Loss loss, bool bfloat16) {
    if (!shares_negatives(loss)) return pair_kernels_of(PairwiseLosses{}, loss);
    return bfloat16 ? kernels_of<TileWorker<CML_CHUNKS, true>>()
                    : kernels_of<TileWorker<CML_CHUNKS, false>>();
}

}  // namespace cml
