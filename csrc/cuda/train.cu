#include "train.h"

#include <algorithm>
#include <stdexcept>

#include "../core/granularity.h"
#include "launch.cuh"
#include "minibatch_launch.cuh"
#include "teams.h"

namespace cml {
namespace {

CudaKernels kernels_for(const Hyperparameters& hyper) {
    using Kernels = CudaKernels (*)(Loss, bool);
    static constexpr Kernels kernels[] = {cuda_kernels_0, cuda_kernels_1, cuda_kernels_2,
                                          cuda_kernels_3, cuda_kernels_4, cuda_kernels_5,
                                          cuda_kernels_6, cuda_kernels_7, cuda_kernels_8};
    const int chunks = (hyper.n_dims + kLanes - 1) / kLanes;
    return kernels[chunks <= kMaxFixedChunks ? chunks : 0](hyper.loss, hyper.bfloat16);
}

// How many pairs may be in flight in asynchronous training. A worker computes gradients from rows
// that others change before it does. In a mini-batch all pairs do so, and as many as a 32nd of an
// epoch, or a few more where there are few, cost no accuracy; here, where a row makes a step for
// each gradient and not one for their sum, they cost none either: see docs/design/kernels.md. Very
// few pairs take no time, and a single warp repeats itself.
int64_t pairs_in_flight(const Job& job) {
    constexpr int64_t kShareOfEpoch = 32, kFewest = 1024;
    const int64_t n = job.likes.n_pairs;
    return n < kFewest ? 1 : std::max(kFewest, n / kShareOfEpoch);
}

int attribute_of_device(cudaDeviceAttr attribute, const char* what) {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "asking for the current device");
    check(cudaDeviceGetAttribute(&value, attribute, device), what);
    return value;
}

int multiprocessors() {
    return attribute_of_device(cudaDevAttrMultiProcessorCount,
                               "asking for the number of multiprocessors");
}

// Blocks that the device runs at once.
int64_t resident_blocks(const void* kernel, int64_t threads, int64_t shared_bytes) {
    int blocks_each = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
              &blocks_each, kernel, static_cast<int>(threads), static_cast<size_t>(shared_bytes)),
          "asking for the occupancy (was this package built for the device's architecture?)");
    return int64_t{multiprocessors()} * std::max(blocks_each, 1);
}

int64_t count_tiles(const Job& job, int64_t n_samples) {
    return (n_samples + job.hyper.tile_size - 1) / job.hyper.tile_size;
}

// The largest number of teams that work on tiles; each needs a workspace. A multiprocessor has one
// block of them, see TileWorker.
int64_t most_teams(const Job& job) {
    const int64_t tiles = job.batch_size > 0 ? count_tiles(job, job.batch_size)
                                             : pairs_in_flight(job) / job.hyper.tile_size;
    return std::clamp<int64_t>(tiles, 1, multiprocessors());
}

// A block for each team, or all blocks that the device runs at once if they can meet: then teams
// have several blocks where there are few tiles.
Grid grid_for_tiles(const Job& job, int64_t begin, int64_t end, bool blocks_meet) {
    const auto shared_bytes = [&](int warps) {
        return static_cast<size_t>(tile_bytes(warps, job));
    };
    if (job.batch_size == 0 && pairs_in_flight(job) == 1) {
        return {dim3(1), dim3(kLanes), shared_bytes(1), 1};
    }
    const int64_t samples =
        job.batch_size > 0 ? std::min(job.batch_size, end - begin) : end - begin;
    const int64_t tiles = count_tiles(job, samples), most = std::min(most_teams(job), tiles);
    const int64_t blocks = blocks_meet ? multiprocessors() : most;
    const int64_t teams = blocks_meet ? choose_teams(job.hyper, tiles, most, blocks) : most;
    return {dim3(static_cast<unsigned>(blocks)), dim3(kTileWarps * kLanes),
            shared_bytes(kTileWarps), teams};
}

// A persistent grid for the samples [begin, end): no more warps than the device runs at once.
Grid grid_for(const Job& job, const void* kernel, int64_t begin, int64_t end, int64_t stride,
              bool blocks_meet) {
    if (shares_negatives(job.hyper.loss)) {
        return grid_for_tiles(job, begin, end, blocks_meet);
    }
    // What every device offers a block without asking for more.
    constexpr int64_t kSharedBytes = 48 * 1024;
    const int64_t warp_bytes = kCounterBytes + scratch_bytes(stride);
    int64_t warps_in_block = std::min<int64_t>(kWarpsPerBlock, kSharedBytes / warp_bytes);
    const int64_t resident =
        resident_blocks(kernel, warps_in_block * kLanes, warps_in_block * warp_bytes) *
        warps_in_block;
    const int64_t pair_blocks = (end - begin + kLanes - 1) / kLanes;
    const bool sync = job.batch_size > 0;
    const int64_t warps = sync ? std::min({resident, job.batch_size, end - begin})
                               : std::min({resident, pair_blocks, pairs_in_flight(job)});
    warps_in_block = std::min(warps_in_block, warps);
    // Rounded down, because no more pairs may be in flight; rounded up for batches, where some
    // warps may have nothing to do.
    const int64_t blocks = (sync ? warps + warps_in_block - 1 : warps) / warps_in_block;
    return {dim3(static_cast<unsigned>(blocks)),
            dim3(static_cast<unsigned>(warps_in_block * kLanes)),
            static_cast<size_t>(warps_in_block * warp_bytes)};
}

