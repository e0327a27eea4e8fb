// The emulated device's threads: fibers, their turns, and what is wrong with how they wait.
#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <numeric>
#include <random>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

constexpr size_t kSharedBytes = 48 * 1024;  // what every CUDA device gives a block

namespace cml {
inline namespace CML_TARGET {
// The window through which each block sees its own shared memory: copied in for its turn.
alignas(64) int64_t shared_memory[kSharedBytes / sizeof(int64_t)];
}  // namespace CML_TARGET
}  // namespace cml

namespace emulator {

namespace {

constexpr int kLanes = 32;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 * 1024;
#else
constexpr size_t kStackBytes = 128 * 1024;  // kernels made from PTX have thousands of variables
#endif

enum class State { kReady, kWaits, kReturned };

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    const void* where;
    size_t group;
};

struct Lane {
    dim3 thread;
    unsigned number;  // of the thread, in the grid
    State state = State::kReady;
    Call call{};  // for which it waits
    uint64_t brought = 0;
    std::vector<Copy> copies;  // that are left to make
    size_t groups = 0;         // that were committed
    bool started = false;
    char* stack;
    jmp_buf context;
    void* fake_stack = nullptr;  // AddressSanitizer's
};

struct Warp {
    int number;  // in its block
    Lane lanes[kLanes];
    uint64_t shown[kLanes];  // what the lanes brought to the call that was completed last
    dim3 block;
};

struct Block {
    std::vector<Warp> warps;
    std::vector<Lane*> lanes;
    std::vector<char> shared;
};

// --- fibers: entered and left by longjmp, which makes no system call as swapcontext does --------

const std::function<void()>* kernel;
Warp* warp;  // and lane of it that runs now
Lane* now;
std::string fault;
jmp_buf scheduler;

#if defined(__SANITIZE_ADDRESS__)
const void* scheduler_stack;
size_t scheduler_stack_bytes;

void start_switch(void** save, const void* stack, size_t bytes) {
    __sanitizer_start_switch_fiber(save, stack, bytes);
}
void finish_switch(void* saved, bool in_lane) {
    __sanitizer_finish_switch_fiber(saved, in_lane ? &scheduler_stack : nullptr,
                                    in_lane ? &scheduler_stack_bytes : nullptr);
}
#else
constexpr const void* scheduler_stack = nullptr;
constexpr size_t scheduler_stack_bytes = 0;
void start_switch(void**, const void*, size_t) {}
void finish_switch(void*, bool) {}
#endif

void leave() {
    start_switch(now->state == State::kReturned ? nullptr : &now->fake_stack, scheduler_stack,
                 scheduler_stack_bytes);
    if (_setjmp(now->context) == 0) _longjmp(scheduler, 1);
    finish_switch(now->fake_stack, true);
}

void body() {
    finish_switch(nullptr, true);
    (*kernel)();
    ++now->groups;
    wait_for_copies(0);  // as late as can be
    now->state = State::kReturned;
    leave();
}

void start() {
    static ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = now->stack;
    context.uc_stack.ss_size = kStackBytes;
    context.uc_link = nullptr;
    makecontext(&context, body, 0);
    setcontext(&context);
}

void enter(Lane& lane) {
    static void* fake_stack;
    now = &lane;
    threadIdx = lane.thread;
    start_switch(&fake_stack, lane.stack, kStackBytes);
    if (_setjmp(scheduler) == 0) {
        if (now->started) _longjmp(now->context, 1);
        now->started = true;
        start();
    }
    finish_switch(fake_stack, false);
}

// --- turns ------------------------------------------------------------------------------------

Order order = Order::kAscending;  // of lanes
Order order_of_warps = Order::kAscending;
std::mt19937 generator, generator_of_warps;

std::vector<int> in_order(size_t n, Order order, std::mt19937& generator) {
    std::vector<int> turns(n);
    std::iota(turns.begin(), turns.end(), 0);
    if (order == Order::kDescending) std::reverse(turns.begin(), turns.end());
    if (order == Order::kShuffled) std::shuffle(turns.begin(), turns.end(), generator);
    return turns;
}

bool same(const Call& a, const Call& b) {
    return a.scope == b.scope && a.name == b.name && a.mask == b.mask && a.argument == b.argument &&
           a.line == b.line && a.file == b.file;
}

bool waits_with(const Lane& lane, const Call& call) {
    return lane.state == State::kWaits && same(lane.call, call);
}

// Let the lanes go on that have met, each where its mask says. Returns whether there were any.
bool release_lanes(Warp& warp) {
    bool any = false;
    for (const Lane& lane : warp.lanes) {
        if (lane.state != State::kWaits || lane.call.scope != Scope::kWarp) continue;
        const Call call = lane.call;
        bool complete = true;
        for (int i = 0; i < kLanes; ++i) {
            complete &= !(call.mask >> i & 1) || waits_with(warp.lanes[i], call);
        }
        const bool barrier = call.mask == ~0u && std::strcmp(call.name, "__syncwarp") == 0;
        if (complete && barrier) begin_barrier(Scope::kWarp);
        for (int i = 0; complete && i < kLanes; ++i) {
            if (!(call.mask >> i & 1)) continue;
            warp.shown[i] = warp.lanes[i].brought;
            warp.lanes[i].state = State::kReady;
            if (barrier) pass_barrier(Scope::kWarp, warp.lanes[i].number);
        }
        any |= complete;
    }
    return any;
}

// The same for the barriers of some warps of a block.
bool release_warps(const std::vector<Lane*>& lanes) {
    bool any = false;
    for (const Lane* lane : lanes) {
        if (lane->state != State::kWaits || lane->call.scope != Scope::kWarps) continue;
        const Call call = lane->call;
        std::vector<Lane*> met;
        for (Lane* other : lanes) {
            if (waits_with(*other, call)) met.push_back(other);
        }
        if (met.size() < static_cast<size_t>(call.argument)) continue;
        begin_barrier(Scope::kWarps);
        for (Lane* other : met) {
            other->state = State::kReady;
            pass_barrier(Scope::kWarps, other->number, met.front()->number, met.back()->number);
        }
        any = true;
    }
    return any;
}

// The same for the barrier of a block or the grid, which all threads must reach.
bool release_all(const std::vector<Lane*>& lanes, Scope scope) {
    const Call call = lanes[0]->call;
    uint64_t common = ~uint64_t{0};
    for (const Lane* lane : lanes) {
        if (!waits_with(*lane, call) || call.scope != scope) return false;
        common &= lane->brought;
    }
    begin_barrier(scope);
    for (Lane* lane : lanes) {
        lane->state = State::kReady;
        lane->brought = common;
        pass_barrier(scope, lane->number);
    }
    return true;
}

bool take_turn(Warp& of) {
    warp = &of;
    blockIdx = of.block;
    bool any = false;
    for (const int i : in_order(kLanes, order, generator)) {
        if (of.lanes[i].state != State::kReady) continue;
        any = true;
        enter(of.lanes[i]);
        if (!fault.empty()) return true;
        // Lanes of a warp need not go in step: others may run in the middle of its turn.
        if (order_of_warps == Order::kShuffled && generator_of_warps() % 256 == 0) break;
    }
    return release_lanes(of) || any;
}

std::string name_of(const Lane& lane) {
    if (lane.state == State::kReturned) return "returned";
    if (lane.state == State::kReady) return "run";
    const std::string file = lane.call.file;
    char text[256];
    std::snprintf(text, sizeof(text), "wait in %s at %s:%d, mask 0x%08x, argument %d",
                  lane.call.name, file.substr(file.rfind('/') + 1).c_str(), lane.call.line,
                  lane.call.mask, lane.call.argument);
    return text;
}

// Where the lanes of a warp are: "warp 0 of block 0: lanes 0-15 returned; lanes 16-31 wait ..."
std::string whereabouts(const Warp& warp) {
    std::string text =
        "warp " + std::to_string(warp.number) + " of block " + std::to_string(warp.block.x) + ":";
    for (int i = 0, end = 0; i < kLanes; i = end) {
        const std::string name = name_of(warp.lanes[i]);
        while (end < kLanes && name_of(warp.lanes[end]) == name) ++end;
        text += (i ? "; lanes " : " lanes ") + std::to_string(i) + "-" + std::to_string(end - 1) +
                " " + name;
    }
    return text;
}

std::string run(std::vector<Block>& blocks) {
    char* const window = reinterpret_cast<char*>(cml::shared_memory);
    std::vector<Lane*> lanes;
    for (Block& block : blocks) {
        lanes.insert(lanes.end(), block.lanes.begin(), block.lanes.end());
    }
    for (bool any = true; any;) {
        any = false;
        for (const int i : in_order(blocks.size(), order_of_warps, generator_of_warps)) {
            Block& block = blocks[i];
            std::copy(block.shared.begin(), block.shared.end(), window);
            for (const int w : in_order(block.warps.size(), order_of_warps, generator_of_warps)) {
                any |= take_turn(block.warps[w]);
                if (!fault.empty()) return fault;
            }
            any |= release_warps(block.lanes);
            any |= release_all(block.lanes, Scope::kBlock);
            std::copy(window, window + block.shared.size(), block.shared.begin());
        }
        any |= release_all(lanes, Scope::kGrid);
    }
    std::string stuck;
    for (const Block& block : blocks) {
        for (const Warp& warp : block.warps) {
            const bool returned =
                std::all_of(warp.lanes, warp.lanes + kLanes,
                            [](const Lane& lane) { return lane.state == State::kReturned; });
            if (!returned) stuck += "\n" + whereabouts(warp);
        }
    }
    return stuck.empty() ? "" : "no lane can go on:" + stuck;
}

}  // namespace

