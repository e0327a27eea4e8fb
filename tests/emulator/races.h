// Finds races: two threads access the same address, at least one of them writes, not both do so
// atomically, and no barrier comes between them that both take part in.
//
// It works on sources compiled with -fsanitize=thread: the compiler calls a function before each
// access (__tsan_write4() and others). Those of this file's source take the place of
// ThreadSanitizer's library, which is not linked. Without that option nothing is checked.
#pragma once

namespace emulator {

// A kernel begins: no access before it can be in a race. What lies between these addresses are the
// stacks of its threads, which are not shared. Each block has so many bytes of shared memory.
void watch_races(const char* stacks, const char* stacks_end, size_t shared_bytes);

// Barriers order what comes before them and after them: __syncwarp() in a warp, __syncthreads() in
// a block, grid.sync() everywhere, __barrier_sync_count() among those that meet. Shuffles do not.
// `thread` is one that the barrier has released, of those from `first` to `last`.
void begin_barrier(Scope scope);
void pass_barrier(Scope scope, unsigned thread, unsigned first = 0, unsigned last = 0);

// A copy was begun, or is made.
void on_copy(const void* to, const void* from, size_t bytes, const void* where);

// The kernel has ended. Returns a description of the first race, or an empty string. Numbers in
// brackets are positions in this library, for addr2line.
std::string races_found();

// Races in this memory are by design, until the next call of forbid_races().
void allow_races(const void* p, size_t bytes);
void forbid_races();

// The next access is, or is part of, an atomic operation; others may make such ones meanwhile.
void on_atomic(const void* p, size_t bytes, const void* where);

}  // namespace emulator