void launch_async(CudaLaunch launch, const CudaKernels& kernels, const Grid& grid,
                  cudaStream_t stream) {
    void* arguments[] = {&launch};
    const bool teams_meet = grid.n_teams > 0 && grid.n_teams < grid.blocks.x;
    const char* const what = "starting the training kernel";
    if (teams_meet) {
        check(cudaLaunchCooperativeKernel(kernels.async, grid.blocks, grid.threads, arguments,
                                          grid.shared_bytes, stream),
              what);
    } else {
        check(cudaLaunchKernel(kernels.async, grid.blocks, grid.threads, arguments,
                               grid.shared_bytes, stream),
              what);
    }
    if (!launch.shared) return;
    const Grid rows = grid_for_rows(grid);
    check(cudaLaunchKernel(kernels.project, rows.blocks, rows.threads, arguments, 0, stream),
          "starting the projection kernel");
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

std::string cuda_bfloat16_problem() {
    constexpr int kNeeded = 80;  // compute capability 8.0
    // Code for older devices also runs on newer ones, if the module has no other code for these.
    cudaFuncAttributes attributes;
    check(
        cudaFuncGetAttributes(&attributes, cuda_kernels_1(Loss{PairwiseLosses::kSize}, true).async),
        "asking about a kernel");
    const int found = attributes.ptxVersion;
    if (found >= kNeeded) return "";
    return "it needs a GPU of compute capability 8.0 or newer, and kernels that were compiled for "
           "one (CML_CUDA=ON has them); those for this GPU were compiled for " +
           std::to_string(found / 10) + "." + std::to_string(found % 10);
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

int64_t cuda_batch_bytes(const Job& job) {
    return memory_bytes(job, shares_negatives(job.hyper.loss) ? most_teams(job) : 0);
}

Counters cuda_train(const Job& job, int64_t begin, int64_t end, void* counters, void* batch,
                    void* stream) {
    const auto on = static_cast<cudaStream_t>(stream);
    const bool sync = job.batch_size > 0;
    const bool cooperative =
        attribute_of_device(cudaDevAttrCooperativeLaunch, "asking for cooperative launch") != 0;
    const CudaKernels kernels = kernels_for(job.hyper);
    const void* const kernel = !sync         ? kernels.async
                               : cooperative ? kernels.sync
                                             : kernels.accumulate;
    const int64_t stride = (job.hyper.n_negatives + kLanes - 1) / kLanes * kLanes;
    const Grid grid = grid_for(job, kernel, begin, end, stride, cooperative);

    DeviceCounters host_counters{};
    host_counters.refused_gradient = INT64_MAX;
    host_counters.to_accumulate = begin;
    for (int64_t& vote : host_counters.votes) vote = INT64_MAX;
    auto* const device_counters = static_cast<DeviceCounters*>(counters);
    check(cudaMemcpyAsync(device_counters, &host_counters, sizeof(host_counters),
                          cudaMemcpyHostToDevice, on),
          "clearing the counters");
    const bool shared = grid.blocks.x * grid.threads.x > kLanes;
    CudaLaunch launch{job, begin, end, shared, stride, device_counters, {}, grid.n_teams, nullptr};
    use_memory(batch, launch);
    if (sync) {
        launch_minibatches(launch, kernels, cooperative, grid, on);
    } else {
        launch_async(launch, kernels, grid, on);
    }
    check(cudaMemcpyAsync(&host_counters, device_counters, sizeof(host_counters),
                          cudaMemcpyDeviceToHost, on),
          "reading the counters");
    check(cudaStreamSynchronize(on), "training");

    Counters result = host_counters.sums;
    result.first_non_finite = std::min(result.first_non_finite, host_counters.refused_gradient);
    return result;
}

int64_t cuda_step(const Job& job, const RowGradients& gradients, void* counters, void* stream) {
    const auto on = static_cast<cudaStream_t>(stream);
    int64_t* const flag = &static_cast<DeviceCounters*>(counters)->sums.first_non_finite;
    int64_t refused = INT64_MAX;
    check(cudaMemcpyAsync(flag, &refused, sizeof(refused), cudaMemcpyHostToDevice, on),
          "clearing the counters");
    CudaStep step{job.hyper, gradients, static_cast<DeviceCounters*>(counters)};
    void* arguments[] = {&step};
    constexpr int64_t kMostBlocks = int64_t{1} << 16;
    const int64_t blocks =
        std::min(kMostBlocks, (gradients.n + kWarpsPerBlock - 1) / kWarpsPerBlock);
    check(cudaLaunchKernel(kernels_for(job.hyper).step, dim3(static_cast<unsigned>(blocks)),
                           dim3(kWarpsPerBlock * kLanes), arguments, 0, on),
          "starting the kernel for steps along gradients");
    check(cudaMemcpyAsync(&refused, flag, sizeof(refused), cudaMemcpyDeviceToHost, on),
          "reading the counters");
    check(cudaStreamSynchronize(on), "making steps along gradients");
    return refused == INT64_MAX ? -1 : refused;
}

}  // namespace cml
