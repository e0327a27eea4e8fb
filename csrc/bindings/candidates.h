// Ranking the candidates of a search, for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace cml {

namespace py = pybind11;

void define_candidates(py::module_& m);

}  // namespace cml