const uint64_t* meet(const Call& call, uint64_t brought) {
    now->state = State::kWaits;
    now->call = call;
    now->brought = brought;
    if (call.scope == Scope::kWarp && !(call.mask >> now->thread.x % kLanes & 1)) {
        fault = "a lane is not in the mask of its own call:\n" + whereabouts(*warp);
    }
    leave();
    return call.scope == Scope::kWarp ? warp->shown : &now->brought;
}

void copy_later(void* to, const void* from, size_t bytes, const void* where) {
    on_copy(to, from, bytes, where);
    const bool at_once = order == Order::kShuffled && generator() % 2 == 0;
    if (at_once) std::memcpy(to, from, bytes);
    if (!at_once) now->copies.push_back({to, from, bytes, where, now->groups});
}

void commit_copies() {
    ++now->groups;
}

void wait_for_copies(size_t uncompleted) {
    std::vector<Copy> left;
    for (const Copy& copy : now->copies) {
        if (copy.group + uncompleted >= now->groups) {
            left.push_back(copy);
            continue;
        }
        on_copy(copy.to, copy.from, copy.bytes, copy.where);
        std::memcpy(copy.to, copy.from, copy.bytes);
    }
    now->copies = left;
}

void set_order(Order new_order, uint32_t seed) {
    order = new_order;
    order_of_warps = seed == 0 ? Order::kAscending : Order::kShuffled;
    generator.seed(seed);
    generator_of_warps.seed(seed);
}

