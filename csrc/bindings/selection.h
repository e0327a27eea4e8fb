// Selecting the candidates of a search, for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace cml {

// Start core/select.h on the current CUDA device, in `stream`, and do not wait for it. All arrays
// have __cuda_array_interface__:
//
//   scores             (m, p), float32; p is a multiple of 4
//   indptr, indices    int64 and int32, the columns that each row excludes, as a CSR matrix. The
//                      caller promises that they are right: checking them would take a copy.
//   slack              (m,), float32
//   columns            (room,), int32
//   found              (2 m + 1,), int64: the number of all selected columns; of each row, where
//                      they begin in `columns`; of each row, how many they are
void select_on_cuda(const pybind11::object& scores, const pybind11::object& indptr,
                    const pybind11::object& indices, int64_t n, const pybind11::object& slack,
                    const pybind11::object& columns, const pybind11::object& found,
                    uintptr_t stream);

}  // namespace cml
