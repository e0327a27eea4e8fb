// Matrices of bfloat16 in the order in which tensor cores take them: the second operands of the
// products of a tile on CUDA with `precision="bfloat16"`.
//
// Such a matrix has columns, which become the columns of the product, and steps, over which is
// added up. It is made of blocks of 32 columns and 32 steps. Of a block, each lane of a warp takes
// four pieces of 8 numbers, one after another (cuda/tensor_cores.cuh), and the same piece of all
// lanes is contiguous. Lane 4 g + t has the columns from 4 g to 4 g + 3, and of each 8 steps the
// two from 2 t on. A piece has two of the columns and 16 of the steps.
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
        const int piece = c % 4 / 2 * 2 + s / 16, lane = c / 4 * 4 + s % 8 / 2;
        const int in_piece = s % 16 / 8 * 4 + c % 2 * 2 + s % 2;
        return block(column / kSide, step / kSide) + piece * kFragmentSide * kFragmentPiece +
               lane * kFragmentPiece + in_piece;
    }
};

}  // namespace CML_TARGET
}  // namespace cml
