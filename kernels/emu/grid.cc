// SPDX-License-Identifier: Apache-2.0
#include "kernels/emu/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "kernels/emu/copies.h"
#include "kernels/emu/device_functions.h"
#include "kernels/emu/fiber.h"
#include "kernels/emu/memory.h"
#include "kernels/emu/options.h"
#include "kernels/emu/symbol.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace lockstep::emu {

constinit thread_local Running g_running;

namespace {

enum class State { kReady, kAtBarrier, kInWarp, kDone };

struct Thread {
  State state = State::kReady;
  Context context;
  char* stack = nullptr;  // null: not started, or done
  uint3 index{};
  // While it waits:
  const char* name = "";  // of the barrier or the exchange
  Where where;
  bool vote = false;
  uint32_t mask = 0;
  void* brought = nullptr;
  WarpFunction run = nullptr;
};

struct Block {
  int threads = 0;
  int ready = 0, at_barrier = 0, done = 0;
  int vote_result = 0;
  Thread thread[kMaxThreads];
  uint32_t warp_epoch[kMaxThreads / kWarp] = {};
};

// One grid at a time; the stacks are kept.
struct Machine {
  const Grid* grid = nullptr;
  Context scheduler;
  Block block;
  int current = -1;
  uint32_t stamp = 1;  // the last one given
  Failure failure;
  StackPool stacks;
  std::vector<std::pair<const void*, void*>> shared_arrays;  // of the block, by place in the source
  void* dynamic_shared = nullptr;
  size_t static_shared_bytes = 0;
};

Machine& machine() {
  static Machine machine;
  return machine;
}

// splitmix64: an order must not depend on a library's generator.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// 0 .. count-1 as `order` says; `turn` tells seeded orders apart.
void arrange(std::vector<int64_t>& sequence, int64_t count, ThreadOrder order, uint64_t turn) {
  sequence.resize(static_cast<size_t>(count));
  std::iota(sequence.begin(), sequence.end(), 0);
  if (order.kind == Order::kDescending) std::reverse(sequence.begin(), sequence.end());
  if (order.kind != Order::kSeeded) return;
  uint64_t random = mix(order.seed ^ mix(turn));
  for (size_t i = sequence.size(); i > 1; --i) {
    random = mix(random);
    std::swap(sequence[i - 1], sequence[random % i]);
  }
}

std::string text_of(const uint3& v) { return fmt::format("({}, {}, {})", v.x, v.y, v.z); }
std::string text_of(Where where) {
  const std::string_view file = where.file;
  return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), where.line);
}

std::string kernel_and_block() {
  return fmt::format("kernel `{}`, block {}", function_name(machine().grid->call->address()), text_of(blockIdx));
}

void set_running(int t) {
  Machine& m = machine();
  m.current = t;
  if (t < 0) {
    g_running.stack = 0;
    return;
  }
  threadIdx = m.block.thread[t].index;
  g_running.stack = reinterpret_cast<uintptr_t>(m.block.thread[t].stack);
  g_running.who = static_cast<uint32_t>(t) << kThreadShift | m.block.warp_epoch[t / kWarp] << kEpochShift;
}

// What a fiber does.
void thread_main() {
  Machine& m = machine();
  Thread& self = m.block.thread[m.current];
  arrive(self.context);
  m.grid->call->run();
  self.state = State::kDone;
  switch_to(self.context, m.scheduler, /*from_ends=*/true);
}

// Runs the thread until it waits, ends or fails.
void resume(int t) {
  Machine& m = machine();
  Thread& thread = m.block.thread[t];
  if (thread.stack == nullptr) {
    thread.stack = m.stacks.take();
    prepare(thread.context, thread.stack, thread_main);
  }
  set_running(t);
  switch_to(m.scheduler, thread.context);
  set_running(-1);
  if (thread.state == State::kDone) {
    m.block.done += 1;
    m.stacks.give_back(thread.stack);
    thread.stack = nullptr;
  }
}