std::string launch(const std::function<void()>& function, dim3 grid, dim3 block,
                   size_t shared_bytes) {
    if (grid.x < 1 || block.x < 1 || block.x > 1024 || block.x % kLanes != 0 ||
        grid.y * grid.z * block.y * block.z != 1 || shared_bytes > kSharedBytes) {
        return "invalid configuration: " + std::to_string(grid.x) + " blocks of " +
               std::to_string(block.x) + " threads and " + std::to_string(shared_bytes) +
               " bytes of shared memory";
    }
    kernel = &function;
    gridDim = grid;
    blockDim = block;
    fault.clear();
    const size_t stack_bytes = kStackBytes * block.x * grid.x;
    const std::unique_ptr<char[]> stacks(new char[stack_bytes]);  // untouched
    std::vector<Block> blocks(grid.x);
    char* stack = stacks.get();
    for (unsigned b = 0; b < grid.x; ++b) {
        // Memory that nobody has written is, as a float, a large negative number: a distance that
        // makes an impostor, where a NaN would be passed over. As an int it is no row of any table
        // (whoever takes it for one most likely ends the process).
        blocks[b].shared.assign(shared_bytes, static_cast<char>(0xCB));
        blocks[b].warps.resize(block.x / kLanes);
        for (unsigned t = 0; t < block.x; ++t, stack += kStackBytes) {
            Warp& warp = blocks[b].warps[t / kLanes];
            warp.number = static_cast<int>(t / kLanes);
            warp.block = dim3(b);
            Lane& lane = warp.lanes[t % kLanes];
            lane.thread = dim3(t, 0, 0);
            lane.number = b * block.x + t;
            lane.stack = stack;
            blocks[b].lanes.push_back(&lane);
        }
    }
#if defined(__SANITIZE_ADDRESS__)
    char* const window = reinterpret_cast<char*>(cml::shared_memory);
    ASAN_POISON_MEMORY_REGION(window + shared_bytes, kSharedBytes - shared_bytes);
#endif
    watch_races(stacks.get(), stacks.get() + stack_bytes, shared_bytes);
    std::string problem = run(blocks);
    const std::string race = races_found();
#if defined(__SANITIZE_ADDRESS__)
    ASAN_UNPOISON_MEMORY_REGION(window, kSharedBytes);
#endif
    return problem.empty() ? race : problem;
}

}  // namespace emulator
