// What the kernels and their launch use of CUDA, for a host compiler that includes this file
// before each of their sources (-include): csrc/cuda/ then runs where there is no GPU.
//
// All threads of a launch are fibers of one host thread. A lane runs alone until it calls a
// function that waits for others; the lanes of a warp take turns in an order that tests choose.
// So lanes that share memory without a __syncwarp() between them give results that depend on that
// order, and lanes that wait for what never comes are reported. races.h finds memory that threads
// share without a barrier. What is not emulated: time, caches and memory order; an atomic operation
// is one because nothing else runs meanwhile.
#pragma once

// Before __CUDACC__ is defined, for the standard library must not take this compiler for nvcc.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#define __CUDACC__  // core/platform.h takes its CUDA side
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
// For `extern __shared__ int64_t shared_memory[]`, which scheduler.cpp defines. A variable without
// `extern` would be one for each thread: none of those can be weak, so it does not compile.
#define __shared__ __attribute__((weak))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern dim3 threadIdx, blockIdx, blockDim, gridDim;  // of the thread that runs now

namespace emulator {

enum class Scope { kWarp, kWarps, kBlock, kGrid };  // kWarps: some warps of a block

// Where a thread waits for others. Threads meet if their calls are equal. Line numbers are those
// of the CUDA function's caller: two places that call one wrapper look alike.
struct Call {
    Scope scope;
    const char* name;
    unsigned mask;
    int argument;
    const char* file;
    int line;
};

// Wait until all threads that the call names have made it. Returns what each lane of the warp
// brought along; of a block or the grid, a single word, the bits that all threads brought.
const uint64_t* meet(const Call& call, uint64_t brought = 0);

// Run a kernel in every thread of a grid. Returns what went wrong, or an empty string.
std::string launch(const std::function<void()>& kernel, dim3 grid, dim3 block, size_t shared_bytes);

// The order in which the lanes of a warp take turns. If the seed is 0, warps and blocks do so one
// after another, in lock-step; else in a random order, and a warp's turn may end before all of its
// lanes had theirs.
enum class Order : int32_t { kAscending, kDescending, kShuffled };
void set_order(Order order, uint32_t seed);

// Copies that the calling thread has begun. They are made when it waits for them, or some of them
// at once, as chance has it: what reads or writes the same memory meanwhile is in a race.
void copy_later(void* to, const void* from, size_t bytes, const void* where);
void commit_copies();
void wait_for_copies(size_t uncompleted);  // of the groups that were committed, so many may be left

// Count what is loaded by __ldcs(), which is for large data.
void count_streamed(size_t bytes);

// Count an atomic addition of a 64-bit integer.
void count_addition();

template <class T>
uint64_t to_word(T x) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable<T>::value, "");
    uint64_t word = 0;
    std::memcpy(&word, &x, sizeof(T));
    return word;
}

template <class T>
T from_word(uint64_t word) {
    T x;
    std::memcpy(&x, &word, sizeof(T));
    return x;
}

}  // namespace emulator

#include "races.h"

// --- functions of device code; those of the host are in runtime.h ------------------------------

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::meet({emulator::Scope::kBlock, "__syncthreads", ~0u, 0, file, line});
}

inline int __syncthreads_and(int predicate, const char* file = __builtin_FILE(),
                             int line = __builtin_LINE()) {
    return *emulator::meet({emulator::Scope::kBlock, "__syncthreads_and", ~0u, 0, file, line},
                           predicate != 0) != 0;
}

// Of `count` threads, wherever they call it.
inline void __barrier_sync_count(unsigned barrier, unsigned count) {
    emulator::meet({emulator::Scope::kWarps, "__barrier_sync_count", barrier,
                    static_cast<int>(count), __FILE__, 0});
}

inline void __syncwarp(unsigned mask = ~0u, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
    emulator::meet({emulator::Scope::kWarp, "__syncwarp", mask, 0, file, line});
}

template <class T>
T __shfl_sync(unsigned mask, T x, int source, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
    const uint64_t* all = emulator::meet(
        {emulator::Scope::kWarp, "__shfl_sync", mask, 0, file, line}, emulator::to_word(x));
    return emulator::from_word<T>(all[source % 32]);
}

// CUDA lets each lane have a `distance` of its own; here, to catch lanes that are in different
// steps of a butterfly, those with different ones do not meet.
template <class T>
T __shfl_xor_sync(unsigned mask, T x, int distance, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
    const uint64_t* all =
        emulator::meet({emulator::Scope::kWarp, "__shfl_xor_sync", mask, distance, file, line},
                       emulator::to_word(x));
    return emulator::from_word<T>(all[(threadIdx.x ^ distance) % 32]);
}