void suspend(State state) {
  Machine& m = machine();
  Thread& self = m.block.thread[m.current];
  self.state = state;
  switch_to(self.context, m.scheduler);
}

// `thread`: empty, or ", thread (3, 0, 0)".
void set_failure(cudaError_t error, const std::string& thread, const std::string& text) {
  machine().failure = {error, fmt::format("{}{}: {}", kernel_and_block(), thread, text)};
}
void set_divergence(const std::string& text) { set_failure(cudaErrorLaunchFailure, "", text); }

// "thread (0, 0, 0) waits in __syncthreads at f.cu:12".
std::string waits(const Thread& thread) {
  return fmt::format("thread {} waits in {} at {}", text_of(thread.index), thread.name, text_of(thread.where));
}
std::string situation(const Thread& thread) {
  if (thread.state == State::kDone) return fmt::format("thread {} has left the kernel", text_of(thread.index));
  return waits(thread);
}

bool same_place(const Thread& a, const Thread& b) {
  return a.where.line == b.where.line && std::string_view(a.where.file) == b.where.file &&
         std::string_view(a.name) == b.name;
}

// Nobody can go on, and nobody waits at a barrier of the block: `waiting` misses a lane.
void report_stuck_warp(const Thread& waiting) {
  const Thread* const warp = machine().block.thread + (&waiting - machine().block.thread) / kWarp * kWarp;
  for (int lane = 0; lane < kWarp; ++lane) {
    const Thread& other = warp[lane];
    const bool here = other.state == State::kInWarp && other.mask == waiting.mask && other.run == waiting.run;
    if (((waiting.mask >> lane) & 1) == 0 || here) continue;
    return set_divergence(
        fmt::format("divergent warp: {} for lane {}, but {}", waits(waiting), lane, situation(other)));
  }
}

// Nobody can go on: everyone at one barrier, which opens, or a finding.
void open_barrier() {
  Block& block = machine().block;
  Thread* const begin = block.thread;
  Thread* const end = block.thread + block.threads;
  const auto in_state = [&](State state) {
    return std::find_if(begin, end, [state](const Thread& t) { return t.state == state; });
  };
  const Thread* const first = in_state(State::kAtBarrier);
  if (first == end) return report_stuck_warp(*in_state(State::kInWarp));
  block.vote_result = 0;
  for (const Thread* other = begin; other != end; ++other) {
    if (other->state != State::kAtBarrier || !same_place(*first, *other)) {
      return set_divergence(fmt::format("divergent barrier: {}, but {}", waits(*first), situation(*other)));
    }
    block.vote_result += other->vote ? 1 : 0;
  }
  std::for_each(begin, end, [](Thread& t) { t.state = State::kReady; });
  g_running.stamp += 1;
}

void number_threads(const dim3& dims) {
  Block& block = machine().block;
  block.threads = static_cast<int>(dims.x * dims.y * dims.z);
  for (int t = 0; t < block.threads; ++t) {
    const auto i = static_cast<unsigned>(t);
    block.thread[t].index = {i % dims.x, i / dims.x % dims.y, i / dims.x / dims.y};
  }
}

void start_block(const Grid& grid, size_t static_shared_limit) {
  Machine& m = machine();
  Block& block = m.block;
  block.done = 0;
  for (int t = 0; t < block.threads; ++t) block.thread[t].state = State::kReady;
  std::fill(std::begin(block.warp_epoch), std::end(block.warp_epoch), 0u);
  g_running.block_stamp = ++g_running.stamp;
  m.shared_arrays.clear();
  m.static_shared_bytes = static_shared_limit;
  m.dynamic_shared = grid.shared_bytes == 0 ? nullptr : allocate_shared("dynamic memory", grid.shared_bytes);
  start_copies(block.threads);
}

