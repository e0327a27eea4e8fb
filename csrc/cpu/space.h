// Working memory of CPU threads.
#pragma once

#include <memory>

#include "../core/tile_space.h"

namespace cml {

// Floats that begin on a cache line; not set to anything, so that what is not used costs nothing.
class AlignedFloats {
 public:
    explicit AlignedFloats(int64_t n)
        : floats_(n > 0 ? new float[static_cast<size_t>(n + kRowAlignment)] : nullptr) {}

    float* data() const {
        const auto beyond = reinterpret_cast<uintptr_t>(floats_.get()) / sizeof(float);
        return floats_.get() + (kRowAlignment - beyond % kRowAlignment) % kRowAlignment;
    }

 private:
    std::unique_ptr<float[]> floats_;
};

}  // namespace cml
