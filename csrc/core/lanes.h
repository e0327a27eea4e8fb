// The interface of `Lanes`, a type that every device defines for itself: 32 floats, one for each
// virtual lane. A thread of a CUDA warp holds one of them, a CPU core holds all in SIMD registers.
//
//   kRowsAtOnce                 1, 2 or 4: rows whose distances fit in registers side by side
//   kPairsAtOnce                pairs whose users a lane looks up side by side
//   kProductRows, kProductChunks   rows and chunks of 32 columns of a product whose sums fit in
//                               registers, see product.h
//   kHoldsRow                   whether registers can hold a row beside those sums
//   kPrefetches                 whether prefetch() does something
//   kRowsTransposed             rows that transpose() takes at a time; 1: store_column() is used
//   kStepsAtOnce                of a product, whose operands are read by load_four() if it is 4
//   kHasTensorCores             whether these compute the products where operands are bfloat16
//   kInLane                     what has a lane in the loss of a tile, see workspace.h
//   Negatives                   their distances from the pairs, see losses/policy.h
//   splat(x)                    x in every lane
//   load(p, part)               32 consecutive floats, or the part of them that exists
//   + - * / sqrt(a)             lane by lane, correctly rounded, never fused
//   a.add(b, part)              a += b in the lanes of that part
//   a.add_product(x, b, part)   a += x * b there, rounded once
//   fma(a, b, c)                a * b + c, rounded once
//   larger(a, b), smaller(a, b) lane by lane
//   keep_where_above(a, x, b)   b in the lanes where a > x, else 0
//   look_up(table, a)           table[a] lane by lane, for whole numbers a
//   times_power_of_two(a, s)    a * 2^n, where s = n + 1.5 * 2^23
//   mantissa(a), exponent(a)    a = mantissa * 2^exponent, for normal a > 0
//   last_part(n_dims, f)        f(part) for the last, perhaps incomplete 32 of n_dims
//   last_product_part(n_dims, f)   the same for add_product(), which may take a smaller part
//   sum(a, out)                 out[i] = sum of a[i] over lanes: butterfly 16, 8, 4, 2, 1
//   largest(a)                  over lanes, at least 0; NaN is ignored
//   where_above(a, x), where_equal(a, x)   lanes for which it holds, as bits
//   store(p, x)                 x[0] ... x[n - 1], equal in all lanes, to scratch memory
//   put(p, x)                   x, equal in all lanes, to scratch memory
//   each(n, f)                  f(0) ... f(n - 1), divided between the lanes
//   Sieve(items, n)             a set: its each_candidate(p, n, f) calls f(item), divided between
//   the
//                               lanes, at least for those of the n items at p that are in the set
//   transpose(p, stride, q, column_stride, n)   the first n elements of kRowsTransposed rows at p
//                               as columns at q
//   a.store_column(p, stride, part)   lane i at p + i * stride
//   load_four(p, x)             x[0] ... x[3] from p
//   load_columns(p, stride, x)  x[m] from the lanes' p[i * stride + m]
//   sync()                      after it, every lane sees what the others wrote to scratch memory
//   prefetch(p, part), prefetch_one(p), prefetch_likes(p, n)   these will be loaded soon
//   multiply(of, n, a, b, first), a.store_bfloat16(f)   for tensor cores, see ProductSums::set();
//                               lane i at f(i)
#pragma once

#include "job.h"
#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

struct Full {};  // the part of a chunk that has all 32 elements

// The bits of a float.
constexpr int kMantissaBits = 23;
constexpr int32_t kMantissaMask = (1 << kMantissaBits) - 1;
constexpr int32_t kExponentBias = 127;
constexpr int32_t kBitsOfOne = kExponentBias << kMantissaBits;

}  // namespace CML_TARGET
}  // namespace cml
