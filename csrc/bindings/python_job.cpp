#include "python_job.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "../core/granularity.h"
#include "../cpu/train.h"
#include "gil.h"
#include "losses.h"
#ifdef CML_WITH_CUDA
#include "../cuda/train.h"
#endif

namespace cml {
namespace {

template <class Number>
std::string text(Number x) {
    return py::str(py::cast(x)).cast<std::string>();
}

constexpr int64_t kMaxThreads = 4096;

// The names of all arguments except those of single losses. Each device ignores those of the other
// one.
constexpr const char* kArguments[] = {"users",          "user_accumulators",
                                      "items",          "item_accumulators",
                                      "indptr",         "indices",
                                      "weights",        "rank_weights",
                                      "loss",           "n_dims",
                                      "n_negatives",    "tile_size",
                                      "learning_rate",  "epsilon",
                                      "max_norm",       "seed",
                                      "batch_size",     "largest_gradient",
                                      "pairs_per_part", "precision",
                                      "n_threads",      "instruction_set",
                                      "counters",       "batch"};

template <class Names>
bool contains(const Names& names, const std::string& name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

void check_names(const py::dict& arguments) {
    for (const auto& argument : arguments) {
        const auto name = argument.first.cast<std::string>();
        if (!contains(kArguments, name) && !contains(loss_parameters(), name)) {
            throw py::type_error("Job() got an unexpected keyword argument '" + name + "'");
        }
    }
}

py::object required(const py::dict& arguments, const char* name) {
    if (!arguments.contains(name)) {
        throw py::type_error("Job() needs the keyword argument '" + std::string(name) + "'");
    }
    return arguments[name];
}

template <class T>
T scalar(const py::dict& arguments, const char* name) {
    const py::object value = required(arguments, name);
    try {
        return value.cast<T>();
    } catch (const py::cast_error&) {
        throw py::type_error(std::string(name) + " has a wrong type or is out of range: " +
                             py::repr(value).cast<std::string>());
    }
}

int64_t integer(const py::dict& arguments, const char* name, int64_t low, int64_t high) {
    const auto value = scalar<int64_t>(arguments, name);
    if (value < low || value > high) {
        throw py::value_error(std::string(name) + " must be between " + text(low) + " and " +
                              text(high) + ", got " + text(value));
    }
    return value;
}

float positive(const py::dict& arguments, const char* name) {
    const auto value = scalar<float>(arguments, name);
    if (!std::isfinite(value) || value <= 0) {
        throw py::value_error(std::string(name) +
                              " must be finite and above 0 in single precision, got " +
                              text(arguments[name].cast<double>()));
    }
    return value;
}

}  // namespace

ArrayView PythonJob::array(const py::dict& arguments, const char* name, const char* type,
                           size_t n_dims, bool writable) {
    kept_.push_back(required(arguments, name));
    return view_array(kept_.back(), name, device_, type, n_dims, writable);
}

void PythonJob::check_pointer(const void* p, const std::string& name) const {
#ifdef CML_WITH_CUDA
    if (device_ == Device::kCuda) cuda_check_pointer(p, name);
#endif
    // Rows begin on cache lines.
    if (reinterpret_cast<uintptr_t>(p) % (kRowAlignment * sizeof(float)) != 0) {
        throw py::value_error(name + " must be aligned to 64 bytes");
    }
}

Table PythonJob::table(const py::dict& arguments, const char* values, const char* accumulators) {
    const ArrayView v = array(arguments, values, "<f4", 2, true);
    const ArrayView a = array(arguments, accumulators, "<f4", 2, true);
    if (a.shape[0] != v.shape[0] || (a.shape[1] != v.shape[1] && a.shape[1] != 1)) {
        throw py::value_error(std::string(accumulators) + " must have the shape of " + values +
                              ", or one column");
    }
    if (v.shape[0] < 1 || v.shape[0] > INT32_MAX) {
        throw py::value_error(std::string(values) + " must have 1 to 2**31 - 1 rows, got " +
                              text(v.shape[0]));
    }
    if (v.shape[1] % kRowAlignment != 0 || v.shape[1] < job_.hyper.n_dims) {
        throw py::value_error(std::string(values) + " must have rows of at least n_dims = " +
                              text(job_.hyper.n_dims) + " floats, padded to a multiple of " +
                              text(kRowAlignment) + ", got " + text(v.shape[1]));
    }
    check_pointer(v.data, values);
    check_pointer(a.data, accumulators);
    return {static_cast<float*>(v.data), static_cast<float*>(a.data), v.shape[0], v.shape[1],
            a.shape[1]};
}

PythonJob::PythonJob(Device device, const py::dict& arguments) : device_(device) {
    check_names(arguments);
    read_hyperparameters(arguments);
    read_tables(arguments);
    read_likes(arguments);
    read_rank_weights(arguments);
    if (device_ == Device::kCpu) {
        read_cpu_arguments(arguments);
    } else {
        read_cuda_arguments(arguments);
    }
}

void PythonJob::read_hyperparameters(const py::dict& arguments) {
    Hyperparameters& hyper = job_.hyper;
    hyper.loss = loss_named(scalar<std::string>(arguments, "loss"));
    hyper.n_dims = static_cast<int32_t>(integer(arguments, "n_dims", 1, kMaxDims));
    hyper.n_negatives = static_cast<int32_t>(integer(arguments, "n_negatives", 1, kMaxNegatives));
    hyper.tile_size = static_cast<int32_t>(integer(arguments, "tile_size", 1, kTilePairs));
#define CML_READ(name) hyper.name = positive(arguments, #name);
    CML_LOSS_PARAMETERS(CML_READ)
#undef CML_READ
    hyper.learning_rate = positive(arguments, "learning_rate");
    hyper.epsilon = positive(arguments, "epsilon");
    hyper.max_norm = positive(arguments, "max_norm");
    hyper.seed = scalar<uint64_t>(arguments, "seed");
    hyper.bfloat16 = is_bfloat16(scalar<std::string>(arguments, "precision"));
    if (hyper.bfloat16 && !shares_negatives(hyper.loss)) {
        throw py::value_error("precision 'bfloat16' needs a loss whose pairs share negatives");
    }
    job_.batch_size = integer(arguments, "batch_size", 0, int64_t{1} << kMaxBatchBits);
    job_.fixed =
        fixed_point(summands(hyper, job_.batch_size), positive(arguments, "largest_gradient"));
}

void PythonJob::read_tables(const py::dict& arguments) {
    job_.users = table(arguments, "users", "user_accumulators");
    job_.items = table(arguments, "items", "item_accumulators");
    job_.hyper.rowwise = job_.users.accumulator_stride == 1;
    if (job_.hyper.rowwise != (job_.items.accumulator_stride == 1)) {
        throw py::value_error(
            "user_accumulators and item_accumulators must both have one column, or neither");
    }
    job_.draws_per_item = draws_per_item(static_cast<uint64_t>(job_.hyper.n_negatives),
                                         static_cast<uint64_t>(job_.items.n_rows));
}

void PythonJob::read_likes(const py::dict& arguments) {
    const ArrayView indptr = array(arguments, "indptr", "<i8", 1, false);
    const ArrayView indices = array(arguments, "indices", "<i4", 1, false);
    if (indptr.shape[0] != job_.users.n_rows + 1) {
        throw py::value_error("indptr must have one entry more than users has rows (" +
                              text(job_.users.n_rows) + "), got " + text(indptr.shape[0]));
    }
    if (indices.shape[0] < 1) throw py::value_error("indices must have at least one pair");
    job_.likes = {static_cast<const int64_t*>(indptr.data),
                  static_cast<const int32_t*>(indices.data), nullptr, indices.shape[0]};
    const int64_t part = integer(arguments, "pairs_per_part", 0, kMaxPairsPerPart);
    if ((part & (part - 1)) != 0) {
        throw py::value_error("pairs_per_part must be a power of two, or 0, got " + text(part));
    }
    job_.visits = visit_sizes(job_.likes.n_pairs, part);
    // A batch ends with its epoch, so the largest one is a whole epoch.
    job_.batch_size = std::min(job_.batch_size, job_.likes.n_pairs);
    if (required(arguments, "weights").is_none()) return;
    const ArrayView weights = array(arguments, "weights", "<f4", 1, false);
    if (weights.shape != indices.shape) {
        throw py::value_error("weights must have one value for each of indices");
    }
    job_.likes.weights = static_cast<const float*>(weights.data);
}

void PythonJob::read_rank_weights(const py::dict& arguments) {
    const ArrayView weights = array(arguments, "rank_weights", "<f4", 1, false);
    if (weights.shape[0] != job_.hyper.n_negatives + 1) {
        throw py::value_error("rank_weights must have n_negatives + 1 values, got " +
                              text(weights.shape[0]));
    }
    job_.rank_weights = static_cast<const float*>(weights.data);
}

void PythonJob::read_cpu_arguments(const py::dict& arguments) {
    const Likes& likes = job_.likes;
    if (likes.indptr[0] != 0 || likes.indptr[job_.users.n_rows] != likes.n_pairs) {
        throw py::value_error("indptr must begin with 0 and end with the number of indices");
    }
    n_threads_ = static_cast<int>(integer(arguments, "n_threads", 1, kMaxThreads));
    instruction_set_ = scalar<std::string>(arguments, "instruction_set");
}

#ifdef CML_WITH_CUDA
void PythonJob::read_cuda_arguments(const py::dict& arguments) {
    const ArrayView counters = array(arguments, "counters", "<i8", 1, true);
    constexpr int64_t kBytes = sizeof(int64_t);
    if (counters.shape[0] * kBytes < cuda_counter_bytes()) {
        throw py::value_error("counters must have " + text(cuda_counter_bytes() / kBytes) +
                              " entries");
    }
    counters_ = counters.data;
    const int64_t batch_bytes = cuda_batch_bytes(job_);
    if (batch_bytes > 0) {
        const ArrayView batch = array(arguments, "batch", "|u1", 1, true);
        if (batch.shape[0] < batch_bytes) {
            throw py::value_error("batch must have " + text(batch_bytes) + " bytes, got " +
                                  text(batch.shape[0]));
        }
        check_pointer(batch.data, "batch");
        batch_ = batch.data;
    }
}
#else
void PythonJob::read_cuda_arguments(const py::dict&) {
    throw std::runtime_error("this build has no CUDA kernels");
}
#endif

void PythonJob::set_learning_rate(float rate) {
    // A rate that has fallen for long may be 0 in single precision.
    if (!std::isfinite(rate) || rate < 0) {
        throw py::value_error("learning_rate must be finite and at least 0, got " + text(rate));
    }
    job_.hyper.learning_rate = rate;
}

Counters PythonJob::run(int64_t begin, int64_t end, [[maybe_unused]] uintptr_t stream) const {
    if (begin < 0 || end < begin || end / job_.likes.n_pairs >= kMaxEpochs || end > INT64_MAX / 2) {
        throw py::value_error("begin and end must be 0 <= begin <= end within 2**48 epochs, got " +
                              text(begin) + " and " + text(end));
    }
    if (begin == end) return {};
    const int64_t granularity = launch_granularity(job_);
    for (const int64_t sample : {begin, end}) {
        if (sample % job_.likes.n_pairs % granularity != 0) {
            throw py::value_error("begin and end must be at the bounds of batches or tiles of " +
                                  text(granularity) + " samples, got " + text(begin) + " and " +
                                  text(end));
        }
    }
    return without_gil([&] {
#ifdef CML_WITH_CUDA
        if (device_ == Device::kCuda) {
            return cuda_train(job_, begin, end, counters_, batch_, reinterpret_cast<void*>(stream));
        }
#endif
        return cpu_train(job_, begin, end, n_threads_, instruction_set_);
    });
}

RowGradients PythonJob::row_gradients(const std::string& table, const py::object& rows,
                                      const py::object& gradients) const {
    if (table != "users" && table != "items") {
        throw py::value_error("table must be 'users' or 'items', got '" + table + "'");
    }
    RowGradients result{};
    result.table = table == "users" ? job_.users : job_.items;
    const ArrayView numbers = view_array(rows, "rows", device_, "<i8", 1, false);
    const ArrayView values = view_array(gradients, "gradients", device_, "<f4", 2, false);
    result.n = numbers.shape[0];
    if (values.shape[0] != result.n || values.shape[1] != result.table.stride) {
        throw py::value_error("gradients must have a row for each of rows, of " +
                              text(result.table.stride) + " floats, got " + text(values.shape[0]) +
                              " x " + text(values.shape[1]));
    }
    if (result.n == 0) return result;
    check_pointer(values.data, "gradients");
    result.rows = static_cast<const int64_t*>(numbers.data);
    result.values = static_cast<const float*>(values.data);
    // On CUDA the caller promises that the rows are right: checking them would take a copy.
    for (int64_t i = 0; device_ == Device::kCpu && i < result.n; ++i) {
        if (result.rows[i] < 0 || result.rows[i] >= result.table.n_rows ||
            (i > 0 && result.rows[i] <= result.rows[i - 1])) {
            throw py::value_error("rows must be ascending, distinct and below " +
                                  text(result.table.n_rows) + ", got " + text(result.rows[i]) +
                                  " at position " + text(i));
        }
    }
    return result;
}

std::optional<int64_t> PythonJob::step(const std::string& table, const py::object& rows,
                                       const py::object& gradients,
                                       [[maybe_unused]] uintptr_t stream) const {
    const RowGradients steps = row_gradients(table, rows, gradients);
    if (steps.n == 0) return {};
    const int64_t refused = without_gil([&] {
#ifdef CML_WITH_CUDA
        if (device_ == Device::kCuda) {
            return cuda_step(job_, steps, counters_, reinterpret_cast<void*>(stream));
        }
#endif
        return cpu_step(job_, steps, n_threads_, instruction_set_);
    });
    if (refused < 0) return {};
    return refused;
}

std::optional<int64_t> PythonJob::fold_in(int64_t begin, int64_t end, int64_t n_epochs,
                                          float retention) const {
    if (device_ != Device::kCpu) throw py::value_error("fold_in needs a job on the device 'cpu'");
    if (begin < 0 || end < begin || end > job_.users.n_rows) {
        throw py::value_error(
            "begin and end must be 0 <= begin <= end <= " + text(job_.users.n_rows) + ", got " +
            text(begin) + " and " + text(end));
    }
    if (n_epochs < 1 || n_epochs > INT32_MAX) {
        throw py::value_error("n_epochs must be between 1 and 2**31 - 1, got " + text(n_epochs));
    }
    if (!(retention >= 0.0f && retention <= 1.0f)) {
        throw py::value_error("retention must be between 0 and 1, got " + text(retention));
    }
    if (begin == end) return {};
    const int64_t refused = without_gil([&] {
        return cpu_fold_in(job_, begin, end, n_epochs, retention, n_threads_, instruction_set_);
    });
    if (refused < 0) return {};
    return refused;
}

}  // namespace cml
