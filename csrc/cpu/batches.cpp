#include "batches.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "threads.h"

namespace cml {
namespace {

// The memory behind BatchMemory, for batches of at most n pairs. All slots are free.
class OwnBatchMemory {
 public:
    OwnBatchMemory(const Job& job, int64_t n)
        : records_(static_cast<size_t>(n)),
          user_slots_(static_cast<size_t>(job.users.n_rows), -1),
          item_slots_(static_cast<size_t>(job.items.n_rows), -1),
          rows_(static_cast<size_t>(3 * n), -1),
          stride_(std::max(job.users.stride, job.items.stride)),
          sums_(static_cast<size_t>(3 * n * stride_ + kSpare)),
          fixed_(job.fixed) {}

    BatchMemory view() {
        const auto misaligned =
            reinterpret_cast<uintptr_t>(sums_.data()) / sizeof(int64_t) % kSpare;
        return {records_.data(),
                user_slots_.data(),
                item_slots_.data(),
                rows_.data(),
                sums_.data() + (misaligned ? kSpare - misaligned : 0),
                stride_,
                fixed_};
    }

 private:
    static constexpr int64_t kSpare = 8;  // integers of a cache line, on which the sums begin
    std::vector<Record> records_;
    std::vector<int32_t> user_slots_, item_slots_, rows_;
    int64_t stride_;
    std::vector<int64_t> sums_;
    FixedPoint fixed_;
};

}  // namespace

Counters cpu_train_batches(const Job& job, int64_t begin, int64_t end, int n_threads,
                           const CpuKernel& kernel) {
    const int64_t n_pairs = job.likes.n_pairs;
    const int64_t largest = std::min({job.batch_size, end - begin, n_pairs});
    OwnBatchMemory memory(job, largest);
    const BatchMemory batch = memory.view();
    const int n_workers =
        static_cast<int>(std::min<int64_t>(n_threads, (largest + kLanes - 1) / kLanes));

    // The batch under way; a batch ends with its epoch.
    int64_t first = begin, last = begin;
    std::atomic<int64_t> next{begin};
    std::atomic<bool> failed{false};
    bool over = false;
    // While all workers wait at the barrier, the last of them decides what happens next.
    auto check = [&] { over = failed; };
    auto next_batch = [&] {
        first = last;
        last = std::min({first + job.batch_size, (first / n_pairs + 1) * n_pairs, end});
        next = first;
        over = failed || first == end;
    };
    next_batch();

    Barrier barrier(n_workers);
    auto work = [&](int worker, Counters& counters) {
        auto note_failure = [&] {
            if (counters.first_non_finite != INT64_MAX) failed = true;
        };
        while (!over) {
            for (int64_t from; (from = next.fetch_add(kLanes)) < last;) {
                kernel.record(job, batch, first, from, std::min(from + kLanes, last), counters);
            }
            note_failure();
            if (!barrier.wait(check) || over) return;
            kernel.add(job, batch, last - first, worker, n_workers);
            if (!barrier.wait([] {})) return;
            kernel.apply(job, batch, first, last - first, worker, n_workers, counters);
            note_failure();
            if (!barrier.wait(next_batch)) return;
        }
    };
    return in_threads(n_workers, work, [&] { barrier.give_up(); });
}

}  // namespace cml
