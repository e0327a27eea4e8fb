// The compiled module cml_fast._core.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "../core/search.h"
#include "../core/visit_order.h"
#include "../cpu/threads.h"
#include "../cpu/train.h"
#include "candidates.h"
#include "exchange.h"
#include "gil.h"
#include "losses.h"
#include "python_job.h"
#ifdef CML_WITH_CUDA
#include "../cuda/train.h"
#include "selection.h"
#endif

namespace {

namespace py = pybind11;
using namespace py::literals;

py::dict cuda_info() {
    py::dict info;
    info["architectures"] = CML_CUDA_ARCHITECTURES;
    info["compiler"] = CML_CUDA_COMPILER;
#ifdef CML_WITH_CUDA
    const cml::CudaStatus status = cml::cuda_status();
    py::list devices;
    for (const cml::CudaDevice& device : status.devices) {
        devices.append(py::dict("name"_a = device.name,
                                "compute_capability"_a = py::make_tuple(device.major, device.minor),
                                "memory_bytes"_a = device.memory_bytes));
    }
    info["built"] = true;
    info["runtime"] = status.runtime_version;
    info["driver"] = status.driver_version;
    info["devices"] = devices;
    info["problem"] = status.problem;
#else
    info["built"] = false;
    info["runtime"] = 0;
    info["driver"] = 0;
    info["devices"] = py::list();
    info["problem"] = "built without CUDA: " CML_CUDA_ABSENT;
#endif
    return info;
}

py::dict build_info() {
    return py::dict("version"_a = CML_VERSION, "compiler"_a = CML_CXX_COMPILER,
                    "instruction_sets"_a = cml::cpu_instruction_sets(), "cuda"_a = cuda_info());
}

// Random draws of the core, for tests.
py::array_t<int64_t> visit_order(int64_t n, uint64_t seed, int64_t epoch, int64_t begin,
                                 int64_t end, int64_t pairs_per_part) {
    if (n < 1 || begin < 0 || end < begin || end > n) {
        throw py::value_error("visit_order needs 0 <= begin <= end <= n and n >= 1");
    }
    if (pairs_per_part < 0 || pairs_per_part > cml::kMaxPairsPerPart ||
        (pairs_per_part & (pairs_per_part - 1)) != 0) {
        throw py::value_error("pairs_per_part must be a power of two, or 0");
    }
    py::array_t<int64_t> pairs(end - begin);
    const cml::VisitSizes sizes = cml::visit_sizes(n, pairs_per_part);
    const cml::VisitOrder order(sizes, seed, epoch);
    for (int64_t i = begin; i < end; ++i) pairs.mutable_at(i - begin) = order(i);
    return pairs;
}

std::array<uint64_t, 4> philox(std::array<uint64_t, 2> key, std::array<uint64_t, 4> counter) {
    const cml::Words w =
        cml::philox(key[0], key[1], {{counter[0], counter[1], counter[2], counter[3]}});
    return {w.word[0], w.word[1], w.word[2], w.word[3]};
}

py::array_t<int32_t> ranks_to_items(const py::array_t<int32_t, py::array::c_style>& ranks,
                                    const py::array_t<int32_t, py::array::c_style>& liked) {
    if (liked.size() < 1) throw py::value_error("liked must have at least one item");
    py::array_t<int32_t> items(ranks.size());
    for (py::ssize_t i = 0; i < ranks.size(); ++i) {
        int32_t item = ranks.data()[i];
        cml::ranks_to_items<1>(&item, liked.data(), static_cast<int32_t>(liked.size()));
        items.mutable_at(i) = item;
    }
    return items;
}

#ifdef CML_WITH_CUDA
int64_t cuda_batch_bytes(const std::string& loss, int32_t n_dims, int32_t n_negatives,
                         int32_t tile_size, int64_t batch_size, int64_t n_pairs, int64_t n_users,
                         int64_t n_items, int64_t stride, const std::string& precision) {
    cml::Job job{};
    job.hyper.loss = cml::loss_named(loss);
    job.hyper.n_dims = n_dims;
    job.hyper.n_negatives = n_negatives;
    job.hyper.tile_size = tile_size;
    job.batch_size = batch_size;
    job.likes.n_pairs = n_pairs;
    job.users.n_rows = n_users;
    job.items.n_rows = n_items;
    job.users.stride = job.items.stride = stride;
    job.hyper.bfloat16 = cml::is_bfloat16(precision);
    return cml::cuda_batch_bytes(job);
}
#endif

py::dict losses() {
    py::dict result;
    for (const auto& [name, shares_negatives] : cml::losses()) {
        result[py::str(name)] = shares_negatives;
    }
    return result;
}

void define_constants(py::module_& m) {
    m.attr("MAX_DIMS") = cml::kMaxDims;
    m.attr("MAX_NEGATIVES") = cml::kMaxNegatives;
    m.attr("MAX_TILE_SIZE") = cml::kTilePairs;
    m.attr("MAX_BATCH_SIZE") = int64_t{1} << cml::kMaxBatchBits;
    m.attr("MAX_PAIRS_PER_PART") = cml::kMaxPairsPerPart;
    m.attr("ROW_ALIGNMENT") = cml::kRowAlignment;
    m.attr("LOSSES") = losses();
    m.attr("LOSS_PARAMETERS") = py::tuple(py::cast(cml::loss_parameters()));
#ifdef CML_WITH_CUDA
    constexpr int64_t kBytes = sizeof(int64_t);
    m.attr("CUDA_COUNTERS") = (cml::cuda_counter_bytes() + kBytes - 1) / kBytes;
#endif
}

void define_counters(py::module_& m) {
    py::class_<cml::Counters>(m, "Counters", "What a launch reports.")
        .def_readonly("pairs", &cml::Counters::pairs)
        .def_readonly("active", &cml::Counters::active)
        .def_readonly("impostors", &cml::Counters::impostors)
        .def_readonly("skipped", &cml::Counters::skipped)
        .def_readonly("loss", &cml::Counters::loss)
        .def_property_readonly(
            "first_non_finite",
            [](const cml::Counters& c) -> py::object {
                if (c.first_non_finite == INT64_MAX) return py::none();
                return py::int_(c.first_non_finite);
            },
            "The sample whose update was refused because a value was not finite, or None.");
}

void define_job(py::module_& m) {
    py::class_<cml::PythonJob>(m, "Job", "A checked training job.")
        .def(py::init([](const std::string& device, const py::kwargs& arguments) {
                 if (device != "cpu" && device != "cuda") {
                     throw py::value_error("device must be 'cpu' or 'cuda', got '" + device + "'");
                 }
                 return cml::PythonJob(device == "cpu" ? cml::Device::kCpu : cml::Device::kCuda,
                                       arguments);
             }),
             "device"_a)
        .def_property("learning_rate", &cml::PythonJob::learning_rate,
                      &cml::PythonJob::set_learning_rate,
                      "The step size of AdaGrad, which may change between launches.")
        .def("run", &cml::PythonJob::run, "begin"_a, "end"_a, "stream"_a = 0,
             "Train the samples [begin, end) and return the Counters.")
        .def("step", &cml::PythonJob::step, "table"_a, "rows"_a, "gradients"_a, "stream"_a = 0,
             "Make one step of some rows of 'users' or 'items' along these gradients. Return the "
             "position of one that was refused because a value was not finite, or None.")
        .def("fold_in", &cml::PythonJob::fold_in, "begin"_a, "end"_a, "n_epochs"_a,
             "retention"_a = 1.0f,
             "Train each of the users [begin, end) alone for so many epochs, with the items fixed, "
             "and multiply their vectors by `retention` between two epochs. Return the first for "
             "whom a value was not finite, or None.");
}

void define_functions(py::module_& m) {
    m.def("build_info", &build_info);
#ifdef CML_WITH_CUDA
    m.def("cuda_batch_bytes", &cuda_batch_bytes, "loss"_a, "n_dims"_a, "n_negatives"_a,
          "tile_size"_a, "batch_size"_a, "n_pairs"_a, "n_users"_a, "n_items"_a, "stride"_a,
          "precision"_a);
    m.def("cuda_bfloat16_problem", &cml::cuda_bfloat16_problem,
          "Why the current device cannot compute with bfloat16; an empty string if it can.");
    m.def("cuda_select", &cml::select_on_cuda, "scores"_a, "indptr"_a, "indices"_a, "n"_a,
          "slack"_a, "columns"_a, "found"_a, "stream"_a,
          "Start selecting the columns of each row whose scores can be among the n smallest.");
#endif
    m.def(
        "rank_weights",
        [](int64_t n_items, int64_t n_negatives) {
            return py::array_t<float>(py::cast(cml::rank_weights(n_items, n_negatives)));
        },
        "n_items"_a, "n_negatives"_a);
    m.def(
        "fixed_point",
        [](int64_t batch_size, float largest_gradient) {
            const cml::FixedPoint fixed = cml::fixed_point(batch_size, largest_gradient);
            return std::array<float, 3>{fixed.scale, fixed.unit, fixed.largest_gradient};
        },
        "batch_size"_a, "largest_gradient"_a);
    m.def("philox", &philox, "key"_a, "counter"_a);
    m.def("visit_order", &visit_order, "n"_a, "seed"_a, "epoch"_a, "begin"_a, "end"_a,
          "pairs_per_part"_a = 0);
    m.def("ranks_to_items", &ranks_to_items, "ranks"_a, "liked"_a);
}

// The errors of low memory, in words that say what to do.
void translate_errors() {
    py::register_exception_translator([](std::exception_ptr failure) {
        try {
            if (failure) std::rethrow_exception(failure);
        } catch (const cml::ThreadNotStarted& error) {
            const std::string advice =
                "; give a lower n_threads, or let this process have more memory or threads";
            PyErr_SetString(PyExc_OSError, (error.what() + advice).c_str());
        } catch (const std::bad_alloc&) {
            PyErr_SetString(PyExc_MemoryError,
                            "there is too little memory for the buffers of the compiled kernels");
        }
    });
}

}  // namespace

PYBIND11_MODULE(_core, m) {
    cml::let_ended_threads_sleep();
    m.doc() = "Compiled kernels of cml_fast.";
    // pybind11 loads NumPy for the first array, and lets go of the GIL for it. A daemon thread that
    // did so while Python ends would abort the process (see gil.h), so it is done here.
    py::array_t<float>(0);
    define_constants(m);
    define_counters(m);
    define_job(m);
    define_functions(m);
    cml::define_candidates(m);
    cml::define_exchange(m);
    translate_errors();
}
