// The exponential and the logarithm of every lane, composed of operations that are rounded in the
// same way on every device, so that all devices get the same bits.
#pragma once

#include "lanes.h"

namespace cml {
inline namespace CML_TARGET {

// Below this, exp() returns exactly zero. The results are added to a term of 1, so nothing is lost;
// and products of larger results never are denormal numbers, which are slow.
constexpr float kSmallestExponent = -40.0f;

// exp(x) for x up to 80, to 2 units in the last place. x = n ln 2 + r, and a polynomial for exp(r)
// on [-ln 2 / 2, ln 2 / 2] (its coefficients are those of Cephes' expf by S. Moshier).
template <class Lanes>
CML_FN Lanes exp(const Lanes& x) {
    // Floats around 1.5 * 2^23 are 1 apart, so adding this rounds to an integer.
    const Lanes shift = Lanes::splat(12582912.0f);
    const Lanes shifted = fma(x, Lanes::splat(1.44269504f), shift);
    const Lanes n = shifted - shift;
    // ln 2 is split into two parts; the first has so few bits that its product with n is exact.
    const Lanes r = fma(n, Lanes::splat(2.12194440e-4f), fma(n, Lanes::splat(-0.693359375f), x));
    Lanes p = Lanes::splat(1.9875691500e-4f);
    p = fma(p, r, Lanes::splat(1.3981999507e-3f));
    p = fma(p, r, Lanes::splat(8.3334519073e-3f));
    p = fma(p, r, Lanes::splat(4.1665795894e-2f));
    p = fma(p, r, Lanes::splat(1.6666665459e-1f));
    p = fma(p, r, Lanes::splat(5.0000001201e-1f));
    p = fma(p, r * r, r) + Lanes::splat(1.0f);
    return keep_where_above(x, kSmallestExponent, times_power_of_two(p, shifted));
}

// log(x) for normal x > 0, to 1e-7 of its value or of 1. x = 2^n m with m in [1, 2), and
// log m = 2 artanh((m - 1) / (m + 1)) by its series.
template <class Lanes>
CML_FN Lanes log(const Lanes& x) {
    const Lanes one = Lanes::splat(1.0f);
    const Lanes m = mantissa(x);
    const Lanes s = (m - one) / (m + one);
    const Lanes square = s * s;
    Lanes series = Lanes::splat(2.0f / 13.0f);
    series = fma(series, square, Lanes::splat(2.0f / 11.0f));
    series = fma(series, square, Lanes::splat(2.0f / 9.0f));
    series = fma(series, square, Lanes::splat(2.0f / 7.0f));
    series = fma(series, square, Lanes::splat(2.0f / 5.0f));
    series = fma(series, square, Lanes::splat(2.0f / 3.0f));
    series = fma(series, square, Lanes::splat(2.0f));
    return fma(exponent(x), Lanes::splat(0.693147181f), series * s);
}

}  // namespace CML_TARGET
}  // namespace cml
