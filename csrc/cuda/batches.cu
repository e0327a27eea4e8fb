#include "batches.cuh"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "train.h"

namespace cml {
namespace {

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

// A graph that still runs is freed when it has; errors of its kernels show when the stream is
// waited for.
struct TakeDown {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
    void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, TakeDown>;
using ExecutableGraph = std::unique_ptr<std::remove_pointer_t<cudaGraphExec_t>, TakeDown>;

// The kernels of so many mini-batches, one after another. Not captured from a stream: the default
// stream, which CuPy hands out, cannot be captured.
ExecutableGraph graph_of_batches(int64_t n_batches, CudaLaunch launch, const CudaKernels& kernels,
                                 const Grid& grid) {
    cudaGraph_t made = nullptr;
    check(cudaGraphCreate(&made, 0), "making a graph");
    const Graph graph(made);
    void* arguments[] = {&launch};  // the graph takes their values
    cudaGraphNode_t last = nullptr;
    auto add = [&](const void* kernel, size_t shared_bytes) {
        cudaKernelNodeParams node{};
        node.func = const_cast<void*>(kernel);
        node.gridDim = grid.blocks;
        node.blockDim = grid.threads;
        node.sharedMemBytes = static_cast<unsigned>(shared_bytes);
        node.kernelParams = arguments;
        const cudaGraphNode_t before = last;
        check(cudaGraphAddKernelNode(&last, graph.get(), &before, before ? 1 : 0, &node),
              "adding a kernel to a graph");
    };
    for (int64_t i = 0; i < n_batches; ++i) {
        add(kernels.contribute, grid.shared_bytes);
        add(kernels.apply, 0);
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

int64_t cuda_batch_bytes(int64_t batch_size, int64_t n_users, int64_t n_items, int64_t stride) {
    if (batch_size == 0) return 0;
    return batch_parts(batch_size, n_users, n_items, stride).total;
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

void launch_batches(CudaLaunch launch, const CudaKernels& kernels, bool cooperative,
                    const Grid& grid, cudaStream_t stream) {
    if (cooperative) {
        void* arguments[] = {&launch};
        check(cudaLaunchCooperativeKernel(kernels.sync, grid.blocks, grid.threads, arguments,
                                          grid.shared_bytes, stream),
              "starting the kernel of mini-batches");
        return;
    }
    constexpr int64_t kMostInGraph = 16;  // enough that the device need not wait for the host
    const int64_t n_batches = count_batches(launch);
    const int64_t n_graphs = (n_batches + kMostInGraph - 1) / kMostInGraph;
    const int64_t in_graph = (n_batches + n_graphs - 1) / n_graphs;
    const ExecutableGraph graph = graph_of_batches(in_graph, launch, kernels, grid);
    for (int64_t i = 0; i < n_graphs; ++i) {
        check(cudaGraphLaunch(graph.get(), stream), "starting a graph of mini-batches");
    }
}

}  // namespace cml
