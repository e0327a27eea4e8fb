// CUDA's runtime on the emulated device, and the function that Python calls. What is launched has
// run when the launch returns.
#include <list>
#include <utility>

#include "../../csrc/core/workspace.h"
#include "../../csrc/cuda/minibatch_launch.cuh"
#include "../../csrc/cuda/select.h"
#include "../../csrc/cuda/train.h"

namespace {

// As in emulator_support.py.
struct Options {
    int32_t order;
    uint32_t seed;
    int32_t multiprocessors;
    int32_t cooperative;  // whether there are cooperative launches
    int32_t blocks;  // in: 0: the grid that the host code chooses; out: that of the first kernel
    int32_t warps_in_block;
    int32_t teams;  // of the blocks of such a grid, where they work on tiles
};

Options options;
std::string problem;  // behind the error that was returned last
int graphs;           // that exist
int64_t streamed_bytes;
// Since Python asked last.
int64_t copies_to_host, copied_bytes;
int64_t additions;  // atomic ones, of 64-bit integers

// A launch of a kernel, where launches are only recorded.
struct Recorded {
    int32_t blocks, threads, teams;
    int64_t shared_bytes;
};
int ptx_version;                  // that kernels were compiled for
std::vector<Recorded>* recorded;  // null: kernels run
int32_t resident_blocks = 1;      // on each multiprocessor
dim3 first_grid, first_block;     // of the first kernel, once there is one

// Workspaces of tiles for a grid that the host code does not choose.
std::vector<char> workspaces;
constexpr char kUnwritten = static_cast<char>(0xCB);  // see scheduler.cpp

cudaError_t fail(cudaError_t error, const std::string& what) {
    problem = what;
    return error;
}

// Every kernel has one argument, a structure, which CUDA knows the size of. Those of all kernels
// that the called function starts have this size.
size_t argument_bytes;
static_assert(sizeof(cml::CudaStep) <= sizeof(cml::CudaLaunch), "");
static_assert(sizeof(cml::Selection) <= sizeof(cml::CudaLaunch), "");

// What a launch asks for. A smaller argument is passed as the beginning of a CudaLaunch.
struct KernelLaunch {
    const void* kernel;
    dim3 grid, block;
    size_t shared_bytes;
    cml::CudaLaunch argument;

    void choose_grid() {
        if (options.blocks == 0) return;
        const auto warps = static_cast<unsigned>(options.warps_in_block);
        grid = dim3(static_cast<unsigned>(options.blocks));
        block = dim3(warps * cml::kLanes);
        const bool tiles = argument.n_teams > 0;
        const int64_t bytes =
            tiles ? cml::tile_bytes(options.warps_in_block, argument.job)
                  : warps * (cml::kCounterBytes + cml::scratch_bytes(argument.stride));
        shared_bytes = static_cast<size_t>(bytes);
        argument.shared = grid.x * warps > 1;
        argument.n_teams = options.teams;
        argument.workspaces = reinterpret_cast<float*>(workspaces.data());
    }

    cudaError_t run() const {
        const auto function =
            reinterpret_cast<void (*)(cml::CudaLaunch)>(const_cast<void*>(kernel));
        if (first_block.x == 0) first_grid = grid, first_block = block;
        if (recorded) {
            recorded->push_back({static_cast<int32_t>(grid.x), static_cast<int32_t>(block.x),
                                 static_cast<int32_t>(argument.n_teams),
                                 static_cast<int64_t>(shared_bytes)});
            return cudaSuccess;
        }
        problem = emulator::launch([&] { function(argument); }, grid, block, shared_bytes);
        if (problem.empty()) return cudaSuccess;
        return problem.rfind("invalid", 0) == 0 ? cudaErrorInvalidConfiguration
                                                : cudaErrorLaunchFailure;
    }
};

KernelLaunch kernel_launch(const void* kernel, dim3 grid, dim3 block, void** arguments,
                           size_t shared_bytes) {
    KernelLaunch launch{kernel, grid, block, shared_bytes, {}};
    std::memcpy(&launch.argument, arguments[0], argument_bytes);
    launch.choose_grid();
    return launch;
}

}  // namespace

void emulator::count_streamed(size_t bytes) {
    streamed_bytes += static_cast<int64_t>(bytes);
}

void emulator::count_addition() {
    ++additions;
}

// --- the device -------------------------------------------------------------------------------

