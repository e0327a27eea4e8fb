#include "train.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <utility>

#include "../core/workspace.h"
#include "aligned_floats.h"
#include "kernel.h"
#include "minibatch_loop.h"
#include "threads.h"

namespace cml {
namespace {

using KernelOf = CpuKernel (*)(Loss loss, int n_dims);

std::vector<std::pair<std::string, KernelOf>> usable_kernels() {
    std::vector<std::pair<std::string, KernelOf>> kernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
    [[maybe_unused]] const bool v4 =
        v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl");
#ifdef CML_WITH_X86_64_V4
    if (v4) kernels.emplace_back("x86-64-v4", kernel_x86_64_v4);
#endif
#ifdef CML_WITH_X86_64_V3
    if (v3) kernels.emplace_back("x86-64-v3", kernel_x86_64_v3);
#endif
#ifdef CML_WITH_X86_64_V2
    if (v2) kernels.emplace_back("x86-64-v2", kernel_x86_64_v2);
#endif
#else
    kernels.emplace_back("portable", kernel_portable);
#endif
    return kernels;
}

CpuKernel kernel_named(const std::string& name, const Hyperparameters& hyper) {
    for (const auto& [instruction_set, kernel] : usable_kernels()) {
        if (instruction_set == name) return kernel(hyper.loss, hyper.n_dims);
    }
    throw std::invalid_argument("no CPU kernel for instruction set '" + name + "'");
}

// Pairs (or gradients) that a thread takes at a time: some tenths of a millisecond of work, so that
// all threads end at about the same time.
constexpr int64_t kGrain = 16 * kLanes;
constexpr int64_t kTilesInGrain = 4;

int64_t grain_of(const Hyperparameters& hyper) {
    return shares_negatives(hyper.loss) ? kTilesInGrain * samples_at_once(hyper) : kGrain;
}

}  // namespace

std::vector<std::string> cpu_instruction_sets() {
    std::vector<std::string> names;
    for (const auto& kernel : usable_kernels()) names.push_back(kernel.first);
    return names;
}

Counters cpu_train(const Job& job, int64_t begin, int64_t end, int n_threads,
                   const std::string& instruction_set) {
    const CpuKernel kernel = kernel_named(instruction_set, job.hyper);
    if (job.batch_size > 0) return cpu_train_minibatches(job, begin, end, n_threads, kernel);
    std::atomic<int64_t> next{begin};
    std::atomic<bool> stop{false};
    const int64_t grain = grain_of(job.hyper);
    auto work = [&](int, Counters& counters) {
        AlignedFloats workspace(workspace_floats(job.hyper, InLane::kPair));
        while (!stop.load(std::memory_order_relaxed)) {
            int64_t from = next.load(std::memory_order_relaxed), to;
            do {  // tiles end with their epoch, so a grain does too
                if (from >= end) return;
                to = batch_end(from, end, grain, job.likes.n_pairs);
            } while (!next.compare_exchange_weak(from, to, std::memory_order_relaxed));
            kernel.train(job, from, to, counters, workspace.data());
            if (counters.first_non_finite != INT64_MAX) stop = true;
        }
    };
    const int64_t grains = (end - begin + grain - 1) / grain;
    const auto workers = static_cast<int>(std::clamp<int64_t>(n_threads, 1, grains));
    return in_threads(workers, work, [&] { stop = true; });
}

int64_t cpu_step(const Job& job, const RowGradients& gradients, int n_threads,
                 const std::string& instruction_set) {
    const CpuKernel kernel = kernel_named(instruction_set, job.hyper);
    const int64_t grains = (gradients.n + kGrain - 1) / kGrain;
    const auto workers = static_cast<int>(std::clamp<int64_t>(n_threads, 1, grains));
    auto work = [&](int worker, Counters& counters) {
        const int64_t begin = gradients.n * worker / workers;
        const int64_t end = gradients.n * (worker + 1) / workers;
        const int64_t done = kernel.step(job, gradients, begin, end);
        if (done < end) counters.first_non_finite = done;
    };
    const Counters counters = in_threads(workers, work, [] {});
    return counters.first_non_finite == INT64_MAX ? -1 : counters.first_non_finite;
}

int64_t cpu_fold_in(const Job& job, int64_t begin, int64_t end, int64_t n_epochs, float retention,
                    int n_threads, const std::string& instruction_set) {
    const CpuKernel kernel = kernel_named(instruction_set, job.hyper);
    std::atomic<int64_t> next{begin};
    auto work = [&](int, Counters& counters) {
        AlignedFloats workspace(workspace_floats(job.hyper, InLane::kPair));
        for (int64_t user; (user = next.fetch_add(1, std::memory_order_relaxed)) < end;) {
            if (!kernel.fold_in(job, user, n_epochs, retention, workspace.data()) &&
                user < counters.first_non_finite) {
                counters.first_non_finite = user;
            }
        }
    };
    const auto workers = static_cast<int>(std::clamp<int64_t>(n_threads, 1, end - begin));
    const Counters counters = in_threads(workers, work, [&] { next = end; });
    return counters.first_non_finite == INT64_MAX ? -1 : counters.first_non_finite;
}

}  // namespace cml
