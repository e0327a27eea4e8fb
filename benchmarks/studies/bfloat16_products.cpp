// The three matrix products of a tile (128 pairs, 256 negatives) in float32 and in bfloat16, in the
// blocking of the kernels. For docs/studies/kernel-time.md; the argument is the number of
// dimensions.
//
//   g++ -O3 -march=native -mavx512bf16 -ffp-contract=off bfloat16_products.cpp && ./a.out 100
#include <immintrin.h>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>
static double cpu() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
// c[rows x 32*cols] = a (row-major, n terms) times b: 8 rows x 32 columns in registers; the last
// block of columns may be 16 wide.
template <int kV>
static inline void block32(int n, const float* a, int64_t ra, int64_t sa, const float* b,
                           int64_t bs, float* c, int64_t cs) {
    __m512 s[8][kV];
    for (int m = 0; m < 8; ++m)
        for (int v = 0; v < kV; ++v) s[m][v] = _mm512_setzero_ps();
    for (int t = 0; t < n; ++t) {
        __m512 x[kV];
        for (int v = 0; v < kV; ++v) x[v] = _mm512_load_ps(b + t * bs + 16 * v);
        for (int m = 0; m < 8; ++m)
            for (int v = 0; v < kV; ++v)
                s[m][v] = _mm512_fmadd_ps(_mm512_set1_ps(a[m * ra + t * sa]), x[v], s[m][v]);
    }
    for (int m = 0; m < 8; ++m)
        for (int v = 0; v < kV; ++v) _mm512_store_ps(c + m * cs + 16 * v, s[m][v]);
}
// The same with two terms a step: a and b hold pairs of bfloat16 (as 32-bit words).
template <int kV>
static inline void block16(int n2, const uint32_t* a, int64_t ra, int64_t sa, const uint32_t* b,
                           int64_t bs, float* c, int64_t cs) {
    __m512 s[8][kV];
    for (int m = 0; m < 8; ++m)
        for (int v = 0; v < kV; ++v) s[m][v] = _mm512_setzero_ps();
    for (int t = 0; t < n2; ++t) {
        __m512bh x[kV];
        for (int v = 0; v < kV; ++v) x[v] = (__m512bh)_mm512_load_si512(b + t * bs + 16 * v);
        for (int m = 0; m < 8; ++m)
            for (int v = 0; v < kV; ++v)
                s[m][v] = _mm512_dpbf16_ps(s[m][v], (__m512bh)_mm512_set1_epi32(a[m * ra + t * sa]),
                                           x[v]);
    }
    for (int m = 0; m < 8; ++m)
        for (int v = 0; v < kV; ++v) _mm512_store_ps(c + m * cs + 16 * v, s[m][v]);
}
// All of a product: rows x columns, in vectors of 16.
static void product32(int rows, int columns, int n, const float* a, int64_t ra, int64_t sa,
                      const float* b, int64_t bs, float* c, int64_t cs) {
    for (int j = 0; j < columns; j += 32)
        for (int i = 0; i < rows; i += 8)
            if (columns - j > 16)
                block32<2>(n, a + i * ra, ra, sa, b + j, bs, c + i * cs + j, cs);
            else
                block32<1>(n, a + i * ra, ra, sa, b + j, bs, c + i * cs + j, cs);
}
static void product16(int rows, int columns, int n2, const uint32_t* a, int64_t ra, int64_t sa,
                      const uint32_t* b, int64_t bs, float* c, int64_t cs) {
    for (int j = 0; j < columns; j += 32)
        for (int i = 0; i < rows; i += 8)
            if (columns - j > 16)
                block16<2>(n2, a + i * ra, ra, sa, b + j, bs, c + i * cs + j, cs);
            else
                block16<1>(n2, a + i * ra, ra, sa, b + j, bs, c + i * cs + j, cs);
}
// Pairs of successive rows of a float matrix, as one row of words: what the instruction takes for
// b. One conversion a pair of vectors, and a permutation.
static void interleave(int rows, int columns, const float* x, int64_t xs, uint32_t* y, int64_t ys) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int i = 0; i < rows; i += 2)
        for (int j = 0; j < columns; j += 16) {
            __m512i z = (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(x + (i + 1) * xs + j),
                                                     _mm512_load_ps(x + i * xs + j));
            _mm512_store_si512(y + i / 2 * ys + j, _mm512_permutexvar_epi16(order, z));
        }
}
// Rows rounded: pairs of successive elements of a row, what the instruction takes for a.
static void narrow(int rows, int columns, const float* x, int64_t xs, uint32_t* y, int64_t ys) {
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; j += 32)
            _mm512_store_si512(y + i * ys + j / 2,
                               (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(x + i * xs + j + 16),
                                                            _mm512_load_ps(x + i * xs + j)));
}
int main(int argc, char** argv) {
    const int r = argc > 1 ? atoi(argv[1]) : 100, P = 128, U = 256, w = 144, cw = 144;
    const int columns = (r + 15) / 16 * 16;
    auto make = [](size_t n) {
        float* p = (float*)aligned_alloc(64, n * 4);
        for (size_t i = 0; i < n; ++i) p[i] = float((i * 7919) % 1000) / 1000 - 0.5f;
        return p;
    };
    float *users = make(P * w), *items = make(U * w), *cols = make(128 * cw), *coef = make(U * cw),
          *g1 = make(P * w), *g2 = make(U * w), *d = make(U * cw);
    auto words = [](size_t n) {
        auto p = (uint32_t*)aligned_alloc(64, n * 4);
        for (size_t i = 0; i < n; ++i) p[i] = 0;
        return p;
    };
    uint32_t *ub = words(P * w), *ib = words(U * w), *cb = words(128 * cw),
             *pairs_c = words(U * cw), *narrow_c = words(U * cw), *narrow_i = words(U * w);
    std::vector<double> full, half, conv;
    for (int round = 0; round < 60; ++round) {
        const int n = 20;
        double t0 = cpu();
        for (int k = 0; k < n; ++k) {
            product32(U, P, r, items, w, 1, cols, cw, d, cw);
            product32(P, columns, U, coef, 1, cw, items, w, g1, w);
            product32(U, columns, P, coef, cw, 1, users, w, g2, w);
        }
        double t1 = cpu();
        for (int k = 0; k < n; ++k) {
            product16(U, P, (r + 1) / 2, narrow_i, w, 1, cb, cw, d, cw);
            product16(P, columns, U / 2, pairs_c, 1, cw, ib, w, g1,
                      w);  // a: pairs of rows of the coefficients
            product16(U, columns, P / 2, narrow_c, cw, 1, ub, w, g2, w);
        }
        double t2 = cpu();
        for (int k = 0; k < n; ++k) {
            interleave(128, P, cols, cw, cb, cw);  // users, transposed
            narrow(U, 128, items, w, narrow_i, w);
            interleave(U, columns, items, w, ib, w);
            interleave(P, columns, users, w, ub, w);
            interleave(U, P, coef, cw, pairs_c, cw);
            narrow(U, P, coef, cw, narrow_c, cw);
        }
        double t3 = cpu();
        full.push_back((t1 - t0) / n);
        half.push_back((t2 - t1) / n);
        conv.push_back((t3 - t2) / n);
    }
    for (auto* v : {&full, &half, &conv}) std::sort(v->begin(), v->end());
    const double flop = 6.0 * P * U * r;
    auto show = [&](const char* name, double s) {
        printf("%-34s %7.1f us a tile  %6.1f GF/s\n", name, s * 1e6, flop / s * 1e-9);
    };
    for (double q : {0.1, 0.5}) {
        size_t i = size_t(q * full.size());
        printf("quantile %.1f, r = %d\n", q, r);
        show("float32", full[i]);
        show("bfloat16, products alone", half[i]);
        show("bfloat16, conversions", conv[i]);
        printf("ratio products %.2f, with conversions %.2f\n", full[i] / half[i],
               full[i] / (half[i] + conv[i]));
    }
}
