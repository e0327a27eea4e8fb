#include "job.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "../cpu/train.h"
#ifdef CML_WITH_CUDA
#include "../cuda/train.h"
#endif

namespace cml {
namespace {

template <class Number>
std::string text(Number x) {
    return py::str(py::cast(x)).cast<std::string>();
}

// All that there are; each device ignores those of the other one.
constexpr const char* kArguments[] = {"users",         "user_accumulators",
                                      "items",         "item_accumulators",
                                      "indptr",        "indices",
                                      "weights",       "rank_weights",
                                      "loss",          "n_dims",
                                      "n_negatives",   "tile_size",
                                      "margin",        "temperature",
                                      "correction",    "negative_weight",
                                      "learning_rate", "epsilon",
                                      "max_norm",      "seed",
                                      "batch_size",    "largest_gradient",
                                      "n_threads",     "instruction_set",
                                      "counters",      "batch",
                                      "stream"};

void check_names(const py::dict& arguments) {
    for (const auto& argument : arguments) {
        const auto name = argument.first.cast<std::string>();
        if (std::find(std::begin(kArguments), std::end(kArguments), name) == std::end(kArguments)) {
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

Loss loss_named(const std::string& name) {
    if (name == "warp") return Loss::kWarp;
    if (name == "softmax") return Loss::kSoftmax;
    if (name == "contrastive") return Loss::kContrastive;
    throw py::value_error("loss must be 'warp', 'softmax' or 'contrastive', got '" + name + "'");
}

std::vector<float> rank_weights(int64_t n_items, int64_t n_negatives) {
    if (n_negatives < 1) throw std::invalid_argument("n_negatives must be at least 1");
    std::vector<float> weights;
    for (int64_t impostors = 0; impostors <= n_negatives; ++impostors) {
        const int64_t rank = n_items * impostors / n_negatives;
        weights.push_back(static_cast<float>(std::log(static_cast<double>(rank + 1))));
    }
    return weights;
}

FixedPoint fixed_point(int64_t batch_size, float largest_gradient) {
    const int bits = summand_bits(batch_size);
    int exponent = 0;  // of the power of two that is larger than the largest gradient
    std::frexp(largest_gradient, &exponent);
    return {std::ldexp(1.0f, bits - exponent), std::ldexp(1.0f, exponent - bits),
            std::ldexp(1.0f, exponent)};
}

py::object PythonJob::keep(const py::dict& arguments, const char* name) {
    kept_.push_back(required(arguments, name));
    return kept_.back();
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
    const ArrayView v = view_array(keep(arguments, values), values, device_, "<f4", 2, true);
    const ArrayView a =
        view_array(keep(arguments, accumulators), accumulators, device_, "<f4", 2, true);
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
    Hyperparameters& hyper = job_.hyper;
    hyper.loss = loss_named(scalar<std::string>(arguments, "loss"));
    hyper.n_dims = static_cast<int32_t>(integer(arguments, "n_dims", 1, kMaxDims));
    hyper.n_negatives = static_cast<int32_t>(integer(arguments, "n_negatives", 1, kMaxNegatives));
    hyper.tile_size = static_cast<int32_t>(integer(arguments, "tile_size", 1, kTilePairs));
    hyper.margin = positive(arguments, "margin");
    hyper.inverse_temperature = 1.0f / positive(arguments, "temperature");
    hyper.correction = positive(arguments, "correction");
    hyper.negative_weight = positive(arguments, "negative_weight");
    hyper.learning_rate = positive(arguments, "learning_rate");
    hyper.epsilon = positive(arguments, "epsilon");
    hyper.max_norm = positive(arguments, "max_norm");
    hyper.seed = scalar<uint64_t>(arguments, "seed");
    job_.batch_size = integer(arguments, "batch_size", 0, int64_t{1} << kMaxBatchBits);
    job_.fixed =
        fixed_point(summands(hyper, job_.batch_size), positive(arguments, "largest_gradient"));

    job_.users = table(arguments, "users", "user_accumulators");
    job_.items = table(arguments, "items", "item_accumulators");
    hyper.per_row = job_.users.accumulator_stride == 1;
    if (hyper.per_row != (job_.items.accumulator_stride == 1)) {
        throw py::value_error(
            "user_accumulators and item_accumulators must both have one column, or neither");
    }

    const ArrayView indptr =
        view_array(keep(arguments, "indptr"), "indptr", device_, "<i8", 1, false);
    const ArrayView indices =
        view_array(keep(arguments, "indices"), "indices", device_, "<i4", 1, false);
    if (indptr.shape[0] != job_.users.n_rows + 1) {
        throw py::value_error("indptr must have one entry more than users has rows (" +
                              text(job_.users.n_rows) + "), got " + text(indptr.shape[0]));
    }
    if (indices.shape[0] < 1) throw py::value_error("indices must have at least one pair");
    job_.likes.indptr = static_cast<const int64_t*>(indptr.data);
    job_.likes.indices = static_cast<const int32_t*>(indices.data);
    job_.likes.n_pairs = indices.shape[0];
    job_.likes.weights = nullptr;
    // A batch ends with its epoch: a larger one is a whole epoch.
    job_.batch_size = std::min(job_.batch_size, job_.likes.n_pairs);
    if (!required(arguments, "weights").is_none()) {
        const ArrayView weights =
            view_array(keep(arguments, "weights"), "weights", device_, "<f4", 1, false);
        if (weights.shape != indices.shape) {
            throw py::value_error("weights must have one value for each of indices");
        }
        job_.likes.weights = static_cast<const float*>(weights.data);
    }
    const ArrayView ranks =
        view_array(keep(arguments, "rank_weights"), "rank_weights", device_, "<f4", 1, false);
    if (ranks.shape[0] != hyper.n_negatives + 1) {
        throw py::value_error("rank_weights must have n_negatives + 1 values, got " +
                              text(ranks.shape[0]));
    }
    job_.rank_weights = static_cast<const float*>(ranks.data);
    job_.draws_per_item = draws_per_item(static_cast<uint64_t>(hyper.n_negatives),
                                         static_cast<uint64_t>(job_.items.n_rows));

    if (device_ == Device::kCpu) {
        if (job_.likes.indptr[0] != 0 ||
            job_.likes.indptr[job_.users.n_rows] != job_.likes.n_pairs) {
            throw py::value_error("indptr must begin with 0 and end with the number of indices");
        }
        n_threads_ = static_cast<int>(integer(arguments, "n_threads", 1, 4096));
        instruction_set_ = scalar<std::string>(arguments, "instruction_set");
        return;
    }
#ifdef CML_WITH_CUDA
    const ArrayView counters =
        view_array(keep(arguments, "counters"), "counters", device_, "<i8", 1, true);
    if (counters.shape[0] * 8 < cuda_counter_bytes()) {
        throw py::value_error("counters must have " + text(cuda_counter_bytes() / 8) + " entries");
    }
    counters_ = counters.data;
    const int64_t batch_bytes = cuda_batch_bytes(job_);
    if (batch_bytes > 0) {
        const ArrayView batch =
            view_array(keep(arguments, "batch"), "batch", device_, "|u1", 1, true);
        if (batch.shape[0] < batch_bytes) {
            throw py::value_error("batch must have " + text(batch_bytes) + " bytes, got " +
                                  text(batch.shape[0]));
        }
        check_pointer(batch.data, "batch");
        batch_ = batch.data;
    }
    stream_ = reinterpret_cast<void*>(scalar<uintptr_t>(arguments, "stream"));
#else
    throw std::runtime_error("this build has no CUDA kernels");
#endif
}

Counters PythonJob::run(int64_t begin, int64_t end) const {
    if (begin < 0 || end < begin || end / job_.likes.n_pairs >= kMaxEpochs || end > INT64_MAX / 2) {
        throw py::value_error("begin and end must be 0 <= begin <= end within 2**48 epochs, got " +
                              text(begin) + " and " + text(end));
    }
    if (begin == end) return {};
    const int64_t unit = unit_of(job_);
    for (const int64_t visit : {begin, end}) {
        if (visit % job_.likes.n_pairs % unit != 0) {
            throw py::value_error("begin and end must be at the bounds of batches or tiles of " +
                                  text(unit) + " visits, got " + text(begin) + " and " + text(end));
        }
    }
    py::gil_scoped_release release;
#ifdef CML_WITH_CUDA
    if (device_ == Device::kCuda) return cuda_train(job_, begin, end, counters_, batch_, stream_);
#endif
    return cpu_train(job_, begin, end, n_threads_, instruction_set_);
}

std::optional<int64_t> PythonJob::step(const std::string& table, const py::object& rows,
                                       const py::object& gradients) const {
    if (table != "users" && table != "items") {
        throw py::value_error("table must be 'users' or 'items', got '" + table + "'");
    }
    RowGradients given{};
    given.table = table == "users" ? job_.users : job_.items;
    const ArrayView numbers = view_array(rows, "rows", device_, "<i8", 1, false);
    const ArrayView values = view_array(gradients, "gradients", device_, "<f4", 2, false);
    given.n = numbers.shape[0];
    if (values.shape[0] != given.n || values.shape[1] != given.table.stride) {
        throw py::value_error("gradients must have a row for each of rows, of " +
                              text(given.table.stride) + " floats, got " + text(values.shape[0]) +
                              " x " + text(values.shape[1]));
    }
    if (given.n == 0) return {};
    check_pointer(values.data, "gradients");
    given.rows = static_cast<const int64_t*>(numbers.data);
    given.values = static_cast<const float*>(values.data);
    // On a device the caller promises as much: looking would take a copy.
    for (int64_t i = 0; device_ == Device::kCpu && i < given.n; ++i) {
        if (given.rows[i] < 0 || given.rows[i] >= given.table.n_rows ||
            (i > 0 && given.rows[i] <= given.rows[i - 1])) {
            throw py::value_error("rows must be ascending, distinct and below " +
                                  text(given.table.n_rows) + ", got " + text(given.rows[i]) +
                                  " at position " + text(i));
        }
    }
    int64_t refused = -1;
    {
        py::gil_scoped_release release;
        if (device_ == Device::kCpu) refused = cpu_step(job_, given, n_threads_, instruction_set_);
#ifdef CML_WITH_CUDA
        if (device_ == Device::kCuda) refused = cuda_step(job_, given, counters_, stream_);
#endif
    }
    if (refused < 0) return {};
    return refused;
}

std::optional<int64_t> PythonJob::fold_in(int64_t begin, int64_t end, int64_t n_epochs) const {
    if (device_ != Device::kCpu) throw py::value_error("fold_in needs a job on the device 'cpu'");
    if (begin < 0 || end < begin || end > job_.users.n_rows) {
        throw py::value_error(
            "begin and end must be 0 <= begin <= end <= " + text(job_.users.n_rows) + ", got " +
            text(begin) + " and " + text(end));
    }
    if (n_epochs < 1 || n_epochs > INT32_MAX) {
        throw py::value_error("n_epochs must be between 1 and 2**31 - 1, got " + text(n_epochs));
    }
    if (begin == end) return {};
    py::gil_scoped_release release;
    const int64_t refused = cpu_fold_in(job_, begin, end, n_epochs, n_threads_, instruction_set_);
    if (refused < 0) return {};
    return refused;
}

}  // namespace cml
