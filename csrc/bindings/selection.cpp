#include "selection.h"

#include <utility>
#include <vector>

#include "../cuda/select.h"
#include "../cuda/train.h"
#include "arrays.h"
#include "gil.h"

namespace cml {
namespace {

// Views arrays; checks that their memory is on the device when all of them have the right shape.
class Pointers {
 public:
    // Of an array with so many entries, or with any number if it is negative.
    template <class T>
    T* add(const py::object& array, const char* name, const char* type, int64_t length,
           bool writable) {
        const ArrayView view = view_array(array, name, Device::kCuda, type, 1, writable);
        if (length >= 0 && view.shape[0] != length) {
            throw py::value_error(std::string(name) + " must have " + std::to_string(length) +
                                  " entries, got " + std::to_string(view.shape[0]));
        }
        if (view.shape[0] > 0) add(view.data, name);
        return static_cast<T*>(view.data);
    }

    void add(const void* pointer, const char* name) { pointers_.push_back({pointer, name}); }

    void check() const {
        for (const auto& [pointer, name] : pointers_) cuda_check_pointer(pointer, name);
    }

 private:
    std::vector<std::pair<const void*, const char*>> pointers_;
};

}  // namespace

void select_on_cuda(const py::object& scores, const py::object& indptr, const py::object& indices,
                    int64_t n, const py::object& slack, const py::object& columns,
                    const py::object& found, uintptr_t stream) {
    constexpr int64_t kMostColumns = int64_t{1} << 31, kMostRows = INT32_MAX;
    const ArrayView matrix = view_array(scores, "scores", Device::kCuda, "<f4", 2, true);
    const int64_t m = matrix.shape[0], p = matrix.shape[1];
    if (m < 1 || m > kMostRows) {
        throw py::value_error("scores must have 1 to 2**31 - 1 rows, got " + std::to_string(m));
    }
    if (p < 1 || p > kMostColumns || p % kScoresAtOnce != 0) {
        throw py::value_error("scores must have a multiple of 4 columns, at most 2**31, got " +
                              std::to_string(p));
    }
    if (n < 1 || n > p) {
        throw py::value_error("n must be between 1 and " + std::to_string(p) + ", got " +
                              std::to_string(n));
    }
    if (reinterpret_cast<uintptr_t>(matrix.data) % (kScoresAtOnce * sizeof(float)) != 0) {
        throw py::value_error("scores must be aligned to 16 bytes");
    }
    Pointers pointers;
    pointers.add(matrix.data, "scores");
    int64_t* const numbers = pointers.add<int64_t>(found, "found", "<i8", 2 * m + 1, true);
    Selection selection{};
    selection.scores = static_cast<float*>(matrix.data);
    selection.n_rows = m;
    selection.n_columns = p;
    selection.indptr = pointers.add<int64_t>(indptr, "indptr", "<i8", m + 1, false);
    selection.indices = pointers.add<int32_t>(indices, "indices", "<i4", -1, false);
    selection.n = n;
    selection.slack = pointers.add<float>(slack, "slack", "<f4", m, false);
    selection.columns = pointers.add<int32_t>(columns, "columns", "<i4", -1, true);
    selection.room = view_array(columns, "columns", Device::kCuda, "<i4", 1, true).shape[0];
    selection.total = numbers;
    selection.starts = numbers + 1;
    selection.counts = numbers + 1 + m;
    pointers.check();
    without_gil([&] {
        cuda_select(selection, reinterpret_cast<void*>(stream));
        return true;
    });
}

}  // namespace cml
