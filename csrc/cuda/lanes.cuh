// The 32 lanes of a warp: each thread holds one float of the 32.
#pragma once

#include "../core/lanes.h"
#include "../core/product.h"
#include "../core/workspace.h"

namespace cml {
inline namespace CML_TARGET {

constexpr unsigned kAllLanes = 0xFFFFFFFFu;  // the mask of a warp

struct Lanes {
    struct Part {
        int count;  // the lanes below it
    };
    struct Negatives;  // negatives.cuh

    static constexpr int kRowsAtOnce = 4;
    static constexpr int kPairsAtOnce = 1;
    static constexpr int kProductRows = 8;
    static constexpr int kProductChunks = 2;
    static constexpr int kStepsAtOnce = 4;
    static constexpr bool kHasTensorCores = true;
    static constexpr InLane kInLane = InLane::kNegative;
    static constexpr bool kHoldsRow = true;
    static constexpr int kRowsTransposed = 1;
    static constexpr bool kPrefetches = false;  // while a warp waits for its rows, others compute

    float x;

    static CML_FN int lane() {
#if defined(__CUDA_ARCH__)
        // threadIdx.x % kLanes. If nvcc knew that this is below 32, it would make lane + 32 c a
        // bitwise or, which cannot be part of an address, and keep it for each c: 40 registers.
        int lane;
        asm("and.b32 %0, %1, %2;" : "=r"(lane) : "r"(threadIdx.x), "n"(kLanes - 1));
        return lane;
#else
        return static_cast<int>(threadIdx.x % kLanes);
#endif
    }

    static CML_FN bool holds(Full) { return true; }
    static CML_FN bool holds(Part part) { return lane() < part.count; }

    static CML_FN Lanes splat(float x) { return {x}; }

    template <class P>
    static CML_FN Lanes load(const float* p, P part) {
        return {holds(part) ? p[lane()] : 0.0f};
    }

    template <class P>
    CML_FN void store(float* p, P part) const {
        if (holds(part)) p[lane()] = x;
    }

    template <class P>
    CML_FN void add(Lanes b, P) {
        x += b.x;  // lanes outside the part hold zeros
    }

    template <class P>
    CML_FN void add_product(float a, Lanes b, P) {
        x = __fmaf_rn(a, b.x, x);
    }

    friend CML_FN Lanes operator+(Lanes a, Lanes b) { return {a.x + b.x}; }
    friend CML_FN Lanes operator-(Lanes a, Lanes b) { return {a.x - b.x}; }
    friend CML_FN Lanes operator*(Lanes a, Lanes b) { return {a.x * b.x}; }
    friend CML_FN Lanes operator/(Lanes a, Lanes b) { return {a.x / b.x}; }
    friend CML_FN Lanes sqrt(Lanes a) { return {square_root(a.x)}; }

    friend CML_FN Lanes fma(Lanes a, Lanes b, Lanes c) { return {__fmaf_rn(a.x, b.x, c.x)}; }
    friend CML_FN Lanes larger(Lanes a, Lanes b) { return {a.x > b.x ? a.x : b.x}; }
    friend CML_FN Lanes smaller(Lanes a, Lanes b) { return {a.x < b.x ? a.x : b.x}; }
    friend CML_FN Lanes keep_where_above(Lanes a, float x, Lanes b) {
        return {a.x > x ? b.x : 0.0f};
    }
    friend CML_FN Lanes times_power_of_two(Lanes a, Lanes shifted) {
        return {
            __uint_as_float(__float_as_uint(a.x) + (__float_as_uint(shifted.x) << kMantissaBits))};
    }
    friend CML_FN Lanes mantissa(Lanes a) {
        return {__uint_as_float((__float_as_uint(a.x) & kMantissaMask) | kBitsOfOne)};
    }
    friend CML_FN Lanes exponent(Lanes a) {
        const int32_t biased = static_cast<int32_t>(__float_as_uint(a.x)) >> kMantissaBits;
        return {static_cast<float>(biased - kExponentBias)};
    }

    static CML_FN Lanes look_up(const float* table, Lanes a) {
        return {table[static_cast<int32_t>(a.x)]};
    }

    template <class F>
    static CML_FN void last_part(int n_dims, F f) {
        f(Part{n_dims});
    }
    template <class F>
    static CML_FN void last_product_part(int n_dims, F f) {
        last_part(n_dims, f);
    }

    template <int n>
    static CML_FN void sum(const Lanes (&a)[n], float (&out)[n]) {
        CML_UNROLL
        for (int g = 0; g < n; ++g) out[g] = a[g].x;
        CML_UNROLL
        for (int shift = kLanes / 2; shift > 0; shift /= 2) {
            CML_UNROLL
            for (int g = 0; g < n; ++g) out[g] += __shfl_xor_sync(kAllLanes, out[g], shift);
        }
    }

    // An integer of a lane. Two's complement: an unsigned sum has the bits of a signed one.
    using Sum = unsigned long long;

    // a * scale, rounded to the nearest integer.
    static CML_FN Sum rounded(Lanes a, float scale) {
        return static_cast<Sum>(llrintf(a.x * scale));
    }

    // p[lane] += sum, atomically.
    template <class P>
    static CML_FN void add_sum(int64_t* p, Sum sum, P part) {
        if (holds(part)) atomicAdd(reinterpret_cast<Sum*>(p + lane()), sum);
    }

    // These sums times unit, a power of two, rounded to float once. They become zero.
    template <class P>
    static CML_FN Lanes take_sums(int64_t* p, float unit, P part) {
        if (!holds(part)) return {0.0f};
        const int64_t sum = __ldcg(reinterpret_cast<long long*>(p) + lane());
        p[lane()] = 0;
        return {static_cast<float>(sum) * unit};
    }

    template <class F>
    static CML_FN void each(int n, F f) {
        for (int i = lane(); i < n; i += kLanes) f(i);
    }

    // To look for an item takes less time than to ask a sieve first.
    struct Sieve {
        CML_FN Sieve(const int32_t*, int) {}

        template <class F>
        CML_FN void each_candidate(const int32_t* items, int64_t n, F f) const {
            each(static_cast<int>(n), [=](int i) { f(items[i]); });
        }
    };

    template <class P>
    CML_FN void store_column(float* p, int64_t stride, P part) const {
        if (holds(part)) p[lane() * stride] = x;
    }

    // Lane i of x[m] is p[i * stride + m].
    template <int n>
    static CML_FN void load_columns(const float* p, int64_t stride, Lanes (&x)[n]) {
        static_assert(n % 4 == 0, "they are loaded by four");
        CML_UNROLL
        for (int m = 0; m < n; m += 4) {
            float four[4];
            load_four(p + lane() * stride + m, four);
            CML_UNROLL
            for (int i = 0; i < 4; ++i) x[m + i].x = four[i];
        }
    }

    // Four floats in one load; the address is a multiple of 16 bytes.
    static CML_FN void load_four(const float* p, float (&x)[4]) {
        const float4 four = *reinterpret_cast<const float4*>(p);
        x[0] = four.x;
        x[1] = four.y;
        x[2] = four.z;
        x[3] = four.w;
    }

    // This product is in tensor_cores.cuh.
    template <int kChunks, int kStepStride>
    static CML_FN void multiply(Lanes (&of)[kChunks][kProductRows], int n,
                                BlockOperand<kStepStride> a, const Fragments& b, int64_t first);

    // The upper half of the bits, of a bfloat16 all that there are.
    template <class F>
    CML_FN void store_bfloat16(F at) const {
        *at(lane()) = static_cast<uint16_t>(__float_as_uint(x) >> 16);
    }

    static CML_FN float largest(Lanes a) {
        a.x = fmaxf(a.x, 0.0f);  // which passes over NaN
        CML_UNROLL
        for (int shift = kLanes / 2; shift > 0; shift /= 2) {
            a.x = fmaxf(a.x, __shfl_xor_sync(kAllLanes, a.x, shift));
        }
        return a.x;
    }

    static CML_FN uint32_t where_above(Lanes a, float x) {
        return __ballot_sync(kAllLanes, a.x > x);
    }

    static CML_FN uint32_t where_equal(Lanes a, float x) {
        return __ballot_sync(kAllLanes, a.x == x);
    }

    template <class T>
    static CML_FN void put(T* p, T x) {
        if (lane() == 0) *p = x;
    }

    template <int n>
    static CML_FN void store(float* p, const float (&x)[n]) {
        CML_UNROLL
        for (int i = 0; i < n; ++i) {
            if (lane() == i) p[i] = x[i];
        }
    }

    static CML_FN void sync() { __syncwarp(); }

    template <class P>
    static CML_FN void prefetch(const float*, P) {}
    static CML_FN void prefetch_one(const float*) {}

    static CML_FN void prefetch_likes(const int32_t*, int32_t) {}
};

// How warps read and write rows of the tables: the `Memory` of the core. If several warps run, each
// adds its change to the row atomically, so that no update is lost. A single warp stores the new
// row, so its results are repeatable.
struct DeviceMemory {
    bool shared;

    // Read from L2: L1 is not coherent and could return an old version of a popular row.
    template <class P>
    CML_FN Lanes load(const float* p, P part) const {
        return {Lanes::holds(part) ? __ldcg(p + Lanes::lane()) : 0.0f};
    }

    template <class P>
    CML_FN void commit(float* p, Lanes before, Lanes after, P part) const {
        if (!Lanes::holds(part)) return;
        p += Lanes::lane();
        if (shared) {
            atomicAdd(p, after.x - before.x);
        } else {
            *p = after.x;
        }
    }

    // A float for a whole row, the same for all lanes.
    CML_FN float load_one(const float* p) const { return __ldcg(p); }
    CML_FN void commit_one(float* p, float before, float after) const {
        __syncwarp();  // all lanes have read it
        if (Lanes::lane() != 0) return;
        if (shared) {
            atomicAdd(p, after - before);
        } else {
            *p = after;
        }
    }
};

}  // namespace CML_TARGET
}  // namespace cml
