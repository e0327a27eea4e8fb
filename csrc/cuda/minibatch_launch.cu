#include "minibatch_launch.cuh"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "../core/workspace.h"

namespace cml {
namespace {

// Where the parts of the memory begin, in bytes: those of CudaMinibatch, and the workspaces of
// tiles.
struct MemoryParts {
    int64_t item_slots, rows, sums, workspaces, total;
};

int64_t batch_stride(const Job& job) {
    return std::max(job.users.stride, job.items.stride);
}

int64_t count_rows(const Job& job) {
    return job.users.n_rows + job.items.n_rows;
}

bool slots_are_rows(const Job& job) {
    return slots_of_batch(job.hyper, job.batch_size) > count_rows(job);
}

MemoryParts memory_parts(const Job& job, int64_t n_workspaces) {
    constexpr int64_t kAlignment = 128;
    constexpr int64_t kInt32 = sizeof(int32_t), kInt64 = sizeof(int64_t), kFloat = sizeof(float);
    auto after = [=](int64_t begin, int64_t bytes) {
        return (begin + bytes + kAlignment - 1) / kAlignment * kAlignment;
    };
    const bool claimed = job.batch_size > 0 && !slots_are_rows(job);
    const int64_t n_slots = std::min(slots_of_batch(job.hyper, job.batch_size), count_rows(job));
    const int64_t item_slots = after(0, claimed ? job.users.n_rows * kInt32 : 0);
    const int64_t rows = after(item_slots, claimed ? job.items.n_rows * kInt32 : 0);
    const int64_t sums = after(rows, n_slots * kInt32);
    const int64_t workspaces = after(sums, n_slots * batch_stride(job) * kInt64);
    const int64_t floats = n_workspaces * workspace_floats(job.hyper, InLane::kNegative);
    return {item_slots, rows, sums, workspaces, after(workspaces, floats * kFloat)};
}

// A graph that is still running is freed when it ends. Errors of its kernels are reported when the
// host waits for the stream.
struct Destroy {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, Destroy>;
using ExecutableGraph = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, Destroy>;

// A graph of the kernels of so many mini-batches, one after another. It is not captured from a
// stream, because the default stream, which CuPy uses, cannot be captured.
ExecutableGraph graph_of_batches(int64_t n_batches, CudaLaunch launch, const CudaKernels& kernels,
                                 const Grid& grid) {
    cudaGraph_t made = nullptr;
    check(cudaGraphCreate(&made, 0), "making a graph");
    const Graph graph(made);
    void* arguments[] = {&launch};  // the graph copies the values
    cudaGraphNode_t last = nullptr;
    auto add = [&](const void* kernel, const Grid& grid) {
        cudaKernelNodeParams node{};
        node.func = const_cast<void*>(kernel);
        node.gridDim = grid.blocks;
        node.blockDim = grid.threads;
        node.sharedMemBytes = static_cast<unsigned>(grid.shared_bytes);
        node.kernelParams = arguments;
        const cudaGraphNode_t before = last;
        check(cudaGraphAddKernelNode(&last, graph.get(), &before, before ? 1 : 0, &node),
              "adding a kernel to a graph");
    };
    for (int64_t i = 0; i < n_batches; ++i) {
        add(kernels.accumulate, grid);
        add(kernels.apply, grid_for_rows(grid));
    }
    cudaGraphExec_t executable = nullptr;
    check(cudaGraphInstantiate(&executable, graph.get(), 0), "instantiating a graph");
    return ExecutableGraph(executable);
}

int64_t count_batches(const CudaLaunch& launch) {
    int64_t n = 0;
    for (int64_t first = launch.begin; first < launch.end; ++n) {
        first = batch_end(first, launch.end, launch.job.batch_size, launch.job.likes.n_pairs);
    }
    return n;
}

}  // namespace

int64_t memory_bytes(const Job& job, int64_t n_workspaces) {
    return memory_parts(job, n_workspaces).total;
}

void use_memory(void* memory, CudaLaunch& launch) {
    const MemoryParts parts = memory_parts(launch.job, 0);
    char* const at = static_cast<char*>(memory);
    launch.batch = {reinterpret_cast<int32_t*>(at),
                    reinterpret_cast<int32_t*>(at + parts.item_slots),
                    reinterpret_cast<int32_t*>(at + parts.rows),
                    reinterpret_cast<int64_t*>(at + parts.sums),
                    batch_stride(launch.job),
                    slots_are_rows(launch.job)};
    launch.workspaces = reinterpret_cast<float*>(at + parts.workspaces);
}

void launch_minibatches(CudaLaunch launch, const CudaKernels& kernels, bool cooperative,
                        const Grid& grid, cudaStream_t stream) {
    if (cooperative) {
        void* arguments[] = {&launch};
        check(cudaLaunchCooperativeKernel(kernels.sync, grid.blocks, grid.threads, arguments,
                                          grid.shared_bytes, stream),
              "starting the kernel of mini-batches");
        return;
    }
    constexpr int64_t kMostInGraph = 16;  // enough that the device does not wait for the host
    const int64_t n_batches = count_batches(launch);
    const int64_t n_graphs = (n_batches + kMostInGraph - 1) / kMostInGraph;
    const int64_t in_graph = (n_batches + n_graphs - 1) / n_graphs;
    const ExecutableGraph graph = graph_of_batches(in_graph, launch, kernels, grid);
    for (int64_t i = 0; i < n_graphs; ++i) {
        check(cudaGraphLaunch(graph.get(), stream), "starting a graph of mini-batches");
    }
}

}  // namespace cml
