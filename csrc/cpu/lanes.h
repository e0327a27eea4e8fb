// The 32 lanes of a CPU core: 2 x 16, 4 x 8 or 8 x 4 floats in SIMD registers, depending on the
// width that the build names for this instruction set (CML_VECTOR_FLOATS). The arithmetic uses the
// vector extensions of GCC and Clang; the square root, the shuffles and a few other operations need
// more.
#pragma once

#include "../core/lanes.h"
#include "../core/workspace.h"
#include "sieve.h"

#ifndef CML_VECTOR_FLOATS
#define CML_VECTOR_FLOATS 4
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace cml {
inline namespace CML_TARGET {

struct Lanes {
    struct Negatives;  // negatives.h
    using Sieve = CML_TARGET::Sieve;
    static constexpr int kWidth = CML_VECTOR_FLOATS;
    static constexpr int kVectors = kLanes / kWidth;
    static constexpr int kRowsAtOnce = kWidth / 4;  // 8 vectors of sums
    static constexpr int kPairsAtOnce = 16;
    static constexpr bool kHoldsRow = kWidth == 16;  // AVX-512 has 32 registers
    static constexpr int kRowsTransposed = kWidth;
    static constexpr bool kPrefetches = true;
    static constexpr int kProductRows = kWidth == 16 ? 8 : kWidth == 8 ? 3 : 1;
    static constexpr int kProductChunks = 1;
    static constexpr int kStepsAtOnce = 1;
    static constexpr bool kHasTensorCores = false;
    static constexpr InLane kInLane = InLane::kPair;
    typedef float Vector __attribute__((vector_size(kWidth * 4), may_alias));
    typedef int32_t Mask __attribute__((vector_size(kWidth * 4)));

    // Vectors of half as many lanes in double precision, which fill a register as well.
    typedef float HalfVector __attribute__((vector_size(kWidth * 2), may_alias));
    typedef double Doubles __attribute__((vector_size(kWidth * 4)));
    typedef int64_t Integers __attribute__((vector_size(kWidth * 4), may_alias));

    struct Half {};            // the lower 16 lanes: rows are padded with zeros to so many
    struct Quarter : Half {};  // of these only the lower 8 are not 0

    Vector v[kVectors];

    static constexpr int vectors(Full) { return kVectors; }
    static constexpr int vectors(Half) { return kVectors / 2; }

    static CML_FN Lanes splat(float x) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = x - Vector{};  // a scalar spreads
        return r;
    }

    template <class Part>
    static CML_FN Lanes load(const float* p, Part part) {
        Lanes r = splat(0.0f);
        for (int i = 0; i < vectors(part); ++i) {
            r.v[i] = *reinterpret_cast<const Vector*>(p + i * kWidth);
        }
        return r;
    }

    template <class Part>
    CML_FN void store(float* p, Part part) const {
        for (int i = 0; i < vectors(part); ++i) {
            *reinterpret_cast<Vector*>(p + i * kWidth) = v[i];
        }
    }

    template <class Part>
    CML_FN void add(const Lanes& b, Part part) {
        for (int i = 0; i < vectors(part); ++i) v[i] += b.v[i];
    }

    // += a * b, rounded once.
    template <class Part>
    CML_FN void add_product(float a, const Lanes& b, Part part) {
        for (int i = 0; i < vectors(part); ++i) v[i] = fused(a - Vector{}, b.v[i], v[i]);
    }
#if CML_VECTOR_FLOATS == 16
    // Half a register: processors that compute with 256 bits at a time take half the time.
    CML_FN void add_product(float a, const Lanes& b, Quarter) {
        v[0] = _mm512_zextps256_ps512(
            _mm256_fmadd_ps(_mm256_set1_ps(a), half<0>(b.v[0]), half<0>(v[0])));
    }
#else
    CML_FN void add_product(float a, const Lanes& b, Quarter) {
        for (int i = 0; i < 8 / kWidth; ++i) v[i] = fused(a - Vector{}, b.v[i], v[i]);
    }
#endif

    friend CML_FN Lanes operator+(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] + b.v[i];
        return r;
    }
    friend CML_FN Lanes operator-(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] - b.v[i];
        return r;
    }
    friend CML_FN Lanes operator*(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] * b.v[i];
        return r;
    }
    friend CML_FN Lanes operator/(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] / b.v[i];
        return r;
    }
    friend CML_FN Lanes sqrt(const Lanes& a) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = square_root_of(a.v[i]);
        return r;
    }

    friend CML_FN Lanes fma(const Lanes& a, const Lanes& b, const Lanes& c) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = fused(a.v[i], b.v[i], c.v[i]);
        return r;
    }
    friend CML_FN Lanes larger(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = larger(a.v[i], b.v[i]);
        return r;
    }
    friend CML_FN Lanes smaller(const Lanes& a, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
        return r;
    }
    friend CML_FN Lanes keep_where_above(const Lanes& a, float x, const Lanes& b) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) r.v[i] = a.v[i] > x - Vector{} ? b.v[i] : Vector{};
        return r;
    }
    friend CML_FN Lanes times_power_of_two(const Lanes& a, const Lanes& shifted) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) {
            r.v[i] =
                reinterpret_cast<Vector>(reinterpret_cast<Mask>(a.v[i]) +
                                         (reinterpret_cast<Mask>(shifted.v[i]) << kMantissaBits));
        }
        return r;
    }
    friend CML_FN Lanes mantissa(const Lanes& a) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) {
            r.v[i] = reinterpret_cast<Vector>((reinterpret_cast<Mask>(a.v[i]) & kMantissaMask) |
                                              kBitsOfOne);
        }
        return r;
    }
    friend CML_FN Lanes exponent(const Lanes& a) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) {
            const Mask biased = reinterpret_cast<Mask>(a.v[i]) >> kMantissaBits;
            r.v[i] = __builtin_convertvector(biased - kExponentBias, Vector);
        }
        return r;
    }

    static CML_FN Lanes look_up(const float* table, const Lanes& a) {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) {
            for (int k = 0; k < kWidth; ++k) r.v[i][k] = table[static_cast<int32_t>(a.v[i][k])];
        }
        return r;
    }

    template <class F>
    static CML_FN void last_part(int n_dims, F f) {
        if (n_dims <= kLanes / 2) {
            f(Half{});
        } else {
            f(Full{});
        }
    }

    template <class F>
    static CML_FN void last_product_part(int n_dims, F f) {
        if (n_dims <= kLanes / 4) {
            f(Quarter{});
        } else {
            last_part(n_dims, f);
        }
    }

    // The butterfly for 1, 2 or 4 sums at once. At the end of a butterfly all lanes have the same
    // value, so each fold keeps only half of the lanes and packs the halves of two vectors into
    // one.
    template <int n>
    static CML_FN void sum(const Lanes (&a)[n], float (&out)[n]) {
        static_assert(n == 1 || n == 2 || n == 4, "folds work in pairs");
        Vector folded[n];
        for (int g = 0; g < n; ++g) {
            Vector t[kVectors];
            for (int i = 0; i < kVectors; ++i) t[i] = a[g].v[i];
            for (int half = kVectors / 2; half > 0; half /= 2) {
                for (int i = 0; i < half; ++i) t[i] += t[i + half];
            }
            folded[g] = t[0];
        }
        if constexpr (n == 1) {
            out[0] = sum_of(folded[0]);
        } else {
            fold<kWidth / 2, n>(folded);
            for (int g = 0; g < n; ++g) out[g] = folded[0][g];
        }
    }

    // Rounded to multiples of unit = 1 / scale, a power of two: a sum (see below) of one number. A
    // float that is not small is such a multiple. Adding 0 makes -0 to 0, like an integer.
    CML_FN Lanes rounded(float scale, float unit) const {
        Lanes r;
        for (int i = 0; i < kVectors; ++i) {
            r.v[i] = (nearest_integer(v[i] * scale) + Vector{}) * unit;
        }
        return r;
    }

    // Sums of rounded numbers, one a lane (see FixedPoint in core/job.h).
    struct Sums {
        Integers v[2 * kVectors];

        // += a * scale, rounded to the nearest integer, for |a * scale| up to 2^50.
        template <class Part>
        CML_FN void add(const Lanes& a, float scale, Part part) {
            for (int i = 0; i < vectors(part); ++i) {
                v[2 * i] += rounded(half<0>(a.v[i]), scale);
                v[2 * i + 1] += rounded(half<1>(a.v[i]), scale);
            }
        }

        // The sums times unit, a power of two, rounded to float once.
        template <class Part>
        CML_FN Lanes times(float unit, Part part) const {
            Lanes r = splat(0.0f);
            for (int i = 0; i < vectors(part); ++i) {
                r.v[i] = join(__builtin_convertvector(v[2 * i], HalfVector) * unit,
                              __builtin_convertvector(v[2 * i + 1], HalfVector) * unit);
            }
            return r;
        }
    };

    template <class F>
    static CML_FN void each(int n, F f) {
        for (int i = 0; i < n; ++i) f(i);
    }

    // The first n elements of kRowsTransposed rows as columns; the rows are padded to kWidth.
    static CML_FN void transpose(const float* rows, int64_t stride, float* columns,
                                 int64_t column_stride, int n) {
        for (int d = 0; d < n; d += kWidth) {
            Vector x[kWidth];
            CML_UNROLL
            for (int i = 0; i < kWidth; ++i) {
                x[i] = *reinterpret_cast<const Vector*>(rows + i * stride + d);
            }
            transpose<1>(x);
            CML_UNROLL
            for (int i = 0; i < kWidth; ++i) {
                *reinterpret_cast<Vector*>(columns + (d + i) * column_stride) = x[i];
            }
        }
    }

    static CML_FN float largest(const Lanes& a) {
        Vector most = Vector{};
        for (int i = 0; i < kVectors; ++i) most = larger(a.v[i], most);  // NaN compares false
        return largest_of<kWidth / 2>(most);
    }

    static CML_FN uint32_t where_above(const Lanes& a, float x) {
        const Lanes b = splat(x);
        uint32_t bits = 0;
        for (int i = 0; i < kVectors; ++i) bits |= bits_of(a.v[i] > b.v[i]) << i * kWidth;
        return bits;
    }

    static CML_FN uint32_t where_equal(const Lanes& a, float x) {
        const Lanes b = splat(x);
        uint32_t bits = 0;
        for (int i = 0; i < kVectors; ++i) bits |= bits_of(a.v[i] == b.v[i]) << i * kWidth;
        return bits;
    }

    template <class T>
    static CML_FN void put(T* p, T x) {
        *p = x;
    }

    template <int n>
    static CML_FN void store(float* p, const float (&x)[n]) {
        for (int i = 0; i < n; ++i) p[i] = x[i];
    }

    static CML_FN void sync() {}

    // Into L2: the rows of two pairs are too much for L1.
    template <class T>
    static CML_FN void prefetch_one(const T* p) {
        constexpr int kToRead = 0, kIntoL2 = 2;
        __builtin_prefetch(p, kToRead, kIntoL2);
    }

    template <class Part>
    static CML_FN void prefetch(const float* p, Part part) {
        for (int i = 0; i < vectors(part) * kWidth; i += kRowAlignment) prefetch_one(p + i);
    }

    // All likes of a user, or enough of many for the last steps of a search.
    static CML_FN void prefetch_likes(const int32_t* p, int32_t n) {
        constexpr int kMostLikes = 256;
        for (int i = 0; i < n && i < kMostLikes; i += kRowAlignment) prefetch_one(p + i);
    }

 private:
