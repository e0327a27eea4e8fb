#include "minibatch_loop.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "../core/workspace.h"
#include "aligned_floats.h"
#include "threads.h"

namespace cml {
namespace {

// Owns what MinibatchMemory points to, for batches of at most n pairs.
class MinibatchBuffers {
 public:
    MinibatchBuffers(const Job& job, int64_t n)
        : tiles_(shares_negatives(job.hyper.loss)),
          n_slots_(slots_of_batch(job.hyper, n)),
          triplets_(tiles_ ? 0 : static_cast<size_t>(n)),
          rows_(tiles_ ? static_cast<size_t>(n_slots_) : 0),
          earlier_(static_cast<size_t>(n_slots_)),
          last_user_slot_(static_cast<size_t>(job.users.n_rows), -1),
          last_item_slot_(static_cast<size_t>(job.items.n_rows), -1),
          stride_(std::max(job.users.stride, job.items.stride)),
          vectors_(n_slots_ * stride_) {}

    MinibatchMemory view() {
        return {triplets_.data(),       rows_.data(),    earlier_.data(), last_user_slot_.data(),
                last_item_slot_.data(), vectors_.data(), stride_};
    }

 private:
    bool tiles_;  // whether pairs share negatives
    int64_t n_slots_;
    std::vector<Triplet> triplets_;
    std::vector<int32_t> rows_, earlier_, last_user_slot_, last_item_slot_;
    int64_t stride_;
    AlignedFloats vectors_;
};

}  // namespace

Counters cpu_train_minibatches(const Job& job, int64_t begin, int64_t end, int n_threads,
                               const CpuKernel& kernel) {
    const int64_t n_pairs = job.likes.n_pairs;
    const int64_t largest = std::min({job.batch_size, end - begin, n_pairs});
    MinibatchBuffers buffers(job, largest);
    const MinibatchMemory batch = buffers.view();
    const int64_t grain = samples_at_once(job.hyper);
    const int n_workers =
        static_cast<int>(std::min<int64_t>(n_threads, (largest + grain - 1) / grain));

    // The current batch is [first, last).
    int64_t first = begin, last = begin;
    std::atomic<int64_t> next{begin};
    std::atomic<bool> failed{false};
    bool over = false;
    // While all workers wait at the barrier, the last one to arrive calls one of these.
    auto check = [&] { over = failed; };
    auto next_batch = [&] {
        first = last;
        last = batch_end(first, end, job.batch_size, n_pairs);
        next = first;
        over = failed || first == end;
    };
    next_batch();

    Barrier barrier(n_workers);
    auto work = [&](int, Counters& counters) {
        auto note_failure = [&] {
            if (counters.first_non_finite != INT64_MAX) failed = true;
        };
        AlignedFloats workspace(workspace_floats(job.hyper, kCpuColumns));
        std::vector<int64_t> mine;  // where the parts of the batch begin that this worker took
        auto end_of = [&](int64_t part) { return std::min(part + grain, last); };
        while (!over) {
            mine.clear();
            for (int64_t part; (part = next.fetch_add(grain)) < last;) {
                kernel.collect(job, batch, first, part, end_of(part), counters, workspace.data());
                mine.push_back(part);
            }
            note_failure();
            if (!barrier.wait(check) || over) return;
            bool finite = true;
            for (const int64_t part : mine) {
                finite &= kernel.gather(job, batch, first, part, end_of(part));
            }
            if (!finite) {
                counters.first_non_finite = std::min(counters.first_non_finite, first);
                note_failure();
            }
            if (kernel.store != nullptr) {
                if (!barrier.wait(check) || over) return;
                for (const int64_t part : mine) kernel.store(job, batch, first, part, end_of(part));
            }
            if (!barrier.wait(next_batch)) return;
        }
    };
    return in_threads(n_workers, work, [&] { barrier.give_up(); });
}

}  // namespace cml
