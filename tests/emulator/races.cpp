#include "races.h"

#include <array>
#include <cstdio>
#include <memory>
#include <unordered_map>

// Where this library begins in memory, from the linker.
extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace cml {
inline namespace CML_TARGET {
extern int64_t shared_memory[];
}
}  // namespace cml

namespace emulator {
namespace {

constexpr unsigned kLanes = 32;

// Volatile reads are of flags that others set atomically.
enum Kind { kRead, kVolatileRead, kWrite, kAtomic, kKinds };
constexpr const char* kNames[] = {"reads", "reads a volatile", "writes", "changes atomically"};

constexpr bool conflict(Kind a, Kind b) {
    if (a == kWrite || b == kWrite) return true;
    return (a == kAtomic && b == kRead) || (a == kRead && b == kAtomic);
}

// What two threads have in common; a barrier of that scope orders them.
enum Distance { kSameThread, kSameWarp, kSameBlock, kSameGrid, kDistances };

// The time is the number of barriers so far.
using Time = uint32_t;

struct Access {
    Time time = 0;  // 0: none
    uint32_t thread = 0;
    uint32_t where = 0;  // in the code
};

Distance distance(unsigned a, unsigned b) {
    if (a == b) return kSameThread;
    if (a / kLanes == b / kLanes) return kSameWarp;
    return a / blockDim.x == b / blockDim.x ? kSameBlock : kSameGrid;
}

// Accesses of one kind: the last one of all, and at each distance the last one that another access
// at this distance followed. If some access that was not kept is in a race with the next one, so is
// one of those that were.
using Accesses = std::array<Access, kDistances>;

// Two bytes of memory: different threads may write both halves of a word.
using Cell = std::array<Accesses, kKinds>;

constexpr uintptr_t kCellBytes = 2, kCells = 512;
using Page = std::array<Cell, kCells>;

std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;
std::vector<std::pair<uintptr_t, uintptr_t>> allowed;
uintptr_t stacks_begin, stacks_end, shared_bytes;
bool watching;
Time now;
// For each thread, when it last passed a barrier that orders threads at this distance; and the last
// one of some warps.
struct Passed {
    std::array<Time, kDistances> at{};
    Time with = 0;
    unsigned first = 0, last = 0;

