#include "train.h"

#include <algorithm>
#include <stdexcept>

#include "kernel.h"

namespace cml {
namespace {

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    throw std::runtime_error(std::string("CUDA: ") + what + " failed: " +
                             cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

CudaKernels kernels_for(int n_dims) {
    using Kernels = CudaKernels (*)();
    static constexpr Kernels kernels[] = {cuda_kernels_0, cuda_kernels_1, cuda_kernels_2,
                                          cuda_kernels_3, cuda_kernels_4, cuda_kernels_5,
                                          cuda_kernels_6, cuda_kernels_7, cuda_kernels_8};
    const int chunks = (n_dims + kLanes - 1) / kLanes;
    return kernels[chunks <= kMaxFixedChunks ? chunks : 0]();
}

// How many pairs may be in flight in asynchronous training. A warp works on values that it read a
// moment ago; while few of the others touch the same rows, that is Hogwild. With as many warps as
// rows, every row is changed by several of them at once, from values that none has seen the others
// change: one huge stale batch. An eighth of the smaller table keeps most pairs in flight apart.
int64_t warps_in_flight(const Job& job) {
    return std::max<int64_t>(1, std::min(job.users.n_rows, job.items.n_rows) / 8);
}

// Where the parts of CudaBatch begin in one piece of memory, in bytes.
struct BatchParts {
    int64_t item_slots, rows, sums, total;
};

BatchParts batch_parts(int64_t batch_size, int64_t n_users, int64_t n_items, int64_t stride) {
    constexpr int64_t kAlignment = 128;
    auto after = [=](int64_t begin, int64_t bytes) {
        return (begin + bytes + kAlignment - 1) / kAlignment * kAlignment;
    };
    const int64_t item_slots = after(0, n_users * 4);
    const int64_t rows = after(item_slots, n_items * 4);
    const int64_t sums = after(rows, 3 * batch_size * 4);
    return {item_slots, rows, sums, after(sums, 3 * batch_size * stride * 8)};
}

CudaBatch batch_memory(const Job& job, void* memory) {
    const int64_t stride = std::max(job.users.stride, job.items.stride);
    const BatchParts parts =
        batch_parts(job.batch_size, job.users.n_rows, job.items.n_rows, stride);
    char* const at = static_cast<char*>(memory);
    return {reinterpret_cast<int32_t*>(at), reinterpret_cast<int32_t*>(at + parts.item_slots),
            reinterpret_cast<int32_t*>(at + parts.rows),
            reinterpret_cast<int64_t*>(at + parts.sums), stride};
}

}  // namespace

CudaStatus cuda_status() {
    CudaStatus status{};
    // Both answer without a driver, with version 0 and an error; counts stay unset on error.
    cudaDriverGetVersion(&status.driver_version);
    cudaRuntimeGetVersion(&status.runtime_version);
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        status.problem = std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) +
                         ", code " + std::to_string(static_cast<int>(error)) + ")";
        cudaGetLastError();
        return status;
    }
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties;
        check(cudaGetDeviceProperties(&properties, i), "reading the device's properties");
        status.devices.push_back({properties.name, properties.major, properties.minor,
                                  static_cast<int64_t>(properties.totalGlobalMem)});
    }
    if (count == 0) status.problem = "the driver reports no device";
    return status;
}

void cuda_check_pointer(const void* p, const std::string& name) {
    cudaPointerAttributes attributes;
    int current = 0;
    check(cudaGetDevice(&current), "asking for the current device");
    check(cudaPointerGetAttributes(&attributes, p), "asking about a pointer");
    const bool readable =
        attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
    if (!readable || attributes.device != current) {
        throw std::invalid_argument(name + " must be memory of the current CUDA device " +
                                    std::to_string(current));
    }
}

int64_t cuda_counter_bytes() {
    return sizeof(DeviceCounters);
}

int64_t cuda_batch_bytes(int64_t batch_size, int64_t n_users, int64_t n_items, int64_t stride) {
    if (batch_size == 0) return 0;
    return batch_parts(batch_size, n_users, n_items, stride).total;
}

Counters cuda_train(const Job& job, int64_t begin, int64_t end, void* counters, void* batch,
                    void* stream) {
    const auto on = static_cast<cudaStream_t>(stream);
    const bool sync = job.batch_size > 0;
    const CudaKernels kernels = kernels_for(job.hyper.n_dims);
    const void* kernel = sync ? kernels.sync : kernels.async;
    const int64_t stride = (job.hyper.n_negatives + kLanes - 1) / kLanes * kLanes;
    // What every device offers a block without asking for more.
    constexpr int64_t kSharedBytes = 48 * 1024;
    int64_t warps_in_block =
        std::min<int64_t>(kWarpsPerBlock, kSharedBytes / scratch_bytes(stride));

    int device = 0, processors = 0, blocks_each = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
          "asking for the number of multiprocessors");
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
              &blocks_each, kernel, static_cast<int>(warps_in_block * kLanes),
              static_cast<size_t>(warps_in_block * scratch_bytes(stride))),
          "asking for the occupancy (was this package built for the device's architecture?)");
    const int64_t resident = processors * std::max(blocks_each, 1) * warps_in_block;
    const int64_t tiles = (end - begin + kLanes - 1) / kLanes;
    const int64_t warps = sync ? std::min(resident, std::min(job.batch_size, end - begin))
                               : std::min({resident, warps_in_flight(job), tiles});
    warps_in_block = std::min(warps_in_block, warps);
    const int64_t blocks = warps / warps_in_block;
    const size_t shared_bytes = static_cast<size_t>(warps_in_block * scratch_bytes(stride));

    DeviceCounters sum{};
    sum.first_non_finite = sum.refused_gradient = INT64_MAX;
    auto* const device_counters = static_cast<DeviceCounters*>(counters);
    check(cudaMemcpyAsync(device_counters, &sum, sizeof(sum), cudaMemcpyHostToDevice, on),
          "clearing the counters");
    CudaLaunch launch{job, begin, end, blocks * warps_in_block > 1, stride, device_counters, {}};
    if (sync) launch.batch = batch_memory(job, batch);
    void* arguments[] = {&launch};
    const dim3 grid(static_cast<unsigned>(blocks));
    const dim3 block(static_cast<unsigned>(warps_in_block * kLanes));
    check(sync ? cudaLaunchCooperativeKernel(kernel, grid, block, arguments, shared_bytes, on)
               : cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, on),
          "starting the training kernel");
    if (!sync && launch.shared) {
        check(cudaLaunchKernel(kernels.censor, grid, block, arguments, 0, on),
              "starting the censoring kernel");
    }
    check(cudaMemcpyAsync(&sum, device_counters, sizeof(sum), cudaMemcpyDeviceToHost, on),
          "reading the counters");
    check(cudaStreamSynchronize(on), "training");

    Counters result;
    result.pairs = static_cast<int64_t>(sum.pairs);
    result.active = static_cast<int64_t>(sum.active);
    result.impostors = static_cast<int64_t>(sum.impostors);
    result.skipped = static_cast<int64_t>(sum.skipped);
    result.loss = sum.loss;
    result.first_non_finite =
        static_cast<int64_t>(std::min(sum.first_non_finite, sum.refused_gradient));
    return result;
}

}  // namespace cml
