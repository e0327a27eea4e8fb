// Small kernels, most of them wrong, for the tests of the emulator itself. Each writes one number
// a thread.
#include <cooperative_groups.h>
#include <cuda_pipeline_primitives.h>

#include <numeric>

namespace cml {
inline namespace CML_TARGET {

static int32_t* shared_numbers() {
    extern __shared__ int64_t shared_memory[];
    return reinterpret_cast<int32_t*>(shared_memory);
}

namespace {

int32_t* results;

constexpr unsigned kAll = ~0u;

int lane() {
    return static_cast<int>(threadIdx.x % 32);
}

void write(int32_t x) {
    results[blockIdx.x * blockDim.x + threadIdx.x] = x;
}

void pass_on(bool sync) {
    shared_numbers()[threadIdx.x] = lane();
    if (sync) __syncwarp();
    write(shared_numbers()[threadIdx.x ^ 1]);
}

// The first two warps of a block copy numbers to shared memory, and each thread reads one that the
// other warp has copied.
constexpr int kCopied = 96, kFours = kCopied / 4;
alignas(16) int32_t numbers[kCopied];

void begin_copies() {
    const int i = static_cast<int>(threadIdx.x / 32) * (kFours / 2) + lane();
    if (lane() < kFours / 2) __pipeline_memcpy_async(shared_numbers() + 4 * i, numbers + 4 * i, 16);
    __pipeline_commit();
}

void copy(bool wait, bool meet) {
    if (threadIdx.x == 0 && blockIdx.x == 0) std::iota(numbers, numbers + kCopied, 0);
    cooperative_groups::this_grid().sync();
    if (threadIdx.x >= 64) return write(-7);
    begin_copies();
    if (wait) __pipeline_wait_prior(0);
    if (meet) __barrier_sync_count(1, 64);
    write(shared_numbers()[kCopied - 1 - threadIdx.x]);
}

struct Case {
    const char* name;
    void (*kernel)();
};

const Case kCases[] = {
    // Right.
    {"synced", [] { pass_on(true); }},
    {"halves",
     [] {
         const bool low = lane() < 16;
         if (low) write(__shfl_sync(0xFFFFu, lane(), 3));
         if (!low) write(__shfl_xor_sync(0xFFFF0000u, lane(), 1));
         __syncwarp();
     }},
    {"block barrier",
     [] {
         shared_numbers()[threadIdx.x] = static_cast<int32_t>(blockIdx.x * 100 + threadIdx.x);
         __syncthreads();
         write(shared_numbers()[blockDim.x - 1 - threadIdx.x]);
     }},
    {"block vote",
     [] {
         const bool most = __syncthreads_and(blockIdx.x == 0 || threadIdx.x != 70);
         write(2 * __syncthreads_and(2) + most);
     }},
    {"grid barrier",
     [] {
         write(1);
         cooperative_groups::this_grid().sync();
         int32_t sum = 0;
         for (unsigned i = 0; i < gridDim.x * blockDim.x; ++i) sum += results[i];
         cooperative_groups::this_grid().sync();
         write(sum);
     }},
    {"atomics",
     [] {
         int32_t* const p = shared_numbers();
         double* const sum = reinterpret_cast<double*>(p + 4);
         if (threadIdx.x == 0) *sum = p[0] = p[2] = p[3] = 0, p[1] = 50;
         __syncthreads();
         atomicAdd(p, 2);
         atomicAdd(sum, 0.5);
         atomicMin(p + 1, 10 + lane());
         if (atomicCAS(p + 2, 0, 7) == 0) atomicExch(p + 3, 9);
         __syncthreads();
         const bool right = p[0] == 2 * static_cast<int>(blockDim.x) && p[1] == 10 && p[2] == 7 &&
                            p[3] == 9 && *sum == 0.5 * blockDim.x;
         write(right && __ballot_sync(kAll, lane() % 2) == 0xAAAAAAAAu);
     }},
    {"copies", [] { copy(true, true); }},
    // Wrong.
    {"no wait for copies", [] { copy(false, true); }},
    {"no barrier after copies", [] { copy(true, false); }},
    {"copied too early",
     [] {
         if (threadIdx.x >= 64) return;
         shared_numbers()[threadIdx.x] = lane();
         __barrier_sync_count(1, 64);
         write(shared_numbers()[63 - threadIdx.x]);
         begin_copies();
         __pipeline_wait_prior(0);
     }},
    {"a barrier of other warps",
     [] {
         shared_numbers()[threadIdx.x] = lane();
         if (threadIdx.x >= 64) return;
         __barrier_sync_count(1, 64);
         write(shared_numbers()[kCopied - 1 - threadIdx.x]);
     }},
    {"unsynced", [] { pass_on(false); }},
    {"no block barrier",
     [] {
         shared_numbers()[threadIdx.x] = lane();
         __syncwarp();
         write(shared_numbers()[blockDim.x - 1 - threadIdx.x]);
     }},
    {"no grid barrier",
     [] {
         write(1);
         __syncthreads();
         const unsigned n = gridDim.x * blockDim.x;
         const int32_t next = results[(blockIdx.x * blockDim.x + threadIdx.x + blockDim.x) % n];
         cooperative_groups::this_grid().sync();
         write(next);
     }},
    {"written after it was read",
     [] {
         write(1);
         cooperative_groups::this_grid().sync();
         const unsigned n = gridDim.x * blockDim.x;
         const int32_t next = results[(blockIdx.x * blockDim.x + threadIdx.x + blockDim.x) % n];
         __syncthreads();
         write(next);
     }},
    {"not all atomic",
     [] {
         int32_t* const p = shared_numbers();
         if (threadIdx.x == 0) *p = 0;
         __syncthreads();
         atomicAdd(p, 1);
         write(*p);
     }},
    {"unwritten", [] { write(shared_numbers()[threadIdx.x]); }},
    {"beyond", [] { write(shared_numbers()[32 + threadIdx.x]); }},
    {"other call",
     [] {
         if (lane() < 16) {
             __syncwarp();
         } else {
             __ballot_sync(kAll, true);
         }
     }},
    {"other place",
     [] {
         if (lane() % 2 == 0) {
             __syncwarp();
         } else {
             __syncwarp();
         }
     }},
    {"early return",
     [] {
         if (lane() >= 30 && threadIdx.x >= 32) return;
         write(__shfl_sync(kAll, lane(), 0));
     }},
    {"block barrier of one warp",
     [] {
         if (threadIdx.x < 32) __syncthreads();
     }},
    {"grid barrier of one block",
     [] {
         if (blockIdx.x == 1) cooperative_groups::this_grid().sync();
     }},
    {"not in the mask", [] { __syncwarp(1u); }},
};

}  // namespace
}  // namespace CML_TARGET
}  // namespace cml

static std::string problem;  // of the last case

extern "C" const char* emulator_case(const char* name, int32_t order, uint32_t seed, int32_t blocks,
                                     int32_t warps_in_block, int32_t* results) {
    emulator::set_order(static_cast<emulator::Order>(order), seed);
    cml::results = results;
    problem = std::string("there is no case ") + name;
    for (const cml::Case& c : cml::kCases) {
        if (c.name != std::string(name)) continue;
        const auto threads = static_cast<unsigned>(warps_in_block) * 32;
        problem = emulator::launch(c.kernel, dim3(static_cast<unsigned>(blocks)), dim3(threads),
                                   threads * sizeof(int32_t));
    }
    return problem.c_str();
}