#if defined(__x86_64__)
    static constexpr int kToNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
#endif

    static CML_FN Vector larger(const Vector& a, const Vector& b) { return a > b ? a : b; }

    template <int kShift>
    static CML_FN float largest_of(const Vector& a) {
        const Vector most = larger(a, pick<kShift>(a, a, kShift));
        if constexpr (kShift > 1) {
            return largest_of<kShift / 2>(most);
        } else {
            return most[0];
        }
    }

    // One bit for each lane of a comparison, whose lanes are 0 or -1.
    static CML_FN uint32_t bits_of(const Mask& mask) {
#if CML_VECTOR_FLOATS == 16
        return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask));
#elif CML_VECTOR_FLOATS == 8
        return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
#elif defined(__x86_64__)
        return static_cast<uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(mask)));
#else
        uint32_t bits = 0;
        for (int i = 0; i < kWidth; ++i) bits |= (mask[i] != 0 ? 1u : 0u) << i;
        return bits;
#endif
    }

    template <int i>
    static CML_FN HalfVector half(const Vector& x) {
#if CML_VECTOR_FLOATS == 16
        if constexpr (i == 0) return _mm512_castps512_ps256(x);
        return _mm512_extractf32x8_ps(x, i);
#elif CML_VECTOR_FLOATS == 8
        return _mm256_extractf128_ps(x, i);
#else
        return HalfVector{x[2 * i], x[2 * i + 1]};
#endif
    }

    static CML_FN Vector join(const HalfVector& a, const HalfVector& b) {
#if CML_VECTOR_FLOATS == 16
        return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
#elif CML_VECTOR_FLOATS == 8
        return _mm256_set_m128(b, a);
#else
        return Vector{a[0], a[1], b[0], b[1]};
#endif
    }

    static CML_FN Integers rounded(const HalfVector& x, float scale) {
#if CML_VECTOR_FLOATS == 16
        return reinterpret_cast<Integers>(_mm512_cvtps_epi64(x * scale));
#else
        // Doubles around 1.5 * 2^52 are 1 apart, so adding this rounds to an integer.
        const Doubles shift = 0x1.8p52 - Doubles{};
        const Doubles shifted = __builtin_convertvector(x, Doubles) * double{scale} + shift;
        return reinterpret_cast<Integers>(shifted) - reinterpret_cast<Integers>(shift);
#endif
    }

    static CML_FN Vector nearest_integer(const Vector& x) {
#if CML_VECTOR_FLOATS == 16
        // The masked form, as for the square root.
        return _mm512_maskz_roundscale_ps(0xFFFF, x, kToNearest);
#elif CML_VECTOR_FLOATS == 8
        return _mm256_round_ps(x, kToNearest);
#elif defined(__x86_64__)
        return _mm_round_ps(x, kToNearest);
#elif defined(__aarch64__)
        return vrndnq_f32(x);
#else
        Vector r;
        for (int i = 0; i < kWidth; ++i) r[i] = __builtin_rintf(x[i]);
        return r;
#endif
    }

    // a * b + c, rounded once.
    static CML_FN Vector fused(const Vector& a, const Vector& b, const Vector& c) {
#if CML_VECTOR_FLOATS == 16
        return _mm512_fmadd_ps(a, b, c);
#elif CML_VECTOR_FLOATS == 8
        return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
        return vfmaq_f32(c, a, b);
#else
        return join(fused_in_doubles(half<0>(a), half<0>(b), half<0>(c)),
                    fused_in_doubles(half<1>(a), half<1>(b), half<1>(c)));
#endif
    }

    // The same for machines without such an instruction. A product of floats is exact in double
    // precision. Its sum with c is rounded to odd (Boldo and Melquiond, "Emulation of FMA and
    // correctly rounded sums", 2008), so that rounding it again, to float, gives the same result as
    // rounding once.
    static CML_FN HalfVector fused_in_doubles(const HalfVector& a, const HalfVector& b,
                                              const HalfVector& c) {
        const Doubles product =
            __builtin_convertvector(a, Doubles) * __builtin_convertvector(b, Doubles);
        const Doubles addend = __builtin_convertvector(c, Doubles);
        const Doubles sum = product + addend;
        const Doubles part = sum - product;  // what is missing, exactly: Knuth's TwoSum
        const Doubles rest = (product - (sum - part)) + (addend - part);
        const Integers bits = reinterpret_cast<Integers>(sum);
        // An inexact sum whose last bit is even is replaced by its odd neighbour towards `rest`.
        const Integers inexact = (rest < Doubles{}) | (rest > Doubles{});
        const Integers away = (rest < Doubles{}) ^ (bits < 0);  // -1: towards zero
        const Integers step = away | 1;
        return __builtin_convertvector(
            reinterpret_cast<Doubles>(bits + (step & inexact & ((bits & 1) - 1))), HalfVector);
    }

    static CML_FN Vector square_root_of(const Vector& x) {
#if CML_VECTOR_FLOATS == 16
        // The masked form: GCC 12 warns about the undefined source of the plain one.
        return _mm512_maskz_sqrt_ps(0xFFFF, x);
#elif CML_VECTOR_FLOATS == 8
        return _mm256_sqrt_ps(x);
#elif defined(__x86_64__)
        return _mm_sqrt_ps(x);
#elif defined(__aarch64__)
        return vsqrtq_f32(x);
#else
        Vector r;
        for (int i = 0; i < kWidth; ++i) r[i] = square_root(x[i]);
        return r;
#endif
    }

    // The rest of the butterfly for one sum, in ever smaller vectors.
    static CML_FN float sum_of(const Vector& x) {
#if defined(__x86_64__)
#if CML_VECTOR_FLOATS == 16
        const __m256 w = half<0>(x) + half<1>(x);
        const __m128 y = _mm256_castps256_ps128(w) + _mm256_extractf128_ps(w, 1);
#elif CML_VECTOR_FLOATS == 8
        const __m128 y = half<0>(x) + half<1>(x);
#else
        const __m128 y = x;
#endif
        const __m128 z = y + _mm_movehl_ps(y, y);
        return z[0] + z[1];
#else
        Vector folded[1] = {x};
        fold<kWidth / 2, 1>(folded);
        return folded[0][0];
#endif
    }

    // Each vector holds blocks of 2 * kShift lanes, one block a sum: add the two halves of every
    // block and pack the results of two vectors into one.
    template <int kShift, int n>
    static CML_FN void fold(Vector* x) {
        for (int i = 0; i < (n + 1) / 2; ++i) {
            const Vector& a = x[2 * i];
            const Vector& b = x[n > 1 ? 2 * i + 1 : 0];
            x[i] = pick<kShift>(a, b, 0) + pick<kShift>(a, b, kShift);
        }
        if constexpr (kShift > 1) fold<kShift / 2, (n + 1) / 2>(x);
    }

    template <int kShift>
    static CML_FN Vector pick(const Vector& a, const Vector& b, int offset) {
        Mask mask;
        for (int i = 0; i < kWidth; ++i) {
            // Lane i of the result is lane i % kShift of block i / kShift, counted over a and b.
            mask[i] = i / kShift * 2 * kShift + i % kShift + offset;
        }
        return shuffled(a, b, mask);
    }

    // Lanes of a and b, counted one after another.
    static CML_FN Vector shuffled(const Vector& a, const Vector& b, const Mask& mask) {
#if defined(__clang__)
        Vector r;
        for (int i = 0; i < kWidth; ++i) {
            r[i] = mask[i] < kWidth ? a[mask[i]] : b[mask[i] - kWidth];
        }
        return r;
#else
        return __builtin_shuffle(a, b, mask);
#endif
    }

    // The steps of a transposition from kShift on: each swaps one bit of the number of the row with
    // that of the lane.
    template <int kShift>
    static CML_FN void transpose(Vector* x) {
        Mask low, high;
        for (int j = 0; j < kWidth; ++j) {
            const bool second = j & kShift;
            low[j] = second ? kWidth + j - kShift : j;
            high[j] = second ? kWidth + j : j + kShift;
        }
        CML_UNROLL
        for (int i = 0; i < kWidth; ++i) {
            if (i & kShift) continue;
            const Vector a = x[i], b = x[i + kShift];
            x[i] = shuffled(a, b, low);
            x[i + kShift] = shuffled(a, b, high);
        }
        if constexpr (2 * kShift < kWidth) transpose<2 * kShift>(x);
    }
};

}  // namespace CML_TARGET
}  // namespace cml
