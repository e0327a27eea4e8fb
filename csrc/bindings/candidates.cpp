#include "candidates.h"

#include <pybind11/numpy.h>

#include <tuple>

#include "../cpu/candidates.h"
#include "gil.h"

namespace cml {
namespace {

using namespace py::literals;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

Rows rows_of(const Array<float>& array, const char* name) {
    if (array.ndim() != 2) throw py::value_error(std::string(name) + " must have two dimensions");
    return {array.data(), array.shape(0), array.shape(1)};
}

void check_same_length(Rows queries, Rows points) {
    if (queries.n_dims != points.n_dims) {
        throw py::value_error("queries and points must be of the same length");
    }
}

Array<float> distances_of_pairs(const Array<float>& queries, const Array<float>& points,
                                const Array<int64_t>& query_of, const Array<int64_t>& point_of) {
    const Rows own = rows_of(queries, "queries"), other = rows_of(points, "points");
    check_same_length(own, other);
    const int64_t n = query_of.size();
    if (point_of.size() != n) throw py::value_error("rows and columns must be of the same length");
    Array<float> distances(n);
    float* const out = distances.mutable_data();
    const int64_t *rows = query_of.data(), *columns = point_of.data();
    without_gil([&] { return pair_distances(own, other, rows, columns, n, out), true; });
    return distances;
}

std::tuple<Array<int64_t>, Array<float>> ranked(const Array<float>& queries,
                                                const Array<float>& points,
                                                const Array<int64_t>& proposals,
                                                const Array<int64_t>& indptr,
                                                const Array<int64_t>& indices, int64_t n) {
    const Rows own = rows_of(queries, "queries"), other = rows_of(points, "points");
    check_same_length(own, other);
    if (proposals.ndim() != 2 || proposals.shape(0) != own.n_rows || n < 0 ||
        indptr.size() != own.n_rows + 1 || indptr.at(0) != 0 ||
        indptr.at(own.n_rows) != indices.size()) {
        throw py::value_error("proposals and exclusions must be of these queries");
    }
    for (int64_t query = 0; query < own.n_rows; ++query) {
        if (indptr.at(query) > indptr.at(query + 1)) throw py::value_error("indptr must not fall");
    }
    const std::array<int64_t, 2> shape{own.n_rows, n};
    Array<int64_t> found(shape);
    Array<float> distances(shape);
    const Proposals given{proposals.data(), proposals.shape(1), indptr.data(), indices.data()};
    int64_t* const rows = found.mutable_data();
    float* const lengths = distances.mutable_data();
    without_gil([&] { return rank_proposals(own, other, given, n, rows, lengths), true; });
    return {found, distances};
}

}  // namespace

void define_candidates(py::module_& m) {
    m.def("pair_distances", &distances_of_pairs, "queries"_a, "points"_a, "rows"_a, "columns"_a);
    m.def("rank_proposals", &ranked, "queries"_a, "points"_a, "proposals"_a, "indptr"_a,
          "indices"_a, "n"_a);
}

}  // namespace cml
