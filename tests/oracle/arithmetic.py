"""Arithmetic as the kernels do it: in float32 every function here has their bits.

Sums over a vector run over 32 lanes (element d belongs to lane d mod 32), and then over the lanes
in the order of a butterfly: 16, 8, 4, 2, 1. Every element of a matrix product is a chain of
multiply-adds, each rounded once, from the first term to the last. Exponentials and logarithms are
polynomials.
"""

from __future__ import annotations

import numpy as np

LANES = 32
LOWEST_EXPONENT = -40


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """The nearest numbers of 8 significant bits, by Veltkamp's splitting; a tie to either side."""
    shifted = np.float32(65537) * x
    return np.asarray(shifted - (shifted - x))


def lane_sum(x: np.ndarray) -> np.floating:
    """The sum of a vector in the order that every device keeps."""
    lanes = np.zeros(LANES, dtype=x.dtype)
    for start in range(0, len(x), LANES):
        chunk = x[start : start + LANES]
        lanes[: len(chunk)] += chunk
    for shift in (16, 8, 4, 2, 1):
        lanes = lanes + lanes[np.arange(LANES) ^ shift]
    total: np.floating = lanes[0]
    return total


def squared_distance(a: np.ndarray, b: np.ndarray) -> np.floating:
    """d(a, b)^2, eq. 1 of the paper squared."""
    return lane_sum((a - b) * (a - b))


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a b + c, in float32 rounded once.

    The product of two float32 is exact in float64. The sum is rounded to odd there (Boldo and
    Melquiond, 2008), so that rounding it to float32 is as good as rounding once.
    """
    if c.dtype != np.float32:
        return np.asarray(a * b + c)
    product, addend = np.float64(a) * np.float64(b), np.float64(c)
    total = product + addend
    part = total - product
    rest = (product - (total - part)) + (addend - part)  # exactly what the sum lacks
    odd = np.nextafter(total, np.copysign(np.inf, rest))
    even = (np.asarray(total).view(np.int64) & 1) == 0
    rounded: np.ndarray = np.where((rest != 0) & even, odd, total).astype(np.float32)
    return rounded


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix product of (m, t) and (t, n)."""
    sums = np.zeros((a.shape[0], b.shape[1]), dtype=a.dtype)
    for t in range(a.shape[1]):
        sums = fma(a[:, t, None], b[t], sums)
    return sums


def exp(x: np.ndarray) -> np.ndarray:
    """exp(x); zero below e^-40."""
    number = x.dtype.type
    if number is not np.float32:
        return np.asarray(np.exp(x))
    inside = np.maximum(x, number(LOWEST_EXPONENT))
    n = np.rint(np.float64(inside) * np.float64(number(1.44269504))).astype(number)
    r = fma(n, number(2.12194440e-4), fma(n, number(-0.693359375), inside))
    p = np.full_like(r, 1.9875691500e-4)
    for coefficient in (
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ):
        p = fma(p, r, np.full_like(r, coefficient))
    p = fma(p, r * r, r) + number(1)
    scaled = np.ldexp(p, n.astype(np.int64))
    return np.asarray(np.where(x > LOWEST_EXPONENT, scaled, number(0)), dtype=number)


def log(x: np.ndarray) -> np.ndarray:
    """log(x) for x > 0, from log m = 2 artanh((m - 1) / (m + 1)), m in [1, 2)."""
    number = x.dtype.type
    if number is not np.float32:
        return np.asarray(np.log(x))
    half, exponent = np.frexp(x)
    m = half * number(2)
    s = (m - number(1)) / (m + number(1))
    series = np.full_like(x, number(2) / number(13))
    for k in (11, 9, 7, 5, 3, 1):
        series = fma(series, s * s, np.full_like(x, number(2) / number(k)))
    return fma((exponent - 1).astype(number), np.full_like(x, 0.693147181), series * s)
