// What workers exchange, for Python.
#pragma once

#include <pybind11/pybind11.h>

namespace cml {

namespace py = pybind11;

void define_exchange(py::module_& m);

}  // namespace cml
