// Arrays from Python. NumPy's __array_interface__ and CUDA's __cuda_array_interface__ are
// dictionaries with the same entries, so both devices share one reader.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace cml {

namespace py = pybind11;

enum class Device { kCpu, kCuda };

struct ArrayView {
    void* data;
    std::vector<int64_t> shape;
};

// Check that `array` is on `device`, is C-contiguous, of this type ("<f4", "<i4", "<i8") and
// number of dimensions and, if asked for, writable. Throws TypeError or ValueError.
inline ArrayView view_array(const py::object& array, const std::string& name, Device device,
                            const std::string& type, size_t n_dims, bool writable) {
    const char* protocol =
        device == Device::kCpu ? "__array_interface__" : "__cuda_array_interface__";
    if (!py::hasattr(array, protocol)) {
        throw py::type_error(name + " must be a " +
                             (device == Device::kCpu ? "NumPy" : "CUDA (CuPy)") + " array, got " +
                             py::str(py::type::of(array).attr("__name__")).cast<std::string>());
    }
    const py::dict interface = array.attr(protocol);
    const std::string got = interface["typestr"].cast<std::string>();
    if (got != type) {
        throw py::type_error(name + " must have type '" + type + "', got '" + got + "'");
    }
    ArrayView view;
    view.shape = interface["shape"].cast<std::vector<int64_t>>();
    if (view.shape.size() != n_dims) {
        throw py::value_error(name + " must have " + std::to_string(n_dims) + " dimensions, got " +
                              std::to_string(view.shape.size()));
    }
    const int64_t item_size = std::stoll(type.substr(2));
    if (interface.contains("strides") && !interface["strides"].is_none()) {
        const auto strides = interface["strides"].cast<std::vector<int64_t>>();
        int64_t expected = item_size;
        for (size_t i = n_dims; i-- > 0; expected *= view.shape[i]) {
            if (view.shape[i] > 1 && strides[i] != expected) {
                throw py::value_error(name + " must be C-contiguous");
            }
        }
    }
    const py::tuple data = interface["data"];
    if (writable && data[1].cast<bool>()) {
        throw py::value_error(name + " is read-only; it must be writable");
    }
    view.data = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
    return view;
}

}  // namespace cml
