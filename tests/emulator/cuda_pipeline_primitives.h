// Emulated: copies to shared memory that arrive later (cp.async).
#pragma once

inline __attribute__((noinline)) void __pipeline_memcpy_async(void* to, const void* from,
                                                              size_t bytes) {
    emulator::copy_later(to, from, bytes, __builtin_return_address(0));
}

inline void __pipeline_commit() {
    emulator::commit_copies();
}

inline void __pipeline_wait_prior(size_t n) {
    emulator::wait_for_copies(n);
}
