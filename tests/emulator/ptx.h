// What the C++ that tests/support/ptx.py makes of PTX uses: instructions that are not a single
// operator of C++, and registers, which have no type but a size.
#pragma once

#include <cooperative_groups.h>

#include "../../csrc/core/losses/registry.h"
#include "../../csrc/cuda/kernel.h"

namespace cml {
inline namespace CML_TARGET {
extern int64_t shared_memory[];  // see scheduler.cpp
}  // namespace CML_TARGET
}  // namespace cml

static constexpr const char* kFile = "PTX";

namespace ptx {

// The integer type twice as wide.
template <class T>
struct Twice;
template <>
struct Twice<uint32_t> {
    using Type = uint64_t;
};
template <>
struct Twice<int32_t> {
    using Type = int64_t;
};
template <>
struct Twice<uint64_t> {
    using Type = unsigned __int128;
};
template <>
struct Twice<int64_t> {
    using Type = __int128;
};
template <class T>
using Wide = typename Twice<T>::Type;

// The value of a register, of an immediate or of what was computed, as a type: of the same size by
// its bits, of another size as integers are cut off or extended.
template <class T, class S>
inline T as(S value) {
    if constexpr (std::is_same<T, S>::value) {
        return value;
    } else if constexpr (std::is_same<T, bool>::value) {
        return value != 0;
    } else if constexpr (sizeof(T) == sizeof(S)) {
        T result;
        std::memcpy(&result, &value, sizeof(T));
        return result;
    } else {
        static_assert(!std::is_floating_point<T>::value && !std::is_floating_point<S>::value,
                      "floats are converted by cvt only");
        return static_cast<T>(value);
    }
}

template <class Register, class T>
inline void put(Register& to, T value) {
    to = as<Register>(value);
}

template <class T>
inline T get(const char* p) {
    T value;
    std::memcpy(&value, p, sizeof(T));
    return value;
}

template <class T>
inline void set(char* p, T value) {
    std::memcpy(p, &value, sizeof(T));
}

template <class T>
inline T add(char* p, T x) {
    const T old = get<T>(p);
    set<T>(p, old + x);
    return old;
}

template <class T>
inline T least(char* p, T x) {
    const T old = get<T>(p);
    set<T>(p, std::min(old, x));
    return old;
}

template <class T>
inline T exchange(char* p, T x) {
    const T old = get<T>(p);
    set<T>(p, x);
    return old;
}

template <class T>
inline T exchange_equal(char* p, T expected, T x) {
    const T old = get<T>(p);
    if (old == expected) set<T>(p, x);
    return old;
}

// min and max pass over a NaN, and -0 is below +0.
template <class T>
inline T max(T a, T b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? b : a;
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
}

template <class T>
inline T min(T a, T b) {
    return -max(-a, -b);
}

template <class T>
inline bool compare(T a, T b, bool ordered, bool with_nan) {
    return std::isnan(a) || std::isnan(b) ? with_nan : ordered;
}

// Shifts by the size of a register and more are defined.
template <class T>
inline T shift_left(T x, uint32_t n) {
    return n >= 8 * sizeof(T) ? T(0) : static_cast<T>(x << n);
}

template <class T>
inline T shift_right(T x, uint32_t n) {
    if (n < 8 * sizeof(T)) return static_cast<T>(x >> n);
    return x < 0 ? static_cast<T>(-1) : T(0);
}

inline uint32_t reverse(uint32_t x) {
    uint32_t reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1u) << (31 - i);
    return reversed;
}

// The lowest `n` bits of a, in place of those of b from `at` on.
template <class T>
inline T insert(T a, T b, T at, T n) {
    const T mask = n >= 8 * sizeof(T) ? ~T(0) : (T(1) << n) - 1;
    return (b & ~(mask << at)) | ((a & mask) << at);
}

// A float without a fraction, as an integer; what is out of range, as the nearest. NaN is 0.
template <class T, class S>
inline T whole(S x) {
    const S end = std::ldexp(S(1), 8 * sizeof(T) - 1);
    if (std::isnan(x)) return 0;
    if (x >= end) return std::numeric_limits<T>::max();
    return x < -end ? std::numeric_limits<T>::min() : static_cast<T>(x);
}

// Shuffles within all 32 lanes, the only ones that CUDA's functions make here; `clamp` says so.
inline void check_clamp(uint32_t clamp) {
    if (clamp != 31) throw std::runtime_error("a shuffle within a part of the warp");
}

inline uint32_t shuffle_bfly(uint32_t x, uint32_t distance, uint32_t clamp, uint32_t mask,
                             int here) {
    check_clamp(clamp);
    return __shfl_xor_sync(mask, x, static_cast<int>(distance), kFile, here);
}

inline uint32_t shuffle_idx(uint32_t x, uint32_t source, uint32_t clamp, uint32_t mask, int here) {
    check_clamp(clamp);
    return __shfl_sync(mask, x, static_cast<int>(source), kFile, here);
}

}  // namespace ptx
