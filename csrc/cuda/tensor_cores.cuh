// Products on tensor cores: operands are bfloat16, products of two are exact in float32, and these
// are added up in float32, in an order that depends on the kind of GPU. So results are repeatable
// on GPUs of one kind, but their bits are not those of the CPU.
#pragma once

#include "lanes.cuh"

namespace cml {
inline namespace CML_TARGET {

// d += a b, where a is 16 x 16 (rows x steps), b 16 x 8 (steps x columns) and d 16 x 8. A word has
// two successive steps. With lane = 4 g + t (PTX ISA, mma.m16n8k16):
//
//   a[i], b[i]   steps 2 t and 2 t + 1, and 8 more in a[2], a[3], b[1];
//                a: row g, and 8 more in a[1], a[3]; b: column g
//   d[i]         row g, and 8 more in d[2], d[3]; column 2 t, and one more in d[1], d[3]
CML_FN void multiply_add(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if !defined(__NVCC__)
    emulator::multiply_add(d, a, b, __builtin_FILE(), __builtin_LINE());
#elif !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();  // never launched, see cuda_bfloat16_problem()
#endif
}

// Two bfloat16, which are given as floats, in a word.
CML_FN uint32_t pack(float low, float high) {
    constexpr unsigned kUpperHalves = 0x7632;
    return __byte_perm(__float_as_uint(low), __float_as_uint(high), kUpperHalves);
}

// Two successive steps of an operand.
CML_FN uint32_t load_steps(const float* p, const BlockOperand<1>&) {
    const float2 two = *reinterpret_cast<const float2*>(p);
    return pack(two.x, two.y);
}
template <int kStepStride>
CML_FN uint32_t load_steps(const float* p, const BlockOperand<kStepStride>&) {
    return pack(p[0], p[kStepStride]);
}

// L1 loads sectors of 32 bytes.
CML_FN void prefetch_sector([[maybe_unused]] const void* p) {
#if defined(__CUDA_ARCH__)
    asm volatile("prefetch.L1 [%0];" ::"l"(p));
#endif
}

// The sector of 32 bytes that this lane prefetches of 32 steps of eight rows.
CML_FN const float* sector(const BlockOperand<1>& a) {
    constexpr int kSectors = kFragmentSide / 8;  // of a row
    return a.p + Lanes::lane() / kSectors * a.stride + Lanes::lane() % kSectors * 8;
}
template <int kStepStride>
CML_FN const float* sector(const BlockOperand<kStepStride>& a) {
    return a.p + Lanes::lane() * kStepStride;
}

// x[i] of lane t of each four becomes x[t] of lane i.
CML_FN void exchange(float (&x)[4]) {
    CML_UNROLL
    for (int bit = 1; bit < 4; bit *= 2) {
        const bool upper = (Lanes::lane() & bit) != 0;
        CML_UNROLL
        for (int i = 0; i < 4; ++i) {
            if ((i & bit) != 0) continue;
            const float other = __shfl_xor_sync(kAllLanes, upper ? x[i] : x[i + bit], bit);
            x[i] = upper ? other : x[i];
            x[i + bit] = upper ? x[i + bit] : other;
        }
    }
}

// The rows of `a` are the columns of multiply_add(), and the columns of `b` its rows: column
// 4 g + q of a chunk is row g of the first two sums for q = 0 and 2, and row g + 8 for q = 1 and 3.
template <int kChunks, int kStepStride>
CML_FN void Lanes::multiply(Lanes (&of)[kChunks][kProductRows], int n, BlockOperand<kStepStride> a,
                            const Fragments& b, int64_t first) {
    static_assert(kProductRows == 8, "the columns of multiply_add()");
    constexpr int kHalves = 2, kWords = 4;
    const int g = lane() / 4, t = lane() % 4;
    float sums[kChunks][kHalves][4] = {};
    const float* from = a.p + g * a.stride + 2 * t * kStepStride;
    // One pointer for all chunks takes fewer registers than one for each.
    const uint16_t* of_b = b.block(first, 0) + lane() * kFragmentPiece;
    const int64_t chunk_stride = b.step_blocks * kFragmentBlock;
    // All at once, instead of a trip to L2 for every 32 steps.
    for (int step = 0; step < n; step += kFragmentSide) {
        constexpr int64_t kSector = 32 / sizeof(uint16_t);
        const int64_t block = step / kFragmentSide;
        prefetch_sector(sector(a) + block * a.block_stride);
        CML_UNROLL
        for (int j = 0; j < kChunks; ++j) {
            const uint16_t* const of_block = b.block(first + j, block) + lane() * kSector;
            prefetch_sector(of_block);
            prefetch_sector(of_block + kLanes * kSector);
        }
    }
    // Steps that do not exist are zeros, whatever is in memory.
    const auto add = [&](auto mask) {
        uint32_t x[kWords];
        CML_UNROLL
        for (int w = 0; w < kWords; ++w) x[w] = mask(w, load_steps(from + 8 * w * kStepStride, a));
        CML_UNROLL
        for (int j = 0; j < kChunks; ++j) {
            CML_UNROLL
            for (int h = 0; h < kHalves; ++h) {
                CML_UNROLL
                for (int w = 0; w < kWords; w += 2) {
                    const int piece = h * 2 + w / 2;
                    const uint4 y = *reinterpret_cast<const uint4*>(
                        of_b + j * chunk_stride + piece * kFragmentSide * kFragmentPiece);
                    multiply_add(sums[j][h],
                                 {mask(w, y.x), mask(w, y.y), mask(w + 1, y.z), mask(w + 1, y.w)},
                                 {x[w], x[w + 1]});
                }
            }
        }
        of_b += kFragmentBlock;
        from += a.block_stride;
    };
    CML_NO_UNROLL
    for (; n >= kFragmentSide; n -= kFragmentSide) add([](int, uint32_t two) { return two; });
    if (n > 0) {
        const int left = n - 2 * t;
        add([=](int w, uint32_t two) {
            return left > 8 * w + 1 ? two : left > 8 * w ? two & 0xFFFFu : 0u;
        });
    }
    CML_UNROLL
    for (int j = 0; j < kChunks; ++j) {
        CML_UNROLL
        for (int m = 0; m < 2; ++m) {
            float x[4] = {sums[j][0][m], sums[j][0][m + 2], sums[j][1][m], sums[j][1][m + 2]};
            exchange(x);
            CML_UNROLL
            for (int i = 0; i < 4; ++i) of[j][2 * i + m].x = x[i];
        }
    }
}

}  // namespace CML_TARGET
}  // namespace cml
