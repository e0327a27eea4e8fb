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
    MinibatchBuffers(const Job& job, int64_t n, bool alone)
        : tiles_(shares_negatives(job.hyper.loss)),
          n_slots_(slots_of_batch(job.hyper, n)),
          triplets_(tiles_ ? 0 : static_cast<size_t>(n)),
          rows_(tiles_ ? static_cast<size_t>(n_slots_) : 0),
          earlier_(static_cast<size_t>(n_slots_)),
          last_user_slot_(static_cast<size_t>(job.users.n_rows), -1),
          last_item_slot_(static_cast<size_t>(job.items.n_rows), -1),
          stride_(std::max(job.users.stride, job.items.stride)),
          vectors_(n_slots_ * stride_),
          alone_(alone) {}

    MinibatchMemory view() {
        return {triplets_.data(),       rows_.data(),    earlier_.data(), last_user_slot_.data(),
                last_item_slot_.data(), vectors_.data(), stride_,         alone_};
    }

 private:
    bool tiles_;  // whether pairs share negatives
    int64_t n_slots_;
    std::vector<Triplet> triplets_;
    std::vector<int32_t> rows_, earlier_, last_user_slot_, last_item_slot_;
    int64_t stride_;
    AlignedFloats vectors_;
    bool alone_;
};

}  // namespace

Counters cpu_train_minibatches(const Job& job, int64_t begin, int64_t end, int n_threads,
                               const CpuKernel& kernel) {
    const int64_t n_pairs = job.likes.n_pairs;
    const int64_t largest = std::min({job.batch_size, end - begin, n_pairs});
    const int64_t grain = samples_at_once(job.hyper);
    const int n_workers =
        static_cast<int>(std::min<int64_t>(n_threads, (largest + grain - 1) / grain));
    MinibatchBuffers buffers(job, largest, n_workers == 1);
    const MinibatchMemory batch = buffers.view();

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
        next = first + n_workers * grain;  // the first parts are handed out in turn
        over = failed || first == end;
    };
    next_batch();

    Barrier barrier(n_workers);
    auto work = [&](int worker, Counters& counters) {
        auto note_failure = [&] {
            if (counters.first_non_finite != INT64_MAX) failed = true;
        };
        AlignedFloats workspace(workspace_floats(job.hyper, InLane::kPair));
        std::vector<int64_t> mine;  // where the parts of the batch begin that this worker took
        int64_t drawn = -1;         // where the part begins that has been drawn in advance
        const int64_t own = worker * grain;
        auto end_of = [&](int64_t part) { return std::min(part + grain, last); };
        // The part of the next batch that this worker begins with; empty if there is none.
        auto own_of_next_batch = [&]() -> SampleRange {
            if (last == end) return {0, 0};
            const int64_t stop = batch_end(last, end, job.batch_size, n_pairs);
            return {last + own, std::min(last + own + grain, stop)};
        };
        while (!over) {
            mine.clear();
            for (int64_t part = first + own, following; part < last; part = following) {
                // Parts are taken one in advance, so that their rows can be prefetched.
                following = next.fetch_add(grain);
                const SampleRange upcoming = following < last
                                                 ? SampleRange{following, end_of(following)}
                                                 : own_of_next_batch();
                const SampleRange samples{part, end_of(part)};
                if (kernel.draw != nullptr && drawn != part) {
                    kernel.draw(job, samples, workspace.data());
                }
                kernel.collect(job, batch, first, samples, upcoming, counters, workspace.data());
                drawn = upcoming.begin < upcoming.end ? upcoming.begin : -1;
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
