// Training on CPU threads: the interface that the rest of the program sees.
#pragma once

#include <string>
#include <vector>

#include "../core/job.h"

namespace cml {

// The instruction sets that this build has kernels for and that this machine can run, best first.
std::vector<std::string> cpu_instruction_sets();

// Train the samples [begin, end) on n_threads threads with the kernel of one instruction set.
// Asynchronous workers share the tables without locks (Hogwild: Recht et al., NIPS 2011), so with
// more than one thread the result depends on timing; with mini-batches it never does. Stops early
// after a value that is not finite.
Counters cpu_train(const Job& job, int64_t begin, int64_t end, int n_threads,
                   const std::string& instruction_set);

// Make one step along each of these gradients. Returns the position of one that was refused
// because a value was not finite, or -1.
int64_t cpu_step(const Job& job, const RowGradients& gradients, int n_threads,
                 const std::string& instruction_set);

// Train each of the users [begin, end) alone for so many epochs, with the items fixed (see
// fold_in.h), and multiply their vectors by `retention` between two epochs: the same bits for any
// number of threads. Returns the first user for whom a value was
// not finite, or -1.
int64_t cpu_fold_in(const Job& job, int64_t begin, int64_t end, int64_t n_epochs, float retention,
                    int n_threads, const std::string& instruction_set);

}  // namespace cml