void end_block() {
  Machine& m = machine();
  for (int t = 0; t < m.block.threads; ++t) {
    Thread& thread = m.block.thread[t];
    if (thread.stack != nullptr) m.stacks.give_back(thread.stack);  // it failed, or waited when another one failed
    thread.stack = nullptr;
  }
  release_shared();
}

// `sequence` is the order of the threads, made anew where it is seeded.
void run_block(const Grid& grid, ThreadOrder order, std::vector<int64_t>& sequence) {
  Machine& m = machine();
  start_block(grid, kMaxSharedBytes - grid.shared_bytes);
  if (order.kind == Order::kSeeded) arrange(sequence, m.block.threads, order, g_running.stamp);
  while (m.block.done < m.block.threads && !m.failure.failed()) {
    bool any = false;
    for (const int64_t t : sequence) {
      if (m.block.thread[t].state != State::kReady) continue;
      any = true;
      resume(static_cast<int>(t));
      if (m.failure.failed()) break;
    }
    if (!any) open_barrier();
    if (order.kind == Order::kSeeded) arrange(sequence, m.block.threads, order, mix(g_running.stamp) + sequence[0]);
  }
  end_block();
}

std::string mask_text(const char* name, Where where) {
  return fmt::format("{} at {}: its mask does not name the lane itself", name, text_of(where));
}

bool exceeds(const dim3& dims, const dim3& most) { return dims.x > most.x || dims.y > most.y || dims.z > most.z; }
bool has_zero(const dim3& dims) { return dims.x == 0 || dims.y == 0 || dims.z == 0; }

}  // namespace

int running_thread() { return g_running.stack == 0 ? -1 : machine().current; }

Failure check_grid(const Grid& grid) {
  const auto invalid = [](const std::string& text) { return Failure{cudaErrorInvalidConfiguration, text}; };
  if (has_zero(grid.grid) || has_zero(grid.block)) return invalid("a dimension of the grid is 0");
  if (exceeds(grid.grid, dim3(2147483647u, 65535, 65535))) return invalid("the grid has too many blocks");
  if (exceeds(grid.block, dim3(1024, 1024, 64)) || uint64_t{grid.block.x} * grid.block.y * grid.block.z > kMaxThreads) {
    return invalid(fmt::format("a block may have {} threads", kMaxThreads));
  }
  if (grid.shared_bytes > kMaxSharedBytes) {
    return {cudaErrorInvalidValue,
            fmt::format("{} bytes of shared memory wanted, a block may have {}", grid.shared_bytes, kMaxSharedBytes)};
  }
  return {};
}

Failure run_grid(const Grid& grid) {
  constexpr uint32_t kStampsRunOut = 0xE0000000u;
  Machine& m = machine();
  if (m.stamp > kStampsRunOut) {
    forget_accesses();
    m.stamp = 1;
  }
  m.grid = &grid;
  m.failure = {};
  g_running.call = grid.call;
  g_running.stamp = g_running.launch_stamp = m.stamp + 1;
  gridDim = grid.grid;
  blockDim = grid.block;
  const ThreadOrder order = thread_order();
  const int64_t blocks = int64_t{grid.grid.x} * grid.grid.y * grid.grid.z;
  number_threads(grid.block);
  std::vector<int64_t> sequence, threads;
  arrange(sequence, blocks, order, 0);
  arrange(threads, m.block.threads, order, 0);
  for (const int64_t b : sequence) {
    const auto i = static_cast<uint64_t>(b);
    blockIdx = {static_cast<unsigned>(i % grid.grid.x), static_cast<unsigned>(i / grid.grid.x % grid.grid.y),
                static_cast<unsigned>(i / grid.grid.x / grid.grid.y)};
    run_block(grid, order, threads);
    if (m.failure.failed()) break;
  }
  g_running.call = nullptr;
  m.stamp = g_running.stamp;
  if (!m.failure.failed()) {
    if (const std::string guard = overwritten_guard(); !guard.empty()) {
      m.failure = {cudaErrorIllegalAddress, fmt::format("kernel `{}`: {}", function_name(grid.call->address()), guard)};
    }
  }
  m.grid = nullptr;
  return m.failure;
}

