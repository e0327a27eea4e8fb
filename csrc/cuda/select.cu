#include "select.h"

#include "lanes.cuh"
#include "launch.cuh"

namespace cml {
inline namespace CML_TARGET {

// The threads of a block as a `Team`, see core/select.h. Neighbours are those of a warp.
struct BlockOfThreads {
    static constexpr int kThreads = 512;
    static constexpr int kWarps = kThreads / kLanes;

    uint32_t* sums;  // shared memory: one for each warp, and the total

    CML_FN int thread() const { return static_cast<int>(threadIdx.x); }
    CML_FN void sync() const { __syncthreads(); }

    // The row will seldom be read again: it need not stay in the cache.
    CML_FN FourScores load(const float* p) const {
        const float4 four = __ldcs(reinterpret_cast<const float4*>(p));
        return {{four.x, four.y, four.z, four.w}};
    }

    CML_FN void increase(uint32_t* p) const { atomicAdd(p, 1u); }

    CML_FN bool any(bool x) const { return __ballot_sync(kAllLanes, x) != 0; }

    // One atomic operation for the whole warp.
    CML_FN uint32_t append(uint32_t* p, bool x) const {
        const uint32_t all = __ballot_sync(kAllLanes, x);
        if (all == 0) return 0;
        uint32_t first = 0;
        if (Lanes::lane() == 0) first = atomicAdd(p, static_cast<unsigned>(count_bits(all)));
        first = __shfl_sync(kAllLanes, first, 0);
        const uint32_t below = (uint32_t{1} << Lanes::lane()) - 1;
        return first + static_cast<uint32_t>(count_bits(all & below));
    }

    CML_FN Sums sum_before(uint32_t x) const {
        const uint32_t up_to_this = sum_up_to_lane(x);
        if (Lanes::lane() == kLanes - 1) sums[thread() / kLanes] = up_to_this;
        __syncthreads();
        if (thread() < kLanes) {
            const uint32_t of_warp = thread() < kWarps ? sums[thread()] : 0;
            const uint32_t warps = sum_up_to_lane(of_warp);
            if (thread() < kWarps) sums[thread()] = warps - of_warp;
            if (thread() == kWarps - 1) sums[kWarps] = warps;
        }
        __syncthreads();
        return {sums[thread() / kLanes] + up_to_this - x, sums[kWarps]};
    }

    CML_FN int64_t reserve(int64_t* p, int64_t n) const {
        return static_cast<int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(p),
                                              static_cast<unsigned long long>(n)));
    }

 private:
    static CML_FN uint32_t sum_up_to_lane(uint32_t x) {
        CML_UNROLL
        for (int distance = 1; distance < kLanes; distance *= 2) {
            const uint32_t other = __shfl_up_sync(kAllLanes, x, distance);
            if (Lanes::lane() >= distance) x += other;
        }
        return x;
    }
};

// Blocks that a multiprocessor must hold at once: with two, one waits for memory while the other
// sorts, and there are registers for all loads in flight.
constexpr int kSelectBlocks = 2;

// A block for each row.
__global__ void __launch_bounds__(BlockOfThreads::kThreads, kSelectBlocks)
    select_kernel(const __grid_constant__ Selection selection) {
    extern __shared__ int64_t shared_memory[];
    SelectMemory& memory = *reinterpret_cast<SelectMemory*>(shared_memory);
    const BlockOfThreads team{reinterpret_cast<uint32_t*>(&memory + 1)};
    RowSelection<BlockOfThreads>(team, selection, memory, blockIdx.x).run();
}

}  // namespace CML_TARGET

void cuda_select(const Selection& selection, void* stream) {
    const auto on = static_cast<cudaStream_t>(stream);
    check(cudaMemsetAsync(selection.total, 0, sizeof(*selection.total), on),
          "clearing the number of selected columns");
    constexpr size_t kBytes =
        sizeof(SelectMemory) + (BlockOfThreads::kWarps + 1) * sizeof(uint32_t);
    static_assert(kBytes <= 48 * 1024, "every device offers this much without asking for more");
    Selection argument = selection;
    void* arguments[] = {&argument};
    check(cudaLaunchKernel(reinterpret_cast<const void*>(&select_kernel),
                           dim3(static_cast<unsigned>(selection.n_rows)),
                           dim3(BlockOfThreads::kThreads), arguments, kBytes, on),
          "starting the selection of candidates");
}

}  // namespace cml
