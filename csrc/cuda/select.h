// Selecting the candidates of a search on a CUDA device: the interface, free of CUDA types.
#pragma once

#include "../core/select.h"

namespace cml {

// Start a selection on the current device, in `stream` (a cudaStream_t), and do not wait for it.
// Rows have a multiple of kScoresAtOnce columns and begin at multiples of 16 bytes.
void cuda_select(const Selection& selection, void* stream);

}  // namespace cml
