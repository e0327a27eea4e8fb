#include "train.h"

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <thread>
#include <utility>

#include "kernel.h"

namespace cml {
namespace {

using NamedKernel = std::pair<std::string, CpuKernel>;

std::vector<NamedKernel> usable_kernels() {
    std::vector<NamedKernel> kernels;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
    const bool v3 = v2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v4) kernels.emplace_back("x86-64-v4", kernel_x86_64_v4());
    if (v3) kernels.emplace_back("x86-64-v3", kernel_x86_64_v3());
    if (v2) kernels.emplace_back("x86-64-v2", kernel_x86_64_v2());
#else
    kernels.emplace_back("portable", kernel_portable());
#endif
    return kernels;
}

CpuKernel kernel_named(const std::string& name) {
    for (const NamedKernel& kernel : usable_kernels()) {
        if (kernel.first == name) return kernel.second;
    }
    throw std::invalid_argument("no CPU kernel for instruction set '" + name + "'");
}

// Pairs that a thread takes at a time: some tenths of a millisecond, so that threads end together.
constexpr int64_t kGrain = 16 * kLanes;

void add(Counters& sum, const Counters& part) {
    sum.pairs += part.pairs;
    sum.active += part.active;
    sum.impostors += part.impostors;
    sum.skipped += part.skipped;
    sum.loss += part.loss;
    sum.first_non_finite = std::min(sum.first_non_finite, part.first_non_finite);
}

}  // namespace

std::vector<std::string> cpu_instruction_sets() {
    std::vector<std::string> names;
    for (const NamedKernel& kernel : usable_kernels()) names.push_back(kernel.first);
    return names;
}

Counters cpu_train(const Job& job, int64_t begin, int64_t end, int n_threads,
                   const std::string& instruction_set) {
    const CpuKernel kernel = kernel_named(instruction_set);
    std::atomic<int64_t> next{begin};
    std::atomic<bool> stop{false};
    auto work = [&](Counters& counters) {
        while (!stop.load(std::memory_order_relaxed)) {
            const int64_t from = next.fetch_add(kGrain, std::memory_order_relaxed);
            if (from >= end) break;
            kernel.train(job, from, std::min(from + kGrain, end), counters);
            if (counters.first_non_finite != INT64_MAX) stop = true;
        }
    };
    const int64_t grains = (end - begin + kGrain - 1) / kGrain;
    const int workers = static_cast<int>(std::min<int64_t>(n_threads, grains));
    // Threads live for one launch: nothing is left behind for a fork to inherit, and starting
    // them costs less than a single grain.
    std::vector<Counters> counters(std::max(workers, 1));
    std::vector<std::thread> threads;
    threads.reserve(counters.size());
    try {
        for (int i = 1; i < workers; ++i) {
            threads.emplace_back([&work, &mine = counters[i]] {
                Counters local;  // on the thread's own stack: no cache line is shared
                work(local);
                mine = local;
            });
        }
        work(counters[0]);
    } catch (...) {
        stop = true;
        for (std::thread& thread : threads) thread.join();
        throw;
    }
    for (std::thread& thread : threads) thread.join();
    Counters total;
    for (const Counters& part : counters) add(total, part);
    return total;
}

}  // namespace cml