void fail_thread(cudaError_t error, std::string&& text) {
  Machine& m = machine();
  LOCKSTEP_CHECK(m.current >= 0);
  Thread& self = m.block.thread[m.current];
  set_failure(error, fmt::format(", thread {}", text_of(self.index)), std::exchange(text, {}));
  switch_to(self.context, m.scheduler, /*from_ends=*/true);
  __builtin_unreachable();
}

int block_barrier(BlockVote vote, bool predicate, const char* name, Where where) {
  Machine& m = machine();
  Thread& self = m.block.thread[m.current];
  self.name = name;
  self.where = where;
  self.vote = predicate;
  suspend(State::kAtBarrier);
  const int votes = m.block.vote_result;
  switch (vote) {
    case BlockVote::kAnd:
      return votes == m.block.threads ? 1 : 0;
    case BlockVote::kOr:
      return votes > 0 ? 1 : 0;
    default:
      return votes;
  }
}

void warp_collective(uint32_t mask, void* brought, WarpFunction run, const char* name, Where where) {
  Machine& m = machine();
  Block& block = m.block;
  const int first = m.current / kWarp * kWarp, lanes = std::min(kWarp, block.threads - first);
  mask &= lanes == kWarp ? ~0u : (1u << lanes) - 1;
  Thread& self = block.thread[m.current];
  if (((mask >> (m.current - first)) & 1) == 0) {
    fail_thread(cudaErrorLaunchFailure, mask_text(name, where));
  }
  self.name = name;
  self.where = where;
  self.mask = mask;
  self.brought = brought;
  self.run = run;
  self.state = State::kInWarp;
  void* all[kWarp] = {};
  for (int lane = 0; lane < lanes; ++lane) {
    if (((mask >> lane) & 1) == 0) continue;
    const Thread& thread = block.thread[first + lane];
    if (thread.state != State::kInWarp || thread.mask != mask || thread.run != run) return suspend(State::kInWarp);
    all[lane] = thread.brought;
  }
  run(all, mask);
  for (int lane = 0; lane < lanes; ++lane) {
    if (((mask >> lane) & 1) != 0) block.thread[first + lane].state = State::kReady;
  }
}

void warp_barrier(uint32_t mask, Where where) {
  warp_collective(
      mask, nullptr,
      [](void* const(&)[kWarp], uint32_t lanes) {
        // Only a barrier of the whole warp orders accesses for the race detector.
        Machine& m = machine();
        const int warp = m.current / kWarp, size = std::min(kWarp, m.block.threads - warp * kWarp);
        if (lanes != (size == kWarp ? ~0u : (1u << size) - 1)) return;
        m.block.warp_epoch[warp] = (m.block.warp_epoch[warp] + 1) & ((1u << (32 - kEpochShift)) - 1);
      },
      "__syncwarp", where);
  set_running(machine().current);
}

void* shared_array(const void* place, const char* name, size_t bytes) {
  Machine& m = machine();
  for (const auto& [known, memory] : m.shared_arrays) {
    if (known == place) return memory;
  }
  if (bytes > m.static_shared_bytes) {
    fail_thread(cudaErrorLaunchFailure,
                fmt::format("shared `{}`: a block may have {} bytes in all", name, kMaxSharedBytes));
  }
  m.static_shared_bytes -= bytes;
  void* const memory = allocate_shared(name, bytes);
  m.shared_arrays.emplace_back(place, memory);
  return memory;
}

void* dynamic_shared() {
  Machine& m = machine();
  if (m.dynamic_shared == nullptr) {
    fail_thread(cudaErrorLaunchFailure, "dynamic shared memory used, but none asked for at launch");
  }
  return m.dynamic_shared;
}

}  // namespace lockstep::emu