const char* cudaGetErrorString(cudaError_t) {
    return problem.c_str();
}

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaErrorInvalidValue:
            return "cudaErrorInvalidValue";
        case cudaErrorInvalidConfiguration:
            return "cudaErrorInvalidConfiguration";
        case cudaErrorCooperativeLaunchTooLarge:
            return "cudaErrorCooperativeLaunchTooLarge";
        case cudaErrorNotSupported:
            return "cudaErrorNotSupported";
        default:
            return "cudaErrorLaunchFailure";
    }
}

cudaError_t cudaGetLastError() {
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
    *device = 0;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
    *count = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {"emulated", 9, 0, size_t{1} << 30};
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value =
        attribute == cudaDevAttrCooperativeLaunch ? options.cooperative : options.multiprocessors;
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
    *attributes = {cudaMemoryTypeDevice, 0};
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int, size_t) {
    *blocks = resident_blocks;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
    *attributes = {ptx_version};
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
    if (kind == cudaMemcpyDeviceToHost) {
        ++copies_to_host;
        copied_bytes += static_cast<int64_t>(bytes);
    }
    std::memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t) {
    std::memset(p, value, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}

// --- launches ---------------------------------------------------------------------------------

cudaError_t cudaLaunchKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes, cudaStream_t) {
    return kernel_launch(kernel, grid, block, arguments, shared_bytes).run();
}

cudaError_t cudaLaunchCooperativeKernel(const void* kernel, dim3 grid, dim3 block, void** arguments,
                                        size_t shared_bytes, cudaStream_t) {
    const KernelLaunch launch = kernel_launch(kernel, grid, block, arguments, shared_bytes);
    if (!options.cooperative) {
        return fail(cudaErrorNotSupported, "this device has no cooperative launches");
    }
    if (launch.grid.x > static_cast<unsigned>(options.multiprocessors * resident_blocks)) {
        return fail(cudaErrorCooperativeLaunchTooLarge, "not all blocks are resident");
    }
    return launch.run();
}

struct CUgraphNode_st {
    KernelLaunch launch;
};

struct CUgraph_st {
    std::list<CUgraphNode_st> nodes;  // which stay where they are
};

struct CUgraphExec_st {
    std::list<CUgraphNode_st> nodes;
};

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
    *graph = new CUgraph_st;
    ++graphs;
    return cudaSuccess;
}

