// What the core needs to be compiled from one source for several CPU instruction sets and for CUDA.
#pragma once

#include <cstdint>
#include <cstring>

// CML_FN marks functions of the core, which are inlined. CML_LARGE_FN marks those that are too
// large for that; on CUDA they are inlined too, because a call would put its arguments into local
// memory. CUDA sources call the core in kernels only.
//
// CML_UNROLL unrolls a loop of constant length, CML_UNROLL_ANY_LENGTH one whose length is known at
// run time only. On the CPU the latter stay loops: unrolled, they take several times as long to
// compile and run no faster. CML_NO_UNROLL keeps nvcc from unrolling a loop, for which it takes
// registers.
#if defined(__CUDACC__)
#define CML_FN __device__ __forceinline__
#define CML_LARGE_FN CML_FN
#define CML_INLINE_LAMBDA
#define CML_UNROLL _Pragma("unroll")
#define CML_UNROLL_ANY_LENGTH CML_UNROLL
#define CML_NO_UNROLL _Pragma("unroll 1")
#else
#define CML_NO_UNROLL
#define CML_UNROLL_ANY_LENGTH
#define CML_FN inline __attribute__((always_inline))
#define CML_LARGE_FN __attribute__((noinline))
#define CML_INLINE_LAMBDA __attribute__((always_inline))
#if defined(__clang__)
#define CML_UNROLL _Pragma("unroll")
#else
#define CML_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

// The build names its target (CML_TARGET=x86_64_v3, cuda, ...), and every function of the core is
// in a namespace of that name. Without it the linker would keep one copy of each inline function
// for all instruction sets, possibly one that this machine cannot run.
#ifndef CML_TARGET
#define CML_TARGET portable
#endif

namespace cml {
inline namespace CML_TARGET {

// Correctly rounded on both sides (nvcc: --prec-sqrt=true, its default).
CML_FN float square_root(float x) {
#if defined(__CUDACC__)
    return sqrtf(x);
#else
    return __builtin_sqrtf(x);
#endif
}

CML_FN uint32_t bits_of(float x) {
#if defined(__CUDACC__)
    return __float_as_uint(x);
#else
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits;
#endif
}

CML_FN float float_of(uint32_t bits) {
#if defined(__CUDACC__)
    return __uint_as_float(bits);
#else
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
#endif
}

CML_FN int count_bits(uint32_t bits) {
#if defined(__CUDACC__)
    return __popc(bits);
#else
    return __builtin_popcount(bits);
#endif
}

// The position of the lowest bit; there must be one.
CML_FN int lowest_bit(uint32_t bits) {
#if defined(__CUDACC__)
    return __ffs(static_cast<int>(bits)) - 1;
#else
    return __builtin_ctz(bits);
#endif
}

struct Product {
    uint64_t high, low;
};

// All 128 bits of a product, in one instruction where there is one.
CML_FN Product multiply(uint64_t a, uint64_t b) {
#if defined(__CUDACC__)
    return {__umul64hi(a, b), a * b};
#else
    const auto product = static_cast<unsigned __int128>(a) * b;
    return {static_cast<uint64_t>(product >> 64), static_cast<uint64_t>(product)};
#endif
}

}  // namespace CML_TARGET
}  // namespace cml
