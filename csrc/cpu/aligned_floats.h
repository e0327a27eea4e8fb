// Memory of CPU threads.
#pragma once

#include <memory>

#include "../core/job.h"

namespace cml {

// Floats that begin on a cache line. They are not initialised, so that memory that is never used
// costs nothing.
class AlignedFloats {
 public:
    explicit AlignedFloats(int64_t n)
        : floats_(n > 0 ? new float[static_cast<size_t>(n + kRowAlignment)] : nullptr) {}

    float* data() const {
        const auto past = reinterpret_cast<uintptr_t>(floats_.get()) / sizeof(float);
        return floats_.get() + (kRowAlignment - past % kRowAlignment) % kRowAlignment;
    }

 private:
    std::unique_ptr<float[]> floats_;
};

}  // namespace cml
