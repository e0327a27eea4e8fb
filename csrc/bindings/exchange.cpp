#include "exchange.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "../cpu/exchange.h"
#include "arrays.h"
#include "gil.h"

namespace cml {
namespace {

using namespace py::literals;

// Vectors and accumulators of items, or rows, vectors and accumulators of a parcel.
using Pair = std::tuple<py::object, py::object>;
using Triple = std::tuple<py::object, py::object, py::object>;

struct CheckedArrays {
    ArrayView vectors, accumulators;
};

CheckedArrays arrays_of(const py::object& vectors, const py::object& accumulators,
                        const std::string& name, bool writable) {
    CheckedArrays arrays{
        view_array(vectors, name + ".vectors", Device::kCpu, "<f4", 2, writable),
        view_array(accumulators, name + ".accumulators", Device::kCpu, "<f4", 2, writable)};
    if (arrays.accumulators.shape[0] != arrays.vectors.shape[0]) {
        throw py::value_error(name + " must have as many accumulators as vectors");
    }
    return arrays;
}

Items items_of(const Pair& items, const std::string& name, ExchangedFloats of_row, bool writable) {
    const auto [vectors, accumulators] =
        arrays_of(std::get<0>(items), std::get<1>(items), name, writable);
    if (vectors.shape[1] < of_row.vector || accumulators.shape[1] < of_row.accumulators) {
        throw py::value_error(name + " must have at least the columns that are exchanged");
    }
    return {static_cast<float*>(vectors.data), static_cast<float*>(accumulators.data),
            vectors.shape[0], vectors.shape[1], accumulators.shape[1]};
}

ExchangedFloats floats_of(const Triple& parcel) {
    const auto [vectors, accumulators] =
        arrays_of(std::get<1>(parcel), std::get<2>(parcel), "parcel", false);
    return {vectors.shape[1], accumulators.shape[1]};
}

void check_floats(ExchangedFloats of_row) {
    if (of_row.vector < 1 || (of_row.accumulators != 1 && of_row.accumulators != of_row.vector)) {
        throw py::value_error("a row must have one accumulator, or as many as dimensions");
    }
}

// A parcel of so many items; all its rows are looked at.
Parcel parcel_of(const Triple& parcel, ExchangedFloats of_row, int64_t n_items) {
    const ArrayView rows =
        view_array(std::get<0>(parcel), "parcel.rows", Device::kCpu, "<i4", 1, false);
    const auto [vectors, accumulators] =
        arrays_of(std::get<1>(parcel), std::get<2>(parcel), "parcel", false);
    const int64_t n = rows.shape[0];
    if (vectors.shape[0] != n || vectors.shape[1] != of_row.vector ||
        accumulators.shape[1] != of_row.accumulators) {
        throw py::value_error("parcels must have arrays of the same shapes");
    }
    const auto* numbers = static_cast<const int32_t*>(rows.data);
    for (int64_t i = 0; i < n; ++i) {
        if (numbers[i] < (i == 0 ? 0 : numbers[i - 1] + int64_t{1}) || numbers[i] >= n_items) {
            throw py::value_error("parcel.rows must ascend and be below " +
                                  std::to_string(n_items) + ", got " + std::to_string(numbers[i]));
        }
    }
    return {numbers, static_cast<const float*>(vectors.data),
            static_cast<const float*>(accumulators.data), n};
}

// Let `fill` write a parcel and tell how many of at most n_most rows it has.
template <class Fill>
py::tuple new_parcel(int64_t n_most, ExchangedFloats of_row, Fill fill) {
    const std::vector<int64_t> sizes{n_most, of_row.vector}, widths{n_most, of_row.accumulators};
    py::array_t<int32_t> rows(n_most);
    py::array_t<float> vectors(sizes), accumulators(widths);
    const ParcelRoom room{rows.mutable_data(), vectors.mutable_data(), accumulators.mutable_data()};
    const int64_t n = without_gil([&] { return fill(room); });
    const py::slice used(0, n, 1);
    return py::make_tuple(rows[used], vectors[used], accumulators[used]);
}

py::tuple packed(const Pair& now, const Pair& start, int64_t n_dims) {
    const ArrayView width =
        view_array(std::get<1>(now), "now.accumulators", Device::kCpu, "<f4", 2, false);
    const ExchangedFloats of_row{n_dims, std::min(n_dims, width.shape[1])};
    check_floats(of_row);
    const Items items = items_of(now, "now", of_row, false);
    const Items before = items_of(start, "start", of_row, false);
    if (items.n_rows != before.n_rows) {
        throw py::value_error("now and start must be of the same items");
    }
    return new_parcel(items.n_rows, of_row,
                      [&](ParcelRoom room) { return pack(items, before, of_row, room); });
}

py::tuple combined(const std::vector<Triple>& parcels, const Pair& items, float max_norm) {
    if (parcels.empty()) throw py::value_error("there must be a parcel");
    const ExchangedFloats of_row = floats_of(parcels[0]);
    check_floats(of_row);
    const Items rows = items_of(items, "combined", of_row, true);
    std::vector<Parcel> changes;
    for (const Triple& parcel : parcels) changes.push_back(parcel_of(parcel, of_row, rows.n_rows));
    return new_parcel(rows.n_rows, of_row, [&](ParcelRoom room) {
        return combine(changes, rows, of_row, max_norm, room);
    });
}

void arrived(const Pair& start, const Pair& now, const Triple& parcel, const py::object& own,
             float max_norm) {
    const ExchangedFloats of_row = floats_of(parcel);
    check_floats(of_row);
    const Items items = items_of(now, "now", of_row, true);
    const Items before = items_of(start, "start", of_row, true);
    if (items.n_rows != before.n_rows) {
        throw py::value_error("now and start must be of the same items");
    }
    const Parcel changes = parcel_of(parcel, of_row, items.n_rows);
    Parcel since{};
    if (!own.is_none()) since = parcel_of(own.cast<Triple>(), of_row, items.n_rows);
    without_gil([&] { return arrive(before, items, changes, since, of_row, max_norm), true; });
}

}  // namespace

void define_exchange(py::module_& m) {
    m.def("pack", &packed, "now"_a, "start"_a, "n_dims"_a);
    m.def("combine", &combined, "parcels"_a, "combined"_a, "max_norm"_a);
    m.def("arrive", &arrived, "start"_a, "now"_a, "combined"_a, "own"_a, "max_norm"_a);
}

}  // namespace cml
