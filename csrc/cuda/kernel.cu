// Compiled once for each number of chunks (CML_CHUNKS).
#include "kernel.cuh"

#define CML_JOIN(a, b) a##b
#define CML_KERNEL_OF(chunks) CML_JOIN(cuda_kernel_, chunks)

namespace cml {

const void* CML_KERNEL_OF(CML_CHUNKS)() {
    return reinterpret_cast<const void*>(&train_kernel<CML_CHUNKS>);
}

}  // namespace cml