// Nodes that do not depend on each other may run at the same time, which is not emulated.
cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph,
                                   const cudaGraphNode_t* dependencies, size_t n_dependencies,
                                   const cudaKernelNodeParams* p) {
    std::list<CUgraphNode_st>& nodes = graph->nodes;
    if (nodes.empty() ? n_dependencies != 0
                      : n_dependencies != 1 || dependencies[0] != &nodes.back()) {
        return fail(cudaErrorInvalidValue, "the graph is not a chain");
    }
    nodes.push_back(
        {kernel_launch(p->func, p->gridDim, p->blockDim, p->kernelParams, p->sharedMemBytes)});
    *node = &nodes.back();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
    *executable = new CUgraphExec_st{graph->nodes};
    ++graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
    for (const CUgraphNode_st& node : executable->nodes) {
        const cudaError_t error = node.launch.run();
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    --graphs;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    --graphs;
    return cudaSuccess;
}

// --- what Python calls ------------------------------------------------------------------------

// How many copies to the host there were since the last call; `bytes` of all of them together.
extern "C" int64_t emulator_copies(int64_t* bytes) {
    *bytes = std::exchange(copied_bytes, 0);
    return std::exchange(copies_to_host, 0);
}

// How many atomic additions of 64-bit integers there were since the last call.
extern "C" int64_t emulator_additions() {
    return std::exchange(additions, 0);
}

// The kernels that training the samples [begin, end) launches on a device whose multiprocessors
// hold so many blocks each: the first `room` of them. None runs. Returns their number, or -1.
extern "C" int64_t emulator_launches(const cml::Job* job, int64_t begin, int64_t end,
                                     const Options* chosen, int32_t blocks, Recorded* out,
                                     int64_t room) {
    options = *chosen;
    argument_bytes = sizeof(cml::CudaLaunch);
    std::vector<Recorded> launches;
    recorded = &launches;
    resident_blocks = blocks;
    int64_t n = -1;
    try {
        cml::DeviceCounters device_counters;
        cml::cuda_train(*job, begin, end, &device_counters, nullptr, nullptr);
        n = static_cast<int64_t>(launches.size());
        std::copy_n(launches.begin(), std::min(n, room), out);
    } catch (const std::exception&) {
    }
    recorded = nullptr;
    resident_blocks = 1;
    return n;
}

// Asynchronous updates race by design, for vectors and accumulators: see core/async.h.
void allow_designed_races(const cml::Job& job) {
    emulator::forbid_races();
    if (job.batch_size > 0) return;
    for (const cml::Table& table : {job.users, job.items}) {
        emulator::allow_races(table.values, table.n_rows * table.stride * sizeof(float));
        emulator::allow_races(table.accumulators,
                              table.n_rows * table.accumulator_stride * sizeof(float));
    }
}

// What _core.cuda_select() does. Also tells how many bytes of the scores were read. Returns an
// empty string, or what went wrong: it is valid until the next call.
extern "C" const char* emulator_select(const cml::Selection* selection, const Options* chosen,
                                       int64_t* bytes_read) {
    static std::string error;
    error.clear();
    options = *chosen;
    argument_bytes = sizeof(cml::Selection);
    emulator::forbid_races();
    emulator::set_order(static_cast<emulator::Order>(options.order), options.seed);
    streamed_bytes = 0;
    try {
        cml::cuda_select(*selection, nullptr);
        *bytes_read = streamed_bytes;
    } catch (const std::exception& e) {
        error = e.what();
    }
    return error.c_str();
}

// What _core.Job("cuda", ...).step() does. Returns the refused position, -1, or -2 after an error.
extern "C" int64_t emulator_step(const cml::Job* job, const cml::RowGradients* gradients,
                                 Options* chosen) {
    if (gradients->n == 0) return -1;
    options = *chosen;
    argument_bytes = sizeof(cml::CudaStep);
    emulator::forbid_races();
    emulator::set_order(static_cast<emulator::Order>(options.order), options.seed);
    try {
        cml::DeviceCounters device_counters;
        return cml::cuda_step(*job, *gradients, &device_counters, nullptr);
    } catch (const std::exception&) {
        return -2;
    }
}

// What _core.cuda_bfloat16_problem() returns if kernels were compiled for this version, 90 for 9.0.
extern "C" const char* emulator_bfloat16_problem(int32_t version) {
    static std::string found;
    ptx_version = version;
    found = cml::cuda_bfloat16_problem();
    return found.c_str();
}

// What _core.cuda_batch_bytes() returns.
extern "C" int64_t emulator_batch_bytes(const cml::Job* job, const Options* chosen) {
    options = *chosen;
    return cml::cuda_batch_bytes(*job);
}

// Train the samples [begin, end) as _core.Job("cuda", ...) does. Returns an empty string, or what
// went wrong: it is valid until the next call.
extern "C" const char* emulator_train(const cml::Job* job, int64_t begin, int64_t end,
                                      Options* chosen, cml::Counters* counters) {
    static std::string error;
    error.clear();
    options = *chosen;
    argument_bytes = sizeof(cml::CudaLaunch);
    emulator::set_order(static_cast<emulator::Order>(options.order), options.seed);
    allow_designed_races(*job);
    try {
        cml::DeviceCounters device_counters;
        std::vector<char> batch(static_cast<size_t>(cml::cuda_batch_bytes(*job)));
        first_block.x = 0;
        const auto zeros = batch.begin() + cml::memory_bytes(*job, 0);
        std::fill(zeros, batch.end(), kUnwritten);
        workspaces.assign(options.blocks *
                              cml::workspace_floats(job->hyper, cml::InLane::kNegative) *
                              sizeof(float),
                          kUnwritten);
        *counters = cml::cuda_train(*job, begin, end, &device_counters, batch.data(), nullptr);
        if (counters->first_non_finite == INT64_MAX &&
            std::any_of(batch.begin(), zeros, [](char x) { return x != 0; })) {
            error = "the memory of mini-batches is not zero after a launch";
        }
        chosen->blocks = static_cast<int32_t>(first_grid.x);
        chosen->warps_in_block = static_cast<int32_t>(first_block.x) / cml::kLanes;
    } catch (const std::exception& e) {
        error = e.what();
    }
    if (graphs != 0) error += "\na graph was not destroyed, or twice";
    return error.c_str();
}
