// What the core expects of `Lanes`, a type that every device defines for itself: 32 floats, one
// per virtual lane. A thread of a warp has one of them, a CPU core has all in SIMD registers.
//
//   kRowsAtOnce                 1, 2 or 4: rows whose distances fit in registers side by side
//   kPairsAtOnce                pairs whose users a lane looks up side by side
//   kHoldsRow                   whether registers can hold a row beside those sums
//   splat(x)                    x in every lane
//   load(p, part)               32 consecutive floats, or the part of them that exists
//   + - * / sqrt(a)             lane by lane, correctly rounded, never fused
//   a.add(b, part)              a += b in the lanes of that part
//   last_part(n_dims, f)        f(part) for the last, perhaps incomplete 32 of n_dims
//   sum(a, out)                 out[i] = sum of a[i] over lanes: butterfly 16, 8, 4, 2, 1
//   largest(a)                  over lanes, at least 0; NaN is passed over
//   where_above(a, x), where_equal(a, x)   lanes for which it holds, as bits
//   store(p, x)                 x[0] ... x[n - 1], equal in all lanes, to scratch memory
//   each(n, f)                  f(0) ... f(n - 1), shared out over the lanes
//   sync()                      what a lane wrote to scratch memory is seen by the others
//   prefetch(p, part), prefetch_likes(p, n)   will be loaded soon
#pragma once

#include "job.h"
#include "platform.h"

namespace cml {
inline namespace CML_TARGET {

struct Full {};  // the part of a chunk that has all 32 elements

}  // namespace CML_TARGET
}  // namespace cml
