// Matrices of bfloat16 in the order in which tensor cores take them: the second operands of the
// products of a tile on CUDA with `precision="bfloat16"`.
//
// Such a matrix has columns, which become the columns of the product, and steps, over which is
// added up. It is made of blocks of 32 columns and 32 steps. Of a block, each lane of a warp needs
// four pieces of 8 numbers (cuda/tensor_cores.cuh), and those that the lanes load at once follow
// each other. Lane 4 g + t has the columns 4 g, ..., 4 g + 3, a piece for each, and in a piece the
// steps 2 t and 2 t + 1 of each 8.
#pragma once

#include "platform.h"

namespace cml {

constexpr int kFragmentSide = 32;  // of a block: columns, and steps
constexpr int64_t kFragmentBlock = int64_t{kFragmentSide} * kFragmentSide;
constexpr int kFragmentPiece = 8;

inline namespace CML_TARGET {

struct Fragments {
    uint16_t* p;
    int64_t step_blocks;

    CML_FN uint16_t* block(int64_t columns, int64_t steps) const {
        return p + (columns * step_blocks + steps) * kFragmentBlock;
    }

    CML_FN uint16_t* at(int64_t column, int64_t step) const {
        constexpr int64_t kSide = kFragmentSide;
        const int c = static_cast<int>(column % kSide), s = static_cast<int>(step % kSide);
        const int lane = c / 4 * 4 + s % 8 / 2, in_piece = s / 8 * 2 + s % 2;
        return block(column / kSide, step / kSide) +
               (c % 4 * kFragmentSide + lane) * kFragmentPiece + in_piece;
    }
};

}  // namespace CML_TARGET
}  // namespace cml