template <class T>
T __shfl_up_sync(unsigned mask, T x, unsigned distance, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
    const uint64_t* all = emulator::meet(
        {emulator::Scope::kWarp, "__shfl_up_sync", mask, static_cast<int>(distance), file, line},
        emulator::to_word(x));
    const unsigned lane = threadIdx.x % 32;
    return lane < distance ? x : emulator::from_word<T>(all[lane - distance]);
}

inline unsigned __ballot_sync(unsigned mask, bool predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
    const uint64_t* all =
        emulator::meet({emulator::Scope::kWarp, "__ballot_sync", mask, 0, file, line}, predicate);
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i) bits |= (mask >> i & all[i]) << i;
    return bits;
}

template <class T>
using Same = typename std::common_type<T>::type;  // leaves T to be deduced from the pointer

// An atomic operation is one for races.h, whatever its accesses are.
#define EMULATED_ATOMIC \
    template <class T>  \
    __attribute__((noinline, no_sanitize("thread"))) T

namespace emulator {

EMULATED_ATOMIC exchange(T* p, T x, const void* where) {
    on_atomic(p, sizeof(T), where);
    const T old = *p;
    *p = x;
    return old;
}

}  // namespace emulator

EMULATED_ATOMIC atomicExch(T* p, Same<T> x) {
    return emulator::exchange<T>(p, x, __builtin_return_address(0));
}

EMULATED_ATOMIC atomicAdd(T* p, Same<T> x) {
    if (std::is_same<T, unsigned long long>::value) emulator::count_addition();
    return emulator::exchange<T>(p, *p + x, __builtin_return_address(0));
}

EMULATED_ATOMIC atomicMin(T* p, Same<T> x) {
    return emulator::exchange<T>(p, *p < x ? *p : T(x), __builtin_return_address(0));
}

EMULATED_ATOMIC atomicCAS(T* p, Same<T> expected, Same<T> x) {
    return emulator::exchange<T>(p, *p == expected ? x : *p, __builtin_return_address(0));
}

template <class T>
T __ldcg(const T* p) {
    return *p;
}

struct alignas(8) float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

template <class T>
T __ldcs(const T* p) {
    emulator::count_streamed(sizeof(T));
    return *p;
}

inline float __fmaf_rn(float a, float b, float c) {
    return std::fma(a, b, c);
}

inline unsigned __float_as_uint(float x) {
    return emulator::from_word<unsigned>(emulator::to_word(x));
}

inline float __uint_as_float(unsigned bits) {
    return emulator::from_word<float>(emulator::to_word(bits));
}

// Byte i of the result is byte selector >> 4 i of low and high.
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
    const uint64_t bytes = uint64_t{high} << 32 | low;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i) {
        result |= static_cast<unsigned>(bytes >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
    }
    return result;
}

namespace emulator {

// What mma.m16n8k16 does with bfloat16, see csrc/cuda/tensor_cores.cuh; a GPU may add up in another
// order.
inline void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                         const char* file, int line) {
    const uint64_t words[] = {uint64_t{a[1]} << 32 | a[0], uint64_t{a[3]} << 32 | a[2],
                              uint64_t{b[1]} << 32 | b[0]};
    uint64_t all[3][32];
    for (int i = 0; i < 3; ++i) {
        const Call call{Scope::kWarp, "mma", ~0u, i, file, line};
        std::copy_n(meet(call, words[i]), 32, all[i]);
    }
    const auto number = [](uint64_t word, int position) {
        return from_word<float>(word >> 16 * position << 16 & 0xFFFF0000u);
    };
    const int g = static_cast<int>(threadIdx.x % 32) / 4, t = static_cast<int>(threadIdx.x % 4);
    for (int i = 0; i < 4; ++i) {
        const int row_half = i / 2, column = 2 * t + i % 2;
        for (int step = 0; step < 16; ++step) {
            const int half = step / 8, holder = step % 8 / 2, odd = step % 2;
            d[i] = std::fma(number(all[half][4 * g + holder], 2 * row_half + odd),
                            number(all[2][4 * column + holder], 2 * half + odd), d[i]);
        }
    }
}

}  // namespace emulator

inline void __threadfence() {}

inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}

inline int __ffs(int x) {
    return __builtin_ffs(x);
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}

#include "runtime.h"
