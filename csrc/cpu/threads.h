// Threads that exist for one launch only. So no threads are missing in a forked child process, and
// starting them takes less time than the work that they take at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "../core/job.h"

namespace cml {

inline void add(Counters& sum, const Counters& part) {
    sum.pairs += part.pairs;
    sum.active += part.active;
    sum.impostors += part.impostors;
    sum.skipped += part.skipped;
    sum.loss += part.loss;
    sum.first_non_finite = std::min(sum.first_non_finite, part.first_non_finite);
}

// The system did not start a thread.
struct ThreadNotStarted : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Keeps the first exception of several threads.
class FirstFailure {
 public:
    // To be called where an exception is caught.
    void keep() noexcept {
        if (!taken_.exchange(true)) failure_ = std::current_exception();
    }

    // To be called after all threads have been joined.
    void rethrow() const {
        if (failure_) std::rethrow_exception(failure_);
    }

 private:
    std::atomic<bool> taken_{false};
    std::exception_ptr failure_;
};

// Call work(worker, counters) in n_workers threads, one of which is the calling thread, and add up
// their counters. If work throws (there may be no memory for what it needs) or a thread cannot be
// started, give_up() tells the others to return. When all have, the first exception is thrown.
template <class Work, class GiveUp>
Counters in_threads(int n_workers, Work work, GiveUp give_up) {
    std::vector<Counters> counters(static_cast<size_t>(n_workers));
    std::vector<std::thread> threads;
    threads.reserve(counters.size());
    FirstFailure failure;
    auto run = [&](int worker) {
        try {
            Counters local;  // on the thread's own stack: no cache line is shared
            work(worker, local);
            counters[static_cast<size_t>(worker)] = local;
        } catch (...) {
            failure.keep();
            give_up();
        }
    };
    try {
        for (int worker = 1; worker < n_workers; ++worker) {
            try {
                threads.emplace_back(run, worker);
            } catch (const std::system_error& error) {
                throw ThreadNotStarted("thread " + std::to_string(worker + 1) + " of " +
                                       std::to_string(n_workers) +
                                       " could not be started: " + error.what());
            }
        }
        run(0);
    } catch (...) {
        failure.keep();
        give_up();
    }
    for (std::thread& thread : threads) thread.join();
    failure.rethrow();
    Counters total;
    for (const Counters& part : counters) add(total, part);
    return total;
}

// Where all workers wait for each other. They arrive often and after about the same work, so they
// spin for a while before they yield their core.
class Barrier {
 public:
    explicit Barrier(int n_workers) : n_workers_(n_workers) {}

    // The last to arrive calls last() before the others go on. Returns false after give_up().
    template <class Last>
    bool wait(Last last) {
        const int64_t round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_workers_) {
            last();
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (given_up_.load(std::memory_order_relaxed)) return false;
            if (spins > kSpins) std::this_thread::yield();
        }
        return true;
    }

    void give_up() { given_up_ = true; }

 private:
    static constexpr int kSpins = 4000;
    const int n_workers_;
    std::atomic<int> arrived_{0};
    std::atomic<int64_t> round_{0};
    std::atomic<bool> given_up_{false};
};

}  // namespace cml