    bool orders(Time time, unsigned thread, Distance d) const {
        return time < at[d] || (time < with && first <= thread && thread <= last);
    }
};
std::vector<Passed> passed;
std::string found;
int64_t n_barriers, ignored = -1;  // barriers of several warps

// Of the call before this return address.
uint32_t position(const void* code) {
    return static_cast<uint32_t>(static_cast<const char*>(code) - __ehdr_start) - 1;
}

std::string thread_name(unsigned thread) {
    const unsigned in_block = thread % blockDim.x;
    return "lane " + std::to_string(in_block % kLanes) + " of warp " +
           std::to_string(in_block / kLanes) + " of block " + std::to_string(thread / blockDim.x);
}

std::string describe(const Access& before, Kind before_kind, const Access& access, Kind kind) {
    char places[2][16];
    std::snprintf(places[0], sizeof(places[0]), "[%#x]", before.where);
    std::snprintf(places[1], sizeof(places[1]), "[%#x]", access.where);
    return std::string("race: ") + thread_name(before.thread) + " " + kNames[before_kind] + " at " +
           places[0] + ", and " + thread_name(access.thread) + " " + kNames[kind] + " at " +
           places[1] + ", without a barrier between them";
}

Cell& cell_at(uintptr_t address) {
    const uintptr_t number = address / kCellBytes;
    static uintptr_t last = 0;
    static Page* page = nullptr;
    if (pages.empty() || last != number / kCells) {
        std::unique_ptr<Page>& at = pages[last = number / kCells];
        if (!at) at.reset(new Page());
        page = at.get();
    }
    return (*page)[number % kCells];
}

void check_cell(Cell& cell, Kind kind, const Access& access) {
    for (int other = 0; other < kKinds; ++other) {
        if (!conflict(kind, static_cast<Kind>(other))) continue;
        for (const Access& before : cell[other]) {
            const Distance d = distance(before.thread, access.thread);
            if (before.time == 0 || d == kSameThread ||
                passed[access.thread].orders(before.time, before.thread, d)) {
                continue;
            }
            if (found.empty()) found = describe(before, static_cast<Kind>(other), access, kind);
        }
    }
    Accesses& same = cell[kind];
    const Distance d = distance(same[0].thread, access.thread);
    if (d != kSameThread) same[d] = same[0];
    same[0] = access;
}

void check(const void* p, size_t bytes, Kind kind, const void* code) {
    auto address = reinterpret_cast<uintptr_t>(p);
    if (!watching || (address >= stacks_begin && address < stacks_end)) return;
    for (const auto& [begin, end] : allowed) {
        if (address >= begin && address < end) return;
    }
    // Blocks see their shared memory at the same address.
    const auto window = reinterpret_cast<uintptr_t>(&cml::shared_memory[0]);
    if (address >= window && address < window + shared_bytes) {
        address = address - window + blockIdx.x * shared_bytes;  // where nothing else is
    }
    const Access access{now, blockIdx.x * blockDim.x + threadIdx.x, position(code)};
    for (uintptr_t a = address; a < address + bytes; a += kCellBytes) {
        check_cell(cell_at(a), kind, access);
    }
}

}  // namespace

void watch_races(const char* stacks, const char* end, size_t bytes) {
    shared_bytes = bytes;
    stacks_begin = reinterpret_cast<uintptr_t>(stacks);
    stacks_end = reinterpret_cast<uintptr_t>(end);
    pages.clear();
    found.clear();
    now = 1;
    passed.assign(static_cast<size_t>(gridDim.x) * blockDim.x, {});
    watching = true;
}

void begin_barrier(Scope scope) {
    ++now;
    if (scope != Scope::kWarp) ++n_barriers;
}

void pass_barrier(Scope scope, unsigned thread, unsigned first, unsigned last) {
    if (scope != Scope::kWarp && n_barriers - 1 == ignored) return;
    Passed& of = passed[thread];
    if (scope == Scope::kWarps) of.with = now, of.first = first, of.last = last;
    constexpr int kOrdered[] = {kSameWarp, kSameThread, kSameBlock, kSameGrid};  // by scope
    for (int d = kSameWarp; d <= kOrdered[static_cast<int>(scope)]; ++d) of.at[d] = now;
}

void on_copy(const void* to, const void* from, size_t bytes, const void* where) {
    check(from, bytes, kRead, where);
    check(to, bytes, kWrite, where);
}

std::string races_found() {
    watching = false;
    return found;
}

void allow_races(const void* p, size_t bytes) {
    const auto address = reinterpret_cast<uintptr_t>(p);
    allowed.emplace_back(address, address + bytes);
}

void forbid_races() {
    allowed.clear();
}

void on_atomic(const void* p, size_t bytes, const void* where) {
    check(p, bytes, kAtomic, where);
}

}  // namespace emulator

// For tests: as if this barrier of several warps, counted from 0, were missing; -1: none.
// Returns how many there have been since the last call.
extern "C" __attribute__((visibility("default"))) int64_t emulator_ignore_barrier(int64_t number) {
    const int64_t n = emulator::n_barriers;
    emulator::n_barriers = 0;
    emulator::ignored = number;
    return n;
}

// --- what the compiler calls ------------------------------------------------------------------

#define HOOK(name, bytes, kind)                                                 \
    extern "C" void __tsan_##name(const void* p) {                              \
        emulator::check(p, bytes, emulator::kind, __builtin_return_address(0)); \
    }
#define HOOKS(bytes)                                 \
    HOOK(read##bytes, bytes, kRead)                  \
    HOOK(write##bytes, bytes, kWrite)                \
    HOOK(volatile_read##bytes, bytes, kVolatileRead) \
    HOOK(volatile_write##bytes, bytes, kWrite)

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

extern "C" void __tsan_read_range(const void* p, size_t bytes) {
    emulator::check(p, bytes, emulator::kRead, __builtin_return_address(0));
}
extern "C" void __tsan_write_range(const void* p, size_t bytes) {
    emulator::check(p, bytes, emulator::kWrite, __builtin_return_address(0));
}
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(const void*) {}
extern "C" void __tsan_func_exit() {}
