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

// What a thread needs for tiles, in floats.
inline int64_t space_floats(const Hyperparameters& hyper) {
    if (hyper.loss == Loss::kWarp) return 0;
    return TileParts{hyper.n_negatives, (hyper.n_dims + kLanes - 1) / kLanes}.total();
}

// Slots of a mini-batch of n pairs, see BatchMemory.
inline int64_t slots_of_batch(const Hyperparameters& hyper, int64_t n) {
    if (hyper.loss == Loss::kWarp) return 3 * n;
    return (n + hyper.tile_size - 1) / hyper.tile_size * tile_slots(hyper.n_negatives);
}

}  // namespace cml
